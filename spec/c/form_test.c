/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/form.h"

static void encodes_what_the_standard_says(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"abcXYZ019*-._", "=abcXYZ019*-._"},
        {"a b", "=a+b"},
        {"a+b&c=d%e", "=a%2Bb%26c%3Dd%25e"},
        {"~!'()/:?@", "=%7E%21%27%28%29%2F%3A%3F%40"},
        {"\r\n\t\x7F", "=%0D%0A%09%7F"},
        {"\xC3\xA4\xE2\x82\xAC", "=%C3%A4%E2%82%AC"},
        {"", "="},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct auth_secret out = {0};
        assert_true(auth_form_field(&out, "", 0, pairs[i][0], strlen(pairs[i][0])));
        assert_content(out, pairs[i][1]);
        auth_secret_wipe(&out);
    }
}

static void encodes_every_byte(void **state) {
    (void)state;
    struct auth_secret out = {0};
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    assert_true(auth_form_field(&out, all, sizeof all, "", 0));
    assert_int_equal(strlen((const char *)out.data), out.length);
    assert_int_equal(out.length, 66 + 1 + (256 - 66 - 1) * 3 + 1); /* as they are, the blank, escaped */
    assert_memory_equal(out.data, "%00%01", 6);
    auth_secret_wipe(&out);
}

static void joins_fields(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_true(auth_form_field(&out, "grant_type", 10, "client_credentials", 18));
    assert_true(auth_form_field(&out, "client secret", 13, "s&=", 3));
    assert_true(auth_form_field(&out, "scope", 5, "", 0));
    assert_content(out, "grant_type=client_credentials&client+secret=s%26%3D&scope=");
    auth_secret_wipe(&out);
}

static void makes_basic_credentials(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_true(auth_form_basic(&out, "Aladdin", 7, "open sesame", 11, false)); /* RFC 7617, 2 */
    assert_content(out, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    auth_secret_wipe(&out);
    assert_true(auth_form_basic(&out, "a:b", 3, "c d%", 4, true)); /* a%3Ab:c+d%25 */
    assert_content(out, "Authorization: Basic YSUzQWI6YytkJTI1");
    auth_secret_wipe(&out);
}

static void refuses_what_grows_over_the_maximum(void **state) {
    (void)state;
    static unsigned char zeros[AUTH_SECRET_MAX / 2];
    struct auth_secret out = {0};
    assert_false(auth_form_field(&out, zeros, sizeof zeros, "", 0));
    auth_secret_wipe(&out);
    assert_false(auth_form_basic(&out, zeros, sizeof zeros, zeros, sizeof zeros, false));
    assert_false(auth_form_field(&out, "name", 4, zeros, sizeof zeros));
    auth_secret_wipe(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_the_standard_says),
        cmocka_unit_test(encodes_every_byte),
        cmocka_unit_test(joins_fields),
        cmocka_unit_test(makes_basic_credentials),
        cmocka_unit_test(refuses_what_grows_over_the_maximum),
    };
    return auth_secret_init() ? RUN(tests) : 1;
}

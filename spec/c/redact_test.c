/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "redact.h"

static void check(const char *before, const char *needle, const char *after) {
    struct auth_secret text = {0};
    assert_true(auth_secret_append(&text, before, strlen(before)));
    assert_true(auth_redact(&text, needle, strlen(needle)));
    assert_content(text, after);
    auth_secret_wipe(&text);
}

static void hides_each_occurrence(void **state) {
    (void)state;
    check("a hush b hush", "hush", "a [redacted] b [redacted]");
    check("hushhush", "hush", "[redacted][redacted]");
    check("hush", "hush", "[redacted]");
    check("hus", "hush", "hus");
    check("", "hush", "");
    check("nothing here", "hush", "nothing here");
}

static void hides_it_in_any_case(void **state) {
    (void)state;
    check("HUSH and Hush", "hush", "[redacted] and [redacted]");
}

static void hides_it_encoded(void **state) {
    (void)state;
    check("secret=a%2Fb+c%25;", "a/b c%", "secret=[redacted];");
    check("secret=a%2fb%20c%25;", "a/b c%", "secret=[redacted];");
    check("x Ab~8Q%2Bxyz a!b%26cdef", "Ab~8Q+xyz",
          "x [redacted] a!b%26cdef"); /* encoders differ in what they leave */
    check("a!b%26cdef", "a!b&cdef", "[redacted]");
    check("raw 5%25 or 5%2525", "5%25", "raw [redacted] or [redacted]");
    check("a%26b", "a&b", "[redacted]");
    check("redacted", "redacted", "[redacted]");
}

static void hides_all_where_the_secret_is_short(void **state) {
    (void)state;
    check("the secret is abc", "abc", "[redacted]");
    check("the secret is hidden", "abc", "the secret is hidden");
}

static void leaves_text_alone_without_a_secret(void **state) {
    (void)state;
    check("text", "", "text");
}

static void sees_past_a_nul(void **state) {
    (void)state;
    struct auth_secret text = {0};
    assert_true(auth_secret_append(&text, "a\0hush", 6));
    assert_true(auth_redact(&text, "hush", 4));
    assert_int_equal(text.length, 12);
    assert_memory_equal(text.data, "a\0[redacted]", 13);
    auth_secret_wipe(&text);
}

/* A text that would not fit once each short needle became `[redacted]` must end empty, not unredacted. */
static void ends_empty_when_it_fails(void **state) {
    (void)state;
    struct auth_secret text = {0};
    assert_true(auth_secret_reserve(&text, AUTH_SECRET_MAX));
    for (size_t i = 0; i < AUTH_SECRET_MAX / 4; i++)
        assert_true(auth_secret_append(&text, "hush", 4));
    assert_false(auth_redact(&text, "hush", 4));
    assert_int_equal(text.length, 0);
    assert_null(text.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hides_each_occurrence),
        cmocka_unit_test(hides_it_in_any_case),
        cmocka_unit_test(hides_it_encoded),
        cmocka_unit_test(hides_all_where_the_secret_is_short),
        cmocka_unit_test(leaves_text_alone_without_a_secret),
        cmocka_unit_test(sees_past_a_nul),
        cmocka_unit_test(ends_empty_when_it_fails),
    };
    return auth_secret_init() ? RUN(tests) : 1;
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cache/seal.h"

static const char identity[] = "token_url=https%3A%2F%2Fa&client_id=b";

static struct auth_secret key;
static char name[AUTH_SEAL_NAME_LENGTH + 1];

static void derive(struct auth_secret *out, char *out_name, const char *text, const char *what) {
    struct auth_secret secret = {0};
    assert_true(auth_secret_append(&secret, text, strlen(text)));
    assert_true(auth_seal_derive(out, out_name, &secret, what, strlen(what)));
    auth_secret_wipe(&secret);
}

static struct auth_record example(void) {
    struct auth_record record = {.id = 0xFEDCBA9876543210,
                                 .took_ns = -5,
                                 .sent = {.boot_ns = 1234567890123, .wall_ns = INT64_C(1795484800000000000)},
                                 .date_s = -1,
                                 .retry_after_s = 17,
                                 .status = 429,
                                 .failures = 3};
    memset(record.boot_id, 0xA5, sizeof record.boot_id);
    record.body = (const unsigned char *)"{\"access_token\":\"hush\"}";
    record.body_length = 23;
    return record;
}

static struct auth_secret sealed_example(void) {
    struct auth_record record = example();
    struct auth_secret out = {0};
    assert_true(auth_seal_encrypt(&out, &record, &key, name));
    return out;
}

static bool opens(const struct auth_secret *bytes, const struct auth_secret *with, const char *as) {
    struct auth_record record;
    struct auth_secret copy = {0};
    assert_true(auth_secret_append(&copy, bytes->data, bytes->length));
    bool ok = auth_seal_decrypt(&record, &copy, with, as);
    if (!ok) {
        static const struct auth_record nothing;
        assert_memory_equal(&record, &nothing, sizeof record);
    }
    auth_secret_wipe(&copy);
    return ok;
}

static void brings_back_what_was_sealed(void **state) {
    (void)state;
    struct auth_secret bytes = sealed_example();
    struct auth_record before = example();
    struct auth_record after;
    assert_int_equal(bytes.length, AUTH_SEAL_OVERHEAD + 23);
    assert_memory_equal(bytes.data, "central-auth/1\r\n", 16);
    assert_true(auth_seal_decrypt(&after, &bytes, &key, name));
    assert_memory_equal(after.boot_id, before.boot_id, sizeof before.boot_id);
    assert_true(after.id == before.id);
    assert_int_equal(after.took_ns, -5);
    assert_int_equal(after.sent.boot_ns, before.sent.boot_ns);
    assert_int_equal(after.sent.wall_ns, before.sent.wall_ns);
    assert_int_equal(after.date_s, -1);
    assert_int_equal(after.retry_after_s, 17);
    assert_int_equal(after.status, 429);
    assert_int_equal(after.failures, 3);
    assert_int_equal(after.body_length, 23);
    assert_memory_equal(after.body, before.body, 23);
    assert_true(after.body > bytes.data && after.body + 23 <= bytes.data + bytes.length);
    auth_secret_wipe(&bytes);
}

static void seals_empty_and_largest_bodies(void **state) {
    (void)state;
    static unsigned char zeros[AUTH_SEAL_BODY_MAX + 1];
    for (size_t length = 0; length <= sizeof zeros; length += AUTH_SEAL_BODY_MAX / 2) {
        struct auth_record record = {.id = 1, .status = 200, .body = zeros, .body_length = length};
        struct auth_secret out = {0};
        assert_true(auth_seal_encrypt(&out, &record, &key, "n"));
        assert_true(opens(&out, &key, "n"));
        auth_secret_wipe(&out);
    }
    struct auth_record record = {.id = 1, .status = 200, .body = zeros, .body_length = sizeof zeros};
    struct auth_secret out = {0};
    assert_false(auth_seal_encrypt(&out, &record, &key, "n"));
    assert_int_equal(out.length, 0);
    auth_secret_wipe(&out);
}

static void tells_nothing_without_the_key(void **state) {
    (void)state;
    struct auth_secret bytes = sealed_example();
    struct auth_secret again = sealed_example();
    assert_null(memmem(bytes.data, bytes.length, "hush", 4));
    assert_memory_not_equal(bytes.data + 16, again.data + 16, 24); /* the nonce */
    assert_memory_not_equal(bytes.data + 40, again.data + 40, bytes.length - 40);
    auth_secret_wipe(&bytes);
    auth_secret_wipe(&again);
}

static void takes_a_changed_byte_for_nothing(void **state) {
    (void)state;
    struct auth_secret bytes = sealed_example();
    assert_true(opens(&bytes, &key, name));
    for (size_t i = 0; i < bytes.length; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            bytes.data[i] ^= (unsigned char)bit;
            assert_false(opens(&bytes, &key, name));
            bytes.data[i] ^= (unsigned char)bit;
        }
    }
    auth_secret_wipe(&bytes);
}

static void takes_any_other_length_for_nothing(void **state) {
    (void)state;
    struct auth_secret bytes = sealed_example();
    size_t length = bytes.length;
    for (bytes.length = 0; bytes.length < length; bytes.length++)
        assert_false(opens(&bytes, &key, name));
    assert_true(auth_secret_append(&bytes, "x", 1));
    assert_false(opens(&bytes, &key, name));
    auth_secret_wipe(&bytes);
}

static void binds_name_key_secret_and_identity(void **state) {
    (void)state;
    struct auth_secret bytes = sealed_example();
    struct auth_secret other = {0};
    char other_name[AUTH_SEAL_NAME_LENGTH + 1];
    assert_false(opens(&bytes, &key, "name"));
    assert_false(opens(&bytes, &key, ""));
    assert_false(opens(&bytes, &other, name)); /* an empty key */
    static const char *const others[][2] = {{"0123456789abcdefg", identity},
                                            {"0123456789abcdeg", identity},
                                            {"0123456789abcdef", "token_url=https%3A%2F%2Fa&client_id=c"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        derive(&other, other_name, others[i][0], others[i][1]);
        assert_false(opens(&bytes, &other, name));
        assert_string_not_equal(name, other_name);
    }
    derive(&other, other_name, "0123456789abcdef", identity);
    assert_true(auth_secret_equal(&key, &other));
    assert_string_equal(name, other_name);
    auth_secret_wipe(&other);
    auth_secret_wipe(&bytes);
}

static void takes_a_record_without_an_id_for_nothing(void **state) {
    (void)state;
    struct auth_record record = example();
    struct auth_secret out = {0};
    record.id = 0;
    assert_true(auth_seal_encrypt(&out, &record, &key, name));
    assert_false(opens(&out, &key, name));
    auth_secret_wipe(&out);
}

static void derives_a_name_of_hexadecimal_digits(void **state) {
    (void)state;
    assert_int_equal(strlen(name), AUTH_SEAL_NAME_LENGTH);
    assert_int_equal(strspn(name, "0123456789abcdef"), AUTH_SEAL_NAME_LENGTH);
    assert_int_equal(key.length, 32);
}

static void refuses_short_secrets(void **state) {
    (void)state;
    struct auth_secret short_one = {0};
    struct auth_secret out = {0};
    char unused[AUTH_SEAL_NAME_LENGTH + 1];
    assert_true(auth_secret_append(&short_one, "0123456789abcde", 15));
    assert_false(auth_seal_derive(&out, unused, &short_one, identity, sizeof identity));
    assert_int_equal(out.length, 0);
    auth_secret_wipe(&short_one);
    auth_secret_wipe(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_back_what_was_sealed),
        cmocka_unit_test(seals_empty_and_largest_bodies),
        cmocka_unit_test(tells_nothing_without_the_key),
        cmocka_unit_test(takes_a_changed_byte_for_nothing),
        cmocka_unit_test(takes_any_other_length_for_nothing),
        cmocka_unit_test(binds_name_key_secret_and_identity),
        cmocka_unit_test(takes_a_record_without_an_id_for_nothing),
        cmocka_unit_test(derives_a_name_of_hexadecimal_digits),
        cmocka_unit_test(refuses_short_secrets),
    };
    if (!auth_secret_init())
        return 1;
    derive(&key, name, "0123456789abcdef", identity);
    int failed = RUN(tests);
    auth_secret_wipe(&key);
    return failed;
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/redact.h"

#include <stdlib.h>
#include <time.h>

static void check(const char *before, const char *needle, const char *after) {
    struct auth_secret text = {0};
    assert_true(auth_secret_append(&text, before, strlen(before)));
    assert_true(auth_redact(&text, needle, strlen(needle), false));
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

static void hides_what_overlaps(void **state) {
    (void)state;
    check("x ababab y", "abab", "x [redacted] y");
    check("aaaaaaaa-", "aaaa", "[redacted]-");
}

static void hides_it_behind_half_a_code(void **state) {
    (void)state;
    check("%2fab/cd", "2fab/cd", "%[redacted]");
    check("%2Fab%2fcd", "2fab/cd", "%[redacted]");
    check("%2fabcd", "fabcd", "%2[redacted]");
    check("%2fab%2fcd", "fab/cd", "%2[redacted]");
    check("%3fab%2fcd", "2fab/cd", "%3fab%2fcd");
    check("hu%73h%20x%4", "hush x", "[redacted]%4");
}

static void hides_it_where_codes_of_its_own_were_left_alone(void **state) {
    (void)state;
    check("GET /?s=a%41b%20cd HTTP", "a%41b cd", "GET /?s=[redacted] HTTP");
}

static void check_cut(const char *before, const char *needle, const char *after) {
    struct auth_secret text = {0};
    assert_true(auth_secret_append(&text, before, strlen(before)));
    assert_true(auth_redact(&text, needle, strlen(needle), true));
    assert_content(text, after);
    auth_secret_wipe(&text);
}

static void leaves_out_what_the_cut_may_divide(void **state) {
    (void)state;
    check_cut("a token: hus", "hush", "");
    check_cut("this is a token: hus", "hush", "this is ");
    check_cut("this hush token: hush", "hush", "this [redacted]");
    check_cut("this token is: %68%75%73%6", "hush", "this token is:");
    check_cut("the hush of a wood", "hush", "the [redacted]");
    check_cut("h", "hush hush", "");
}

static double cpu_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A text that repeats all but the end of a long needle at each of its bytes: to compare one place after the
 * other takes two thousand million comparisons, or 26 s. It is hidden whole before that. */
static void takes_linear_time(void **state) {
    (void)state;
    enum { SIZE = 60000 };
    static char needle[SIZE + 1];
    static char before[2 * SIZE + 1];
    for (size_t i = 0; i < SIZE; i += 3)
        memcpy(needle + i, "%61", 3);
    memset(before, 'a', 2 * SIZE);
    memcpy(before, "%2f", 3);
    double start = cpu_s();
    needle[SIZE - 1] = 'x';
    check(before, needle, "[redacted]");
    memset(needle, 'a', SIZE - 1);
    check(before, needle, "[redacted]");
    assert_true(cpu_s() - start < 5 || getenv("UNDER_VALGRIND") != NULL);
}

static void sees_past_a_nul(void **state) {
    (void)state;
    struct auth_secret text = {0};
    assert_true(auth_secret_append(&text, "a\0hush", 6));
    assert_true(auth_redact(&text, "hush", 4, false));
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
    assert_false(auth_redact(&text, "hush", 4, false));
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
        cmocka_unit_test(hides_what_overlaps),
        cmocka_unit_test(hides_it_behind_half_a_code),
        cmocka_unit_test(hides_it_where_codes_of_its_own_were_left_alone),
        cmocka_unit_test(leaves_out_what_the_cut_may_divide),
        cmocka_unit_test(takes_linear_time),
        cmocka_unit_test(sees_past_a_nul),
        cmocka_unit_test(ends_empty_when_it_fails),
    };
    return auth_secret_init() ? RUN(tests) : 1;
}

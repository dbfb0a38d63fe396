/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/secret.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void starts_empty_and_grows(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(auth_secret_append(&secret, "abc", 3));
    assert_int_equal(secret.length, 3000);
    assert_int_equal(strlen((const char *)secret.data), 3000);
    assert_memory_equal(secret.data + 2997, "abc", 4);
    auth_secret_wipe(&secret);
}

static void grows_in_plain_memory_where_it_is_no_secret(void **state) {
    (void)state;
    struct auth_secret text = {.plain = true};
    for (int i = 0; i < 100000; i++)
        assert_true(auth_secret_append(&text, "0123456789", 10));
    assert_int_equal(text.length, 1000000);
    assert_memory_equal(text.data + 999990, "0123456789", 11);
    auth_secret_empty(&text); /* so much is not kept */
    assert_null(text.data);
    auth_secret_wipe(&text);
}

static void appends_nothing_without_harm(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    assert_true(auth_secret_append(&secret, NULL, 0));
    assert_content(secret, "");
    auth_secret_wipe(&secret);
}

static void drops_a_byte_order_mark_at_its_begin_alone(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    auth_secret_drop_mark(&secret);
    assert_int_equal(secret.length, 0);
    assert_true(auth_secret_append(&secret, "\xEF\xBB", 2));
    auth_secret_drop_mark(&secret);
    assert_content(secret, "\xEF\xBB");
    assert_true(auth_secret_append(&secret, "\xBFhush\xEF\xBB\xBF", 8));
    auth_secret_drop_mark(&secret);
    assert_content(secret, "hush\xEF\xBB\xBF");
    assert_int_equal(secret.data[secret.length], '\0');
    auth_secret_wipe(&secret);
}

static void wipes_any_number_of_times(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    auth_secret_wipe(&secret);
    assert_true(auth_secret_append(&secret, "abc", 3));
    auth_secret_wipe(&secret);
    auth_secret_wipe(&secret);
    assert_null(secret.data);
    assert_int_equal(secret.length, 0);
    assert_int_equal(secret.capacity, 0);
}

static void refuses_more_than_the_maximum_and_keeps_what_it_has(void **state) {
    (void)state;
    static unsigned char block[AUTH_SECRET_MAX];
    struct auth_secret secret = {0};
    assert_true(auth_secret_append(&secret, "abc", 3));
    assert_false(auth_secret_append(&secret, block, AUTH_SECRET_MAX - 2));
    assert_false(auth_secret_append(&secret, block, SIZE_MAX));
    assert_false(auth_secret_reserve(&secret, AUTH_SECRET_MAX + 1));
    assert_content(secret, "abc");
    assert_true(auth_secret_append(&secret, block, AUTH_SECRET_MAX - 3));
    assert_int_equal(secret.length, AUTH_SECRET_MAX);
    assert_false(auth_secret_append(&secret, "x", 1));
    auth_secret_wipe(&secret);
}

static void keeps_its_memory_when_emptied_unless_that_is_large(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    auth_secret_empty(&secret);
    assert_null(secret.data);
    assert_true(auth_secret_append(&secret, "secret", 6));
    const unsigned char *data = secret.data;
    auth_secret_empty(&secret);
    assert_true(secret.data == data && secret.length == 0);
    assert_memory_equal(data, "\0\0\0\0\0\0", 6);
    assert_true(auth_secret_reserve(&secret, AUTH_SECRET_KEPT + 1));
    auth_secret_empty(&secret);
    assert_null(secret.data);
}

static void truncates_and_zeroes_the_rest(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    auth_secret_truncate(&secret, 0);
    assert_true(auth_secret_append(&secret, "abcdef", 6));
    auth_secret_truncate(&secret, 9);
    assert_content(secret, "abcdef");
    auth_secret_truncate(&secret, 2);
    assert_content(secret, "ab");
    assert_memory_equal(secret.data, "ab\0\0\0\0", 6);
    auth_secret_wipe(&secret);
}

static void compares_length_and_bytes(void **state) {
    (void)state;
    struct auth_secret a = {0};
    struct auth_secret b = {0};
    assert_true(auth_secret_equal(&a, &b));
    assert_true(auth_secret_append(&a, "a\0b", 3));
    assert_false(auth_secret_equal(&a, &b));
    assert_true(auth_secret_append(&b, "a\0c", 3));
    assert_false(auth_secret_equal(&a, &b));
    auth_secret_truncate(&b, 2);
    assert_true(auth_secret_append(&b, "b", 1));
    assert_true(auth_secret_equal(&a, &b));
    auth_secret_wipe(&a);
    auth_secret_wipe(&b);
}

static void encodes_base64(void **state) { /* the vectors of RFC 4648, 10 */
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct auth_secret secret = {0};
        assert_true(auth_secret_append(&secret, "", 0));
        assert_true(
            auth_secret_append_base64(&secret, (const unsigned char *)vectors[i][0], strlen(vectors[i][0])));
        assert_content(secret, vectors[i][1]);
        auth_secret_wipe(&secret);
    }
    struct auth_secret secret = {0};
    assert_false(auth_secret_append_base64(&secret, (const unsigned char *)"", AUTH_SECRET_MAX));
    auth_secret_wipe(&secret);
}

static void decodes_base64url_and_nothing_else(void **state) {
    (void)state;
    static const char *const bad[] = {"", "Zg==", "Zm9v!", "Zm9v Zg", "+/+/", "Z"};
    struct auth_secret secret = {0};
    assert_true(auth_secret_from_base64url(&secret, "Zm9vYg", 6));
    assert_content(secret, "foob");
    assert_true(auth_secret_from_base64url(&secret, "-_8", 3));
    assert_int_equal(secret.length, 2);
    assert_memory_equal(secret.data, "\xFB\xFF", 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(auth_secret_from_base64url(&secret, bad[i], strlen(bad[i])));
        assert_string_equal(secret.data, "");
    }
    auth_secret_wipe(&secret);
}

/* libsodium ends a process that writes past the guard page or over the canary. */
static void guards_its_borders(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct auth_secret secret = {0};
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
        if (!auth_secret_reserve(&secret, 100))
            _exit(1);
        volatile unsigned char *beyond = secret.data + secret.capacity + 1;
        *beyond = 1;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

/* Whether the kernel's flags of the mapping at `address` have "dd" (MADV_DONTDUMP). */
static bool is_kept_out_of_core_files(const void *address) {
    char line[512];
    bool inside = false;
    bool kept = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        char *end = NULL;
        uintptr_t from = strtoul(line, &end, 16);
        if (end != line && *end == '-')
            inside = (uintptr_t)address >= from && (uintptr_t)address < strtoul(end + 1, NULL, 16);
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            kept = strstr(line, " dd") != NULL;
    }
    if (maps != NULL)
        (void)fclose(maps);
    return kept;
}

/* First with a page that surely is kept out: qemu for one neither passes that on to the kernel nor shows its
 * flags. */
static void stays_out_of_core_files(void **state) {
    (void)state;
    struct auth_secret secret = {0};
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    bool visible = madvise(page, size, MADV_DONTDUMP) == 0 && is_kept_out_of_core_files(page);
    assert_int_equal(munmap(page, size), 0);
    if (!visible)
        SKIP("the flags of memory can't be seen here, as under qemu");
    assert_true(auth_secret_append(&secret, "abc", 3));
    assert_true(is_kept_out_of_core_files(secret.data));
    auth_secret_wipe(&secret);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_and_grows),
        cmocka_unit_test(grows_in_plain_memory_where_it_is_no_secret),
        cmocka_unit_test(appends_nothing_without_harm),
        cmocka_unit_test(drops_a_byte_order_mark_at_its_begin_alone),
        cmocka_unit_test(wipes_any_number_of_times),
        cmocka_unit_test(refuses_more_than_the_maximum_and_keeps_what_it_has),
        cmocka_unit_test(keeps_its_memory_when_emptied_unless_that_is_large),
        cmocka_unit_test(truncates_and_zeroes_the_rest),
        cmocka_unit_test(compares_length_and_bytes),
        cmocka_unit_test(encodes_base64),
        cmocka_unit_test(decodes_base64url_and_nothing_else),
        cmocka_unit_test(guards_its_borders),
        cmocka_unit_test(stays_out_of_core_files),
    };
    return auth_secret_init() && auth_secret_init() ? RUN(tests) : 1;
}

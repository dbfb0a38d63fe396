/* What a reply looks like to who can't read JSON: a token only where there is no doubt. How long a store
 * keeps it, which record it goes into, what is done for two stores at once. SPDX-License-Identifier: MIT */
#include "cache/cache.h"
#include "cache/share.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static enum auth_share_kind judge(uint32_t status, const char *body) {
    struct auth_share share = {0};
    assert_true(auth_secret_append(&share.held, "he/ld", 5));
    struct auth_record record = {
        .status = status, .body = (const unsigned char *)body, .body_length = strlen(body)};
    enum auth_share_kind kind = auth_share_judge(&share, &record);
    auth_share_end(&share);
    return kind;
}

static void sees_tokens_in_plain_replies(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"access_token\":\"t\"}",
        " {\"token_type\" : \"bearer\",\r\n\t\"access_token\" : \"a.b-c!|~\" , \"expires_in\":3600}\n",
        "{\"access_token\":\"he/ld/\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"he/l\",\"token_type\":\"BearerToken\"}",
        "{\"access_token\":\"php\\/s\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(judge(200, bodies[i]), AUTH_SHARE_TOKEN);
        assert_int_equal(judge(302, bodies[i]), AUTH_SHARE_NOTHING);
        assert_int_equal(judge(400, bodies[i]), AUTH_SHARE_REFUSAL);
    }
}

static void leaves_what_is_not_plain_to_who_can_read_it(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"access_token\":\"t\",\"token_type\":\"DPoP\"}",
        "{\"access_token\":\"t\",\"token_type\":\"bear\"}",
        "{\"access_token\":\"t\",\"token_type\":7}",
        "{\"access_token\":\"t\",\"token_type\":\"bearer\",\"token_type\":\"mac\"}",
        "{\"access_token\":\"t\",\"error\":null}",
        "{\"access_token\":\"\"}",
        "{\"access_token\":null}",
        "{\"access_token\":7}",
        "{\"access_token\":\"t",
        "{\"access_token\"",
        "{\"access_token\":",
        "{\"access_token\":\"a b\"}",
        "{\"access_token\":\"a\\u0062\"}",
        "{\"access_token\":\"\303\274\"}",
        "{\"access_token\":\"a\",\"access_token\":\"b\"}",
        "{\"data\":{\"access_token\":\"t\"}}",
        "[\"access_token\",\"t\"]",
        "{\"access_token\":\"t\"} and more",
        "<html>\"access_token\":\"t\"</html>",
        "{\"access_token\":\"he/ld\"}",
        "{\"access_token\":\"he\\/ld\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(judge(200, bodies[i]), AUTH_SHARE_UNCLEAR);
}

static void sees_refusals(void **state) {
    (void)state;
    assert_int_equal(judge(200, "{\"error\":\"invalid_client\"}"), AUTH_SHARE_REFUSAL);
    assert_int_equal(judge(401, ""), AUTH_SHARE_REFUSAL);
    assert_int_equal(judge(503, "{\"access_token\":\"t\"}"), AUTH_SHARE_REFUSAL);
    assert_int_equal(judge(200, ""), AUTH_SHARE_NOTHING);
    assert_int_equal(judge(200, "<html>"), AUTH_SHARE_NOTHING);
    struct auth_share share = {0};
    struct auth_record record = {.status = 200};
    assert_int_equal(auth_share_judge(&share, &record), AUTH_SHARE_NOTHING);
}

static struct auth_clock wall;
static char root[] = "/tmp/central-auth-XXXXXX";

static struct auth_record record_of(const char *body, uint32_t status) {
    return (struct auth_record){.sent = auth_clock_now(&wall),
                                .date_s = -1,
                                .retry_after_s = -1,
                                .status = status,
                                .body = (const unsigned char *)body,
                                .body_length = strlen(body)};
}

static void keeps_a_token_as_long_as_it_says(void **state) {
    (void)state;
    static const struct {
        const char *rest;
        int64_t life_s;
    } cases[] = {{",\"expires_in\":7200}", 7200},
                 {",\"expires_in\" :\n\"600\"}", 600},
                 {",\"expires_in\":00900.7}", 900},
                 {",\"expires_in\":3.6e3}", 3},
                 {",\"expires_in\":36e2}", 300},
                 {",\"expires_in\":99999999999}", 86400},
                 {",\"expires_in\":0}", 300},
                 {",\"expires_in\":-5}", 300},
                 {",\"expires_in\":null}", 300},
                 {",\"expires_in\"", 300},
                 {",\"expires_in\":", 300},
                 {",\"expires_in\":7", 7},
                 {"}", 300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[128];
        (void)snprintf(body, sizeof body, "{\"access_token\":\"t\"%s", cases[i].rest);
        struct auth_record record = record_of(body, 200);
        assert_int_equal(auth_share_life_ms(&record, AUTH_SHARE_TOKEN), cases[i].life_s * 1000);
    }
}

static void keeps_a_refusal_as_long_as_it_matters(void **state) {
    (void)state;
    struct auth_record record = record_of("", 429);
    assert_int_equal(auth_share_life_ms(&record, AUTH_SHARE_REFUSAL), 120000);
    record.retry_after_s = 600;
    assert_int_equal(auth_share_life_ms(&record, AUTH_SHARE_REFUSAL), 600000);
    record.retry_after_s = 1000000;
    assert_int_equal(auth_share_life_ms(&record, AUTH_SHARE_REFUSAL), 3600000);
}

static bool is_there(const char *folder, const char *name) {
    struct auth_secret bytes = {0};
    const char *why = NULL;
    bool there = auth_cache_read(folder, name, &bytes, &why) == AUTH_STORE_OK;
    auth_secret_wipe(&bytes);
    return there;
}

static void fills_both_stores_whatever_becomes_of_either(void **state) {
    (void)state;
    char near[64];
    char far[64];
    struct auth_share share = {.name = "n"};
    const char *why[AUTH_SHARE_STORES] = {NULL};
    (void)snprintf(near, sizeof near, "%s/near", root);
    (void)snprintf(far, sizeof far, "%s/far", root);
    assert_true(auth_secret_append(&share.key, "01234567890123456789012345678901", 32));
    share.stores[AUTH_SHARE_NEAR] = auth_folder_new(near);
    share.stores[AUTH_SHARE_FAR] = auth_folder_new(far);
    struct auth_record token = record_of("{\"access_token\":\"t\",\"expires_in\":60}", 200);
    struct auth_record failure = record_of("{}", 401);
    auth_share_reply(&share, &failure, AUTH_SHARE_REFUSAL, &wall, why);
    assert_true(is_there(near, "n.failed") && is_there(far, "n.failed"));
    auth_share_reply(&share, &token, AUTH_SHARE_TOKEN, &wall, why);
    assert_true(is_there(near, "n.token") && is_there(far, "n.token"));
    assert_false(is_there(near, "n.failed") || is_there(far, "n.failed"));
    auth_share_free(&share);
    share.stores[AUTH_SHARE_NEAR] = auth_folder_new("/proc/nowhere");
    share.stores[AUTH_SHARE_FAR] = auth_folder_new(far);
    auth_share_reply(&share, &failure, AUTH_SHARE_REFUSAL, &wall, why);
    assert_non_null(why[AUTH_SHARE_NEAR]);
    assert_null(why[AUTH_SHARE_FAR]);
    assert_true(is_there(far, "n.failed"));
    auth_share_end(&share);
    auth_share_end(&share);
    auth_share_free(&share);
    auth_share_free(&share);
}

static void puts_nothing_dead_beyond_this_machine(void **state) {
    (void)state;
    char far[64];
    struct auth_share share = {.name = "n"};
    const char *why[AUTH_SHARE_STORES] = {NULL};
    (void)snprintf(far, sizeof far, "%s/dead", root);
    assert_true(auth_secret_append(&share.key, "01234567890123456789012345678901", 32));
    share.stores[AUTH_SHARE_FAR] = auth_folder_new(far);
    struct auth_record token = record_of("{\"access_token\":\"t\",\"expires_in\":60}", 200);
    token.sent.boot_ns -= 61 * AUTH_NS_PER_S;
    auth_share_reply(&share, &token, AUTH_SHARE_TOKEN, &wall, why);
    assert_null(why[AUTH_SHARE_FAR]);
    assert_false(is_there(far, "n.token"));
    auth_share_end(&share);
    auth_share_free(&share);
}

static void shares_nothing_that_is_not_clear(void **state) {
    (void)state;
    char near[64];
    struct auth_share share = {.name = "n"};
    const char *why[AUTH_SHARE_STORES] = {NULL};
    (void)snprintf(near, sizeof near, "%s/unclear", root);
    assert_true(auth_secret_append(&share.key, "01234567890123456789012345678901", 32));
    share.stores[AUTH_SHARE_NEAR] = auth_folder_new(near);
    struct auth_record token = record_of("{\"access_token\":\"t\",\"expires_in\":60}", 200);
    auth_share_reply(&share, &token, AUTH_SHARE_UNCLEAR, &wall, why);
    auth_share_reply(&share, &token, AUTH_SHARE_NOTHING, &wall, why);
    assert_null(why[AUTH_SHARE_NEAR]);
    assert_false(is_there(near, "n.token") || is_there(near, "n.failed"));
    auth_share_end(&share);
    auth_share_free(&share);
}

static bool exits(void) {
    return false;
}

static void shares_nothing_once_the_process_exits(void **state) {
    (void)state;
    char near[64];
    struct auth_share share = {.name = "n", .enter = exits};
    const char *why[AUTH_SHARE_STORES] = {NULL};
    struct auth_lock other;
    (void)snprintf(near, sizeof near, "%s/exits", root);
    assert_true(auth_secret_append(&share.key, "01234567890123456789012345678901", 32));
    struct auth_store *store = share.stores[AUTH_SHARE_NEAR] = auth_folder_new(near);
    assert_int_equal(store->kind->lock(store, "l", 0, &share.locks[AUTH_SHARE_NEAR], why), AUTH_STORE_OK);
    struct auth_record token = record_of("{\"access_token\":\"t\",\"expires_in\":60}", 200);
    auth_share_reply(&share, &token, AUTH_SHARE_TOKEN, &wall, why);
    assert_string_equal(why[AUTH_SHARE_NEAR], "the process is exiting");
    assert_false(is_there(near, "n.token"));
    auth_share_end(&share); /* its lock ends all the same */
    assert_int_equal(store->kind->lock(store, "l", 0, &other, why), AUTH_STORE_OK);
    store->kind->unlock(store, &other);
    auth_share_free(&share);
}

static void branches_without_locks_and_token(void **state) {
    (void)state;
    struct auth_share from = {.name = "n", .failures = 3};
    struct auth_share to = {0};
    assert_true(auth_secret_append(&from.key, "01234567890123456789012345678901", 32));
    assert_true(auth_secret_append(&from.held, "t", 1));
    from.stores[AUTH_SHARE_NEAR] = auth_folder_new(root);
    from.locks[AUTH_SHARE_NEAR].held = true;
    assert_true(auth_share_branch(&to, &from));
    assert_string_equal(to.name, "n");
    assert_int_equal(to.failures, 3);
    assert_int_equal(to.key.length, 32);
    assert_int_equal(to.held.length, 0);
    assert_false(to.locks[AUTH_SHARE_NEAR].held);
    assert_true(to.stores[AUTH_SHARE_NEAR] != NULL &&
                to.stores[AUTH_SHARE_NEAR] != from.stores[AUTH_SHARE_NEAR]);
    from.locks[AUTH_SHARE_NEAR].held = false;
    auth_share_end(&from);
    auth_share_end(&to);
    auth_share_free(&from);
    auth_share_free(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_tokens_in_plain_replies),
        cmocka_unit_test(leaves_what_is_not_plain_to_who_can_read_it),
        cmocka_unit_test(sees_refusals),
        cmocka_unit_test(keeps_a_token_as_long_as_it_says),
        cmocka_unit_test(keeps_a_refusal_as_long_as_it_matters),
        cmocka_unit_test(fills_both_stores_whatever_becomes_of_either),
        cmocka_unit_test(puts_nothing_dead_beyond_this_machine),
        cmocka_unit_test(shares_nothing_that_is_not_clear),
        cmocka_unit_test(shares_nothing_once_the_process_exits),
        cmocka_unit_test(branches_without_locks_and_token),
    };
    if (!auth_secret_init() || mkdtemp(root) == NULL)
        return 1;
    int failed = RUN(tests);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    return system(command) != 0 || failed;
}

/* What a reply looks like to who can't read JSON: a token only where there is no doubt.
 * SPDX-License-Identifier: MIT */
#include "share.h"
#include "unit.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_tokens_in_plain_replies),
        cmocka_unit_test(leaves_what_is_not_plain_to_who_can_read_it),
        cmocka_unit_test(sees_refusals),
    };
    return !auth_secret_init() || RUN(tests);
}

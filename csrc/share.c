/* Sharing a reply; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "share.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { OK_FIRST = 200, OK_LAST = 299, REFUSED_FIRST = 400 };

/* --- looks: of flat JSON objects, as token endpoints send them; what is less plain is unclear --- */

struct text {
    const char *at;
    const char *end;
};

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct text trimmed(struct text text) {
    while (text.at < text.end && is_blank(*text.at))
        text.at++;
    while (text.at < text.end && is_blank(text.end[-1]))
        text.end--;
    return text;
}

/* What follows the name's first mention; `at` is NULL without one. */
static struct text behind(struct text text, const char *name) {
    size_t length = strlen(name);
    const char *at = text.at == NULL ? NULL : memmem(text.at, (size_t)(text.end - text.at), name, length);
    return (struct text){.at = at == NULL ? NULL : at + length, .end = text.end};
}

static bool mentions(struct text text, const char *name) {
    return behind(text, name).at != NULL;
}

static bool is_flat(struct text body) {
    if (body.end - body.at < 2 || body.at[0] != '{' || body.end[-1] != '}')
        return false;
    for (const char *at = body.at + 1; at < body.end - 1; at++)
        if (strchr("{}[]", *at) != NULL) /* a NUL, too */
            return false;
    return true;
}

/* The string behind a name that is mentioned once; `at` is NULL where it is not that plain. */
static struct text string_of(struct text body, const char *name) {
    static const struct text none;
    struct text value = behind(body, name);
    if (value.at == NULL || mentions(value, name))
        return none;
    value = trimmed(value);
    if (value.at == value.end || *value.at++ != ':')
        return none;
    value = trimmed(value);
    if (value.at == value.end || *value.at++ != '"')
        return none;
    const char *end = memchr(value.at, '"', (size_t)(value.end - value.at));
    return end == NULL ? none : (struct text){.at = value.at, .end = end};
}

/* Visible ASCII; of escapes only that of the slash, which some servers use. */
static bool is_plain_token(struct text token) {
    for (const char *at = token.at; at < token.end; at++)
        if (*at <= ' ' || *at > '~' || (*at == '\\' && (at + 1 == token.end || at[1] != '/')))
            return false;
    return token.at != NULL && token.at < token.end;
}

static bool is_held(struct text token, const struct auth_secret *held) {
    size_t length = 0;
    for (const char *at = token.at; at < token.end; at++) {
        if (*at == '\\')
            continue;
        if (length >= held->length || held->data[length] != (unsigned char)*at)
            return false;
        length++;
    }
    return length == held->length;
}

static bool is_bearer(struct text body) {
    struct text type = string_of(body, "\"token_type\"");
    if (type.at == NULL)
        return !mentions(body, "\"token_type\"");
    size_t length = (size_t)(type.end - type.at);
    return (length == strlen("bearer") && strncasecmp(type.at, "bearer", length) == 0) ||
           (length == strlen("bearertoken") && strncasecmp(type.at, "bearertoken", length) == 0);
}

enum auth_share_kind auth_share_judge(const struct auth_share *share, const struct auth_record *record) {
    struct text body = {.at = (const char *)record->body};
    body.end = body.at == NULL ? NULL : body.at + record->body_length;
    bool refuses = record->status >= REFUSED_FIRST || mentions(body, "\"error\"");
    if (record->status < OK_FIRST || record->status > OK_LAST || !mentions(body, "\"access_token\""))
        return refuses ? AUTH_SHARE_REFUSAL : AUTH_SHARE_NOTHING;
    struct text token = string_of(body, "\"access_token\"");
    bool clear = !refuses && is_flat(trimmed(body)) && is_plain_token(token) && is_bearer(body) &&
                 !is_held(token, &share->held);
    return clear ? AUTH_SHARE_TOKEN : AUTH_SHARE_UNCLEAR;
}

/* --- records --- */

static bool keep(const struct auth_share *share, const struct auth_record *record, const char *name,
                 const char **why) {
    struct auth_secret bytes = {0};
    *why = "the reply is too large, or memory is short";
    bool kept = auth_seal_close(&bytes, record, &share->key, name) &&
                auth_cache_replace(share->folder, name, &bytes, why) == AUTH_CACHE_OK;
    auth_secret_wipe(&bytes);
    return kept;
}

bool auth_share_reply(const struct auth_share *share, struct auth_record *record, enum auth_share_kind kind,
                      const char **why) {
    char name[AUTH_SEAL_NAME_MAX + 1];
    bool token = kind == AUTH_SHARE_TOKEN;
    if (share->name[0] == '\0' || !(token || kind == AUTH_SHARE_REFUSAL))
        return true;
    record->failures = token ? 0 : share->failures;
    auth_clock_boot_id(record->boot_id);
    (void)snprintf(name, sizeof name, "%s%s", share->name, token ? ".token" : ".failed");
    if (!keep(share, record, name, why))
        return false;
    if (token) {
        const char *ignored = NULL;
        (void)snprintf(name, sizeof name, "%s.failed", share->name);
        (void)auth_cache_remove(share->folder, name, &ignored);
        auth_cache_sweep(share->folder, record->sent.wall_ns / AUTH_NS_PER_S);
    }
    return true;
}

void auth_share_end(struct auth_share *share) {
    share->name[0] = '\0';
    auth_secret_wipe(&share->key);
    auth_secret_wipe(&share->held);
}

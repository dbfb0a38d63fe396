/* Sharing a reply; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "cache/share.h"
#include "base/lifetime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    OK_FIRST = 200,
    OK_LAST = 299,
    REFUSED_FIRST = 400,
    STEP_MS = 1000,
    MS_PER_S = 1000,
    NS_PER_MS = 1000000,
    REFUSAL_S = 120,      /* nobody remembers a refusal for longer … */
    REFUSAL_MAX_S = 3600, /* … unless the server said so */
    DIGITS_MAX = 9
};

/* --- looks: of flat JSON objects, as token endpoints send them; what is less plain is unclear --- */

struct text {
    const char *at;
    const char *end;
};

static struct text body_of(const struct auth_record *record) {
    const char *at = (const char *)record->body;
    return (struct text){.at = at, .end = at == NULL ? NULL : at + record->body_length};
}

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
    if (value.at == value.end || *value.at != ':')
        return none;
    value.at++;
    value = trimmed(value);
    if (value.at == value.end || *value.at != '"')
        return none;
    value.at++;
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
    struct text body = body_of(record);
    bool refuses = record->status >= REFUSED_FIRST || mentions(body, "\"error\"");
    if (record->status < OK_FIRST || record->status > OK_LAST || !mentions(body, "\"access_token\""))
        return refuses ? AUTH_SHARE_REFUSAL : AUTH_SHARE_NOTHING;
    struct text token = string_of(body, "\"access_token\"");
    bool clear = !refuses && is_flat(trimmed(body)) && is_plain_token(token) && is_bearer(body) &&
                 !is_held(token, &share->held);
    return clear ? AUTH_SHARE_TOKEN : AUTH_SHARE_UNCLEAR;
}

/* The number behind "expires_in", a string or not; 0 where there is none. */
static double expires_in_s(struct text body) {
    struct text value = behind(body, "\"expires_in\"");
    double seconds = 0;
    if (value.at == NULL)
        return 0;
    while (value.at < value.end && (is_blank(*value.at) || *value.at == ':' || *value.at == '"'))
        value.at++;
    for (int digits = 0; value.at < value.end && *value.at >= '0' && *value.at <= '9' && digits < DIGITS_MAX;
         digits++)
        seconds = seconds * 10 + (*value.at++ - '0');
    bool powers = value.at < value.end && (*value.at == 'e' || *value.at == 'E');
    return powers ? 0 : seconds; /* 36e2 is not worth more code */
}

/* --- records --- */

int64_t auth_share_life_ms(const struct auth_record *record, enum auth_share_kind kind) {
    if (kind == AUTH_SHARE_REFUSAL) {
        int64_t wait_s = record->retry_after_s < REFUSAL_MAX_S ? record->retry_after_s : REFUSAL_MAX_S;
        return (wait_s > REFUSAL_S ? wait_s : REFUSAL_S) * MS_PER_S;
    }
    struct auth_lifetime_terms terms = {.expires_in_s = expires_in_s(body_of(record))};
    return auth_lifetime_begin(record->sent, terms).life_ns / NS_PER_MS;
}

/* Around what is done within libraries. false: it is not to be done any more. */
static bool enter(const struct auth_share *share) {
    return share->enter == NULL || share->enter();
}

static void leave(const struct auth_share *share) {
    if (share->leave != NULL)
        share->leave();
}

/* One step of one store: puts the bytes, or, where there are none, removes the record. */
static enum auth_store_result step(const struct auth_share *share, struct auth_store *store, const char *name,
                                   const struct auth_secret *bytes, int64_t life_ms, const char **why) {
    if (!enter(share)) {
        *why = "the process is exiting";
        return AUTH_STORE_UNFIT;
    }
    enum auth_store_result result = bytes != NULL ? store->kind->put(store, name, bytes, life_ms, why)
                                                  : store->kind->remove(store, name, why);
    leave(share);
    return result;
}

/* NULL, or why not. */
static const char *finish(const struct auth_share *share, struct auth_store *store, const char *name,
                          const struct auth_secret *bytes, int64_t life_ms) {
    enum auth_store_result result;
    const char *why = NULL;
    while ((result = step(share, store, name, bytes, life_ms, &why)) == AUTH_STORE_PENDING)
        (void)store->kind->wait(store, STEP_MS);
    return result == AUTH_STORE_UNFIT ? why : NULL;
}

/* A reply on its way into a store. */
struct parcel {
    char name[AUTH_SEAL_NAME_MAX + 1];
    struct auth_secret bytes;
    int64_t life_ms;
};

/* NULL, or why not; wipe the bytes in any case. */
static const char *pack(struct parcel *parcel, const struct auth_share *share, struct auth_record *record,
                        enum auth_share_kind kind, const struct auth_clock *clock) {
    bool token = kind == AUTH_SHARE_TOKEN;
    int64_t age_ns = auth_clock_boot_ns(clock) - record->sent.boot_ns;
    parcel->life_ms = auth_share_life_ms(record, kind) - (age_ns > 0 ? age_ns / NS_PER_MS : 0);
    record->failures = token ? 0 : share->failures;
    auth_clock_boot_id(record->boot_id);
    (void)snprintf(parcel->name, sizeof parcel->name, "%s%s", share->name, token ? ".token" : ".failed");
    return auth_seal_encrypt(&parcel->bytes, record, &share->key, parcel->name)
               ? NULL
               : "the reply is too large, or memory is short";
}

void auth_share_reply(const struct auth_share *share, struct auth_record *record, enum auth_share_kind kind,
                      const struct auth_clock *clock, const char *why[AUTH_SHARE_STORES]) {
    char failure[AUTH_SEAL_NAME_MAX + 1];
    struct parcel parcel = {.life_ms = 0};
    bool token = kind == AUTH_SHARE_TOKEN;
    if (share->name[0] == '\0' || !(token || kind == AUTH_SHARE_REFUSAL))
        return;
    const char *problem = pack(&parcel, share, record, kind, clock);
    (void)snprintf(failure, sizeof failure, "%s.failed", share->name);
    for (int i = 0; i < AUTH_SHARE_STORES; i++) {
        struct auth_store *store = share->stores[i];
        if (store == NULL || (i == AUTH_SHARE_FAR && parcel.life_ms <= 0))
            continue;
        why[i] = problem != NULL ? problem : finish(share, store, parcel.name, &parcel.bytes, parcel.life_ms);
        if (why[i] == NULL && token)
            (void)finish(share, store, failure, NULL, 0);
    }
    auth_secret_wipe(&parcel.bytes);
}

/* Sealed anew for each step, of which the store takes what it has not said yet. */
enum auth_store_result auth_share_step(const struct auth_share *share, struct auth_store *store,
                                       struct auth_record *record, enum auth_share_kind kind,
                                       const struct auth_clock *clock, const char **why) {
    struct parcel parcel = {.life_ms = 0};
    enum auth_store_result result = AUTH_STORE_ABSENT;
    *why = pack(&parcel, share, record, kind, clock);
    if (*why != NULL)
        result = AUTH_STORE_UNFIT;
    else if (parcel.life_ms > 0)
        result = step(share, store, parcel.name, &parcel.bytes, parcel.life_ms, why);
    auth_secret_wipe(&parcel.bytes);
    return result;
}

bool auth_share_branch(struct auth_share *to, const struct auth_share *from) {
    memcpy(to->name, from->name, sizeof to->name);
    to->failures = from->failures;
    for (int i = 0; i < AUTH_SHARE_STORES; i++) {
        struct auth_store *store = from->stores[i];
        to->stores[i] = store != NULL ? store->kind->branch(store) : NULL;
        if (store != NULL && to->stores[i] == NULL)
            return false;
    }
    return from->key.length == 0 || auth_secret_append(&to->key, from->key.data, from->key.length);
}

void auth_share_interrupt(const struct auth_share *share) {
    for (int i = 0; i < AUTH_SHARE_STORES; i++)
        if (share->stores[i] != NULL)
            share->stores[i]->kind->interrupt(share->stores[i]);
}

/* All of it within `enter`, so that a forked child finds the lock held or not. By the end of the process a
 * folder's lock ends with its descriptor, and a lease by itself. */
static void give_back(struct auth_share *share, int i) {
    if (!enter(share)) {
        auth_lock_forget(&share->locks[i]);
        return;
    }
    if (share->locks[i].held)
        share->stores[i]->kind->unlock(share->stores[i], &share->locks[i]);
    leave(share);
}

void auth_share_end(struct auth_share *share) {
    share->name[0] = '\0';
    auth_secret_wipe(&share->key);
    auth_secret_wipe(&share->held);
    for (int i = AUTH_SHARE_STORES - 1; i >= 0; i--)
        give_back(share, i);
}

void auth_share_free(struct auth_share *share) {
    for (int i = 0; i < AUTH_SHARE_STORES; i++) {
        struct auth_store *store = share->stores[i];
        share->stores[i] = NULL;
        if (store != NULL)
            store->kind->free(store);
    }
}

void auth_share_forget(struct auth_share *share) {
    for (int i = 0; i < AUTH_SHARE_STORES; i++)
        auth_lock_forget(&share->locks[i]);
}

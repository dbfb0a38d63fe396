/* Sharing a reply; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "share.h"

#include <stdio.h>
#include <string.h>

enum { OK_FIRST = 200, OK_LAST = 299, REFUSED_FIRST = 400 };

static bool mentions(const struct auth_record *record, const char *member) {
    return record->body_length > 0 &&
           memmem(record->body, record->body_length, member, strlen(member)) != NULL;
}

static const char *suffix(const struct auth_record *record) {
    bool ok = record->status >= OK_FIRST && record->status <= OK_LAST;
    if (ok && mentions(record, "\"access_token\""))
        return ".token";
    return record->status >= REFUSED_FIRST || mentions(record, "\"error\"") ? ".failed" : NULL;
}

static bool keep(const struct auth_share *share, const struct auth_record *record, const char *name,
                 const char **why) {
    struct auth_secret bytes = {0};
    *why = "the reply is too large, or memory is short";
    bool kept = auth_seal_close(&bytes, record, &share->key, name) &&
                auth_cache_replace(share->folder, name, &bytes, why) == AUTH_CACHE_OK;
    auth_secret_wipe(&bytes);
    return kept;
}

bool auth_share_reply(const struct auth_share *share, struct auth_record *record, const char **why) {
    char name[AUTH_SEAL_NAME_MAX + 1];
    const char *kind = share->name[0] != '\0' ? suffix(record) : NULL;
    if (kind == NULL)
        return true;
    bool token = strcmp(kind, ".token") == 0;
    record->failures = token ? 0 : share->failures;
    auth_clock_boot_id(record->boot_id);
    (void)snprintf(name, sizeof name, "%s%s", share->name, kind);
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
}

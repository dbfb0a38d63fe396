/* What a process lets the others know of a reply, by the cache: a token, or that there was none. Judges by
 * the looks of the reply alone, and only where they leave no doubt; the rest is for who can read it.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_SHARE_H
#define AUTH_SHARE_H

#include "cache.h"
#include "seal.h"

#define AUTH_SHARE_FOLDER_MAX 4096 /* bytes, the NUL counted */

/* All zero shares nothing. Owned by whoever holds it; `auth_share_end` gives back what is in it. */
struct auth_share {
    char folder[AUTH_SHARE_FOLDER_MAX];
    char
        name[AUTH_SEAL_NAME_LENGTH + 1]; /* of the identity; records add a suffix. Empty: nothing is shared */
    struct auth_secret key;
    struct auth_secret held; /* the token its owner has; a reply that repeats it is left to its owner */
    uint32_t failures;       /* in a row, if this reply is one */
};

enum auth_share_kind {
    AUTH_SHARE_NOTHING, /* nothing that concerns others */
    AUTH_SHARE_TOKEN,
    AUTH_SHARE_REFUSAL,
    AUTH_SHARE_UNCLEAR /* its owner must say */
};

enum auth_share_kind auth_share_judge(const struct auth_share *share, const struct auth_record *record);

/* Seals the reply into the record of its kind: a token replaces the token and ends the failure; a refusal
 * replaces the failure and leaves the token; anything else leaves all as it is. Sweeps the folder at times of
 * a token. The boot id is filled in.
 * false: the cache could not take it, and `why` is a static text. */
bool auth_share_reply(const struct auth_share *share, struct auth_record *record, enum auth_share_kind kind,
                      const char **why);

/* Wipes key and token; nothing is shared from here on. */
void auth_share_end(struct auth_share *share);

#endif

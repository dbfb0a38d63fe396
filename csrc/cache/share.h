/* What a process lets the others know of a reply, by the stores: a token, or that there was none. Judges by
 * the looks of the reply alone, and only where they leave no doubt; the rest is for who can read it. Blocks
 * while a store is asked; see `interrupt`.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_SHARE_H
#define AUTH_SHARE_H

#include "cache/seal.h"
#include "cache/store.h"

enum { AUTH_SHARE_NEAR, AUTH_SHARE_FAR, AUTH_SHARE_STORES }; /* of this machine; of all machines */

/* All zero shares nothing. Owned by whoever holds it. */
struct auth_share {
    struct auth_store *stores[AUTH_SHARE_STORES]; /* NULL: none */
    struct auth_lock locks[AUTH_SHARE_STORES];
    char name[AUTH_SEAL_NAME_LENGTH + 1]; /* of the identity; records add a suffix. Empty: shares nothing */
    struct auth_secret key;
    struct auth_secret held; /* the token its owner has; a reply that repeats it is left to its owner */
    uint32_t failures;       /* in a row, if this reply is one */
    bool (*enter)(void); /* around whatever is done within libraries, never around a wait; NULL: nothing */
    void (*leave)(void); /* false from `enter`: the process exits, and nothing is to be done there */
};

enum auth_share_kind {
    AUTH_SHARE_NOTHING, /* nothing that concerns others */
    AUTH_SHARE_TOKEN,
    AUTH_SHARE_REFUSAL,
    AUTH_SHARE_UNCLEAR /* its owner must say */
};

enum auth_share_kind auth_share_judge(const struct auth_share *share, const struct auth_record *record);

/* For another thread: `to`, all zero before, gets stores and a key of its own; no locks, no token. false: no
 * memory; end `to` all the same. */
bool auth_share_branch(struct auth_share *to, const struct auth_share *from);

/* Seals the reply into the record of its kind: a token replaces the token and ends the failure; a refusal
 * replaces the failure and leaves the token; anything else leaves all as it is. The boot id is filled in.
 * `why[i]`, which must be NULL before, tells why a store could not take it; it lives as store.h says. */
void auth_share_reply(const struct auth_share *share, struct auth_record *record, enum auth_share_kind kind,
                      const struct auth_clock *clock, const char *why[AUTH_SHARE_STORES]);

/* One step of that, for one store and without waiting: PENDING, UNFIT and `why` as in store.h; ABSENT where
 * it is over already. A failure that a token ends is left to be removed. */
enum auth_store_result auth_share_step(const struct auth_share *share, struct auth_store *store,
                                       struct auth_record *record, enum auth_share_kind kind,
                                       const struct auth_clock *clock, const char **why);

/* How long a store keeps a record, a token's or a refusal's, counted from when the reply was asked for: what
 * it says of its life, as far as that can be seen without reading it; the reader decides what it means. */
int64_t auth_share_life_ms(const struct auth_record *record, enum auth_share_kind kind);

/* Ends `auth_share_reply` in another thread. */
void auth_share_interrupt(const struct auth_share *share);

/* Gives the locks back, wipes key and token; nothing is shared from here on. Any number of times. */
void auth_share_end(struct auth_share *share);

/* After `end`, and when no thread interrupts any more: closes the stores. */
void auth_share_free(struct auth_share *share);

/* In a forked child, instead of `end`: closes copies of descriptors, touches nothing else. `free` may follow
 * where no other thread was at work in it. */
void auth_share_forget(struct auth_share *share);

#endif

/* The two stores of a fetch: the folder of this machine, and the server that all machines share. What is
 * wrong with either becomes a text in the result and fails nothing: a record that can't be read is absent, a
 * lock that can't be had is done without. The remote store has AUTH_STORES_REMOTE_NS for all calls of a fetch
 * together, and is not used any more after its first fault. SPDX-License-Identifier: MIT */
#ifndef AUTH_STORES_H
#define AUTH_STORES_H

#include "fetch/fetch.h"

#define AUTH_STORES_REMOTE_NS (2 * AUTH_NS_PER_S)

enum auth_side { AUTH_LOCAL, AUTH_REMOTE, AUTH_SIDES };

/* All zero: there are none. */
struct auth_stores {
    struct auth_fetch_order *order;
    struct auth_fetch_result *result; /* gets the problems */
    const struct auth_deadline *deadline;
    /* Empty but for its memory before `open` and after `close`: to be wiped in the end. */
    struct auth_secret key;
    char name[AUTH_SEAL_NAME_LENGTH + 1];
    struct auth_records records[AUTH_SIDES]; /* `store` NULL: there is none, or it is not used any more */
    struct auth_lock locks[AUTH_SIDES];
    bool has_password;      /* the remote store has been given it */
    int64_t remote_left_ns; /* for further calls */
};

/* Takes the stores of the order over, and derives key and name from the result's secret. Without identity, or
 * with a secret that is too short for a key, there are no stores. All three pointers must live until `close`.
 * false: no memory. */
bool auth_stores_open(struct auth_stores *stores, struct auth_fetch_order *order,
                      struct auth_fetch_result *result, const struct auth_deadline *deadline);

bool auth_stores_has_remote(const struct auth_stores *stores);

/* Takes the lock, that of the remote store for half of the time left. false: another process, or another
 * machine, holds it. true: it is held, or there is none. */
bool auth_stores_lock(struct auth_stores *stores, enum auth_side side);

/* Releases both locks. Safe to call again. */
void auth_stores_unlock(struct auth_stores *stores);

/* As auth_records_read. false: absent. */
bool auth_stores_read(struct auth_stores *stores, enum auth_side side, enum auth_record_kind kind,
                      struct auth_record *record, struct auth_secret *bytes);

/* As auth_records_write. false: it was not written. */
bool auth_stores_write(struct auth_stores *stores, enum auth_side side, enum auth_record_kind kind,
                       struct auth_record *record);

/* As auth_records_promote. */
void auth_stores_promote(struct auth_stores *stores, enum auth_side side, uint64_t good);

/* As auth_records_remove, from both. */
void auth_stores_remove(struct auth_stores *stores, const uint64_t *ids, size_t count);

/* Releases the locks, closes the stores, empties the key. Safe to call again. */
void auth_stores_close(struct auth_stores *stores);

#endif

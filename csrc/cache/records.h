/* The two sealed records of one token: NAME.last holds the last reply of the token endpoint, whatever it was,
 * and NAME.token the last one that a process found to hold a good token. Nothing here parses a reply: a
 * reader reads both. SPDX-License-Identifier: MIT */
#ifndef AUTH_RECORDS_H
#define AUTH_RECORDS_H

#include "cache/seal.h"
#include "cache/store.h"

enum auth_record_kind { AUTH_RECORD_TOKEN, AUTH_RECORD_LAST, AUTH_RECORD_KINDS };

/* Which records: all of it is the caller's, and must live as long as it is used. */
struct auth_records {
    struct auth_store *store;
    const struct auth_secret *key;
    const char *name; /* of the identity: see auth_seal_derive */
    const struct auth_clock *clock;
    struct auth_store_call call; /* for each call: its deadline, and then what is wrong */
    uint64_t last_id;            /* of NAME.last when it was last read here; 0: of none */
};

/* Reads and opens one record into `record`, whose body points into `bytes` (empty before; the caller wipes
 * it). Its times are by this process's clocks: as old as the oldest answer of all clocks that count (DESIGN:
 * boot clock of the same boot, wall clocks, the store's own age, the server's Date if another machine may
 * have written it). ABSENT: there is none, or none that can be opened or whose times can be trusted. */
enum auth_store_result auth_records_read(struct auth_records *records, enum auth_record_kind kind,
                                         struct auth_record *record, struct auth_secret *bytes);

/* Seals a reply into a record, in place of the one that is there. `record->sent` is by this process's clocks;
 * `record->boot_id` is set, and `record->id` where that is 0, so that what is written to a second store is
 * the same record. */
enum auth_store_result auth_records_write(struct auth_records *records, enum auth_record_kind kind,
                                          struct auth_record *record);

/* Renames NAME.last to NAME.token if its id was `good` when it was last read here; else does nothing
 * (ABSENT). Hold the lock. */
enum auth_store_result auth_records_promote(struct auth_records *records, uint64_t good);

/* Removes each of the two records whose id is one of `ids` (0 is the id of none); with `count` 0 both. Hold
 * the lock. OK: one was removed. */
enum auth_store_result auth_records_remove(struct auth_records *records, const uint64_t *ids, size_t count);

/* Whether this id is one of `ids`; the id of none never is. */
bool auth_records_contain(const uint64_t *ids, size_t count, uint64_t id);

/* The lock NAME.lock, as auth_store_kind.lock. */
enum auth_store_result auth_records_lock(struct auth_records *records, int64_t lease_ns,
                                         struct auth_lock *lock);

#endif

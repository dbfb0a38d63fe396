/* Where sealed records are kept for other processes: a folder of one machine, or a server that many machines
 * share. A store sees names and ciphertext. Each call blocks until it is done, its deadline is over or it is
 * cancelled. Nothing a store does may fail a call for a token. SPDX-License-Identifier: MIT */
#ifndef AUTH_STORE_H
#define AUTH_STORE_H

#include "base/deadline.h"
#include "base/secret.h"

#define AUTH_STORE_RECORD_MAX ((size_t)320 * 1024) /* bytes */
#define AUTH_STORE_NAME_MAX 48                     /* characters of a record's or a lock's name */
#define AUTH_STORE_LEASE_DIGITS 32
#define AUTH_STORE_KEPT_NS (INT64_C(90000) * AUTH_NS_PER_S) /* for how long a server keeps a record: 25 h */

enum auth_store_result {
    AUTH_STORE_OK,
    AUTH_STORE_ABSENT, /* no such record, or no place for it yet */
    AUTH_STORE_BUSY,   /* another process holds the lock */
    AUTH_STORE_ERROR   /* `why` says why */
};

/* A lock, owned by its holder. All zero: not held. A forked child must not use a lock of its parent, nor a
 * store that was used there: their descriptors were closed at the fork. */
struct auth_lock {
    bool held;
    int fd;                                  /* of a folder's lock file */
    char lease[AUTH_STORE_LEASE_DIGITS + 1]; /* of a server's: a random value only the holder knows */
    char name[AUTH_STORE_NAME_MAX + 1];
};

/* An implementation begins with it. One thread at a time uses a store. */
struct auth_store {
    const struct auth_store_kind *kind;
};

/* One call of a store. */
struct auth_store_call {
    struct auth_deadline deadline;
    const char *why; /* set when ERROR is returned; lives until the next call */
};

/* `name` has AUTH_STORE_NAME_MAX characters at most, none of them a slash. */
struct auth_store_kind {
    /* Appends the record to `out`; on failure `out` keeps what was read so far: wipe it. `age_ns`: for how
     * long the store has had it, by a clock of its own; -1: it does not know. */
    enum auth_store_result (*get)(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *age_ns, struct auth_store_call *call);

    /* Replaces the record as a whole. A server forgets it AUTH_STORE_KEPT_NS after that. */
    enum auth_store_result (*put)(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  struct auth_store_call *call);

    /* Renames the record, in place of one that is there; at each instant it has one of the names, or both.
     * Its age stays. */
    enum auth_store_result (*move)(struct auth_store *store, const char *from, const char *to,
                                   struct auth_store_call *call);

    enum auth_store_result (*remove)(struct auth_store *store, const char *name,
                                     struct auth_store_call *call);

    /* Takes the lock, or returns BUSY at once. A server, which cannot notice that a holder died, releases it
     * after `lease_ns`. */
    enum auth_store_result (*lock)(struct auth_store *store, const char *name, int64_t lease_ns,
                                   struct auth_lock *lock, struct auth_store_call *call);

    /* Releases the lock. Safe to call again. Never waits for an answer: a lease that could not be released
     * ends by itself. */
    void (*unlock)(struct auth_store *store, struct auth_lock *lock);

    /* The password for the next connection, copied. false: no memory. NULL: the store needs none. */
    bool (*set_password)(struct auth_store *store, const struct auth_secret *password);

    /* Closes what is open. */
    void (*free)(struct auth_store *store);
};

#endif

/* Where sealed records lie for others to find: a folder of one machine, or a server that many machines ask. A
 * store sees names and ciphertext. What it is asked either is done at once or says PENDING, so that nobody
 * has to wait who does not want to; nothing it does may fail a call for a token.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_STORE_H
#define AUTH_STORE_H

#include "base/secret.h"

#include <stdint.h>
#include <sys/types.h>

#define AUTH_STORE_RECORD_MAX ((size_t)320 * 1024) /* bytes */
#define AUTH_STORE_NOTE_MAX 64                     /* bytes of the note beside a lock */
#define AUTH_STORE_NAME_MAX 48                     /* characters of a record's or a lock's name */
#define AUTH_STORE_LEASE_DIGITS 32

enum auth_store_result {
    AUTH_STORE_OK,
    AUTH_STORE_ABSENT, /* no such record, or no place for it yet */
    AUTH_STORE_BUSY,   /* somebody else holds the lock */
    AUTH_STORE_UNFIT,  /* `why` tells */
    AUTH_STORE_PENDING /* under way: wait and call again with the same arguments */
};

/* A lock as its holder carries it about. All zero: none. */
struct auth_lock {
    bool held;
    pid_t owner;                             /* the process that took it; a forked child does not hold it */
    int fd;                                  /* of a folder's lock file */
    char lease[AUTH_STORE_LEASE_DIGITS + 1]; /* of a server's: a random value only the holder knows */
    char name[AUTH_STORE_NAME_MAX + 1];
    char note[AUTH_STORE_NOTE_MAX]; /* what the last holder left */
    size_t note_length;
};

/* An implementation begins with it. One thread at a time uses a store; `interrupt` alone is for any. */
struct auth_store {
    const struct auth_store_kind *kind;
};

/* PENDING calls are given up by any other call. `why` gets a text when UNFIT is returned; it lives until the
 * next call. `name` has AUTH_STORE_NAME_MAX characters at most, none of them a slash. */
struct auth_store_kind {
    /* Appends the record to `out`; on failure `out` keeps what was read so far: wipe it. `left_ms`: how long
     * the store will still keep the record, by a clock of its own; -1 where it sets no end. */
    enum auth_store_result (*get)(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *left_ms, const char **why);

    /* Replaces the record as a whole, to be kept for `life_ms`. */
    enum auth_store_result (*put)(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  int64_t life_ms, const char **why);

    enum auth_store_result (*remove)(struct auth_store *store, const char *name, const char **why);

    /* Takes the lock, or says BUSY. Who cannot notice that a holder died lets go after `lease_ms`. */
    enum auth_store_result (*lock)(struct auth_store *store, const char *name, int64_t lease_ms,
                                   struct auth_lock *lock, const char **why);

    /* Leaves a note for the next holder; gives the lock back, any number of times. Neither waits, neither
     * fails: a lease that could not be given back ends by itself. */
    void (*leave)(struct auth_store *store, struct auth_lock *lock, const char *note, size_t length);
    void (*unlock)(struct auth_store *store, struct auth_lock *lock);

    /* Until a pending call can go on, `limit_ms` at most; less when a signal arrives. Whether it can. */
    bool (*wait)(struct auth_store *store, int limit_ms);

    /* What is pending, and all that comes, fails soon. From any thread. */
    void (*interrupt)(struct auth_store *store);

    /* Another store of the same place, for another thread; an idle connection moves there. NULL: no memory.
     */
    struct auth_store *(*branch)(struct auth_store *store);

    /* Closes what is open. In a forked child that disturbs nothing of the parent's. */
    void (*free)(struct auth_store *store);
};

/* The folder of one machine's user as a store; see cache.h. NULL: no memory. */
struct auth_store *auth_folder_new(const char *path);

/* Closes the descriptor of a folder's lock and sends nothing to a server. In a forked child, which closed its
 * copy at once, only notes that the lock is not held. */
void auth_lock_forget(struct auth_lock *lock);

#endif

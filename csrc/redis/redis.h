/* A Redis server as a store that many machines share; the contract of what it does is in store.h.
 *
 * Keys are "central-auth:{identity}.token", ".failed", ".lock" and ".lock.note"; the braces keep those of an
 * identity together. Commands: GET, PTTL, SET with PX (and NX), DEL, EVAL; and AUTH, SELECT.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_H
#define AUTH_REDIS_H

#include "cache/store.h"
#include "redis/dial.h"

#define AUTH_REDIS_USER_MAX 255

struct auth_redis_options {
    struct auth_dial_address address;
    char user[AUTH_REDIS_USER_MAX + 1]; /* empty: the default one */
    const struct auth_secret *password; /* copied; NULL or empty: none */
    int database;
    bool tls;            /* see wire_tls.h */
    const char *ca_file; /* copied; NULL: the system's trust store */
    int64_t limit_ns;    /* over all of a call: resolve, connect, authenticate, ask */
};

/* Connects when it is first asked something. NULL: no memory or no descriptor. */
struct auth_store *auth_redis_new(const struct auth_redis_options *options);

#endif

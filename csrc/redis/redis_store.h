/* A Redis server as a store that many machines share (see cache/store.h). Connects at the
 * first call. Each call takes `limit_ns` at most, over all: resolve, connect, TLS, authenticate,
 * ask.
 *
 * Keys are "central-auth:{NAME}.token", ".last" and ".lock"; the braces keep those of an identity together.
 * Commands: GET, PTTL, SET with PX (and NX), DEL, EVAL (compare and delete); AUTH, SELECT. Records
 * are kept for AUTH_STORE_KEPT_NS, so their age is what is gone of that; one that is kept longer was not
 * written by this package, and is absent. SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_STORE_H
#define AUTH_REDIS_STORE_H

#include "cache/store.h"

struct auth_redis_options {
    const char *path; /* of a Unix socket; NULL: the URL counts */
    const char *url;  /* http://host:port, or with TLS https://host:port */
    const char *user; /* NULL or empty: the default one */
    int database;
    const char *ca_file; /* PEM; NULL: the system's trust store */
    int64_t limit_ns;
};

/* Initialises libcurl and the gate (worker/gate.h); each object file that holds a copy of this code has a
 * gate of its own. Must succeed before the first store is made. Safe to call again, from any thread. false:
 * no memory. */
bool auth_redis_store_init(void);

/* Copies the options, and what the environment says of the system's trust store. Without `set_password` the
 * store does not authenticate. NULL: no memory. */
struct auth_store *auth_redis_store_new(const struct auth_redis_options *options);

#endif

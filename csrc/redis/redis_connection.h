/* A connection to a Redis server: commands out, replies in, by hiredis and within a deadline. Connects when
 * it is first asked something. SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_CONNECTION_H
#define AUTH_REDIS_CONNECTION_H

#include "redis/redis_store.h"
#include "redis/redis_tls.h"

#include <hiredis.h>

enum { AUTH_REDIS_WORDS_MAX = 6, AUTH_REDIS_REPLIES_MAX = 2, AUTH_REDIS_WHY_BYTES = 160 };

struct auth_redis_command {
    int count;
    const char *words[AUTH_REDIS_WORDS_MAX];
    size_t lengths[AUTH_REDIS_WORDS_MAX]; /* 0: that of the text */
};

struct auth_redis_connection {
    char *path; /* these are empty where there is none */
    char *host;
    char *port;
    char *user;
    char *ca_file;
    char *ca_path;
    struct auth_secret password;
    int database;
    bool tls;
    int64_t limit_ns;

    redisContext *context; /* NULL: not connected */
    redisReplyObjectFunctions makers;
    struct ssl_st *session; /* the context's; NULL: no TLS */
    pid_t owner;            /* the process that connected */
    bool spent;             /* a call failed: only `tell` may still use it */
    int skipped;            /* replies to come that nobody waits for */
    redisReply *replies[AUTH_REDIS_REPLIES_MAX];
    int replied;
    char why[AUTH_REDIS_WHY_BYTES];
};

/* Copies the options. false: no memory; close it all the same. */
bool auth_redis_connection_init(struct auth_redis_connection *connection,
                                const struct auth_redis_options *options);

/* Gives the commands and waits for a reply to each of them, AUTH_REDIS_REPLIES_MAX at most. OK: `replies` has
 * them, until the next call; none is an error, but for "WRONGTYPE" and "no such key". ERROR: its text
 * lives as long. Blocks until the deadline, or the limit of the options, at most. */
enum auth_store_result auth_redis_connection_ask(struct auth_redis_connection *connection,
                                                 const struct auth_redis_command *commands, int count,
                                                 struct auth_store_call *call);

/* Gives a command and waits for nothing. Also after an `ask` that ended before its replies came: the server
 * sees those commands first. Does nothing without a connection. */
void auth_redis_connection_tell(struct auth_redis_connection *connection,
                                const struct auth_redis_command *command);

/* Closes it and frees what it owns. In a forked child it closes the child's descriptor alone. */
void auth_redis_connection_wipe(struct auth_redis_connection *connection);

#endif

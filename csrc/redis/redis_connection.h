/* A connection to a Redis server: commands out, replies in, by libcurl and hiredis, within a deadline.
 * Connects at the first command. SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_CONNECTION_H
#define AUTH_REDIS_CONNECTION_H

#include "http/transfer.h"
#include "redis/redis_store.h"

#include <hiredis.h>

enum { AUTH_REDIS_WORDS_MAX = 6, AUTH_REDIS_REPLIES_MAX = 2, AUTH_REDIS_WHY_BYTES = 288 };

struct auth_redis_command {
    int count;
    const char *words[AUTH_REDIS_WORDS_MAX];
    size_t lengths[AUTH_REDIS_WORDS_MAX]; /* 0: that of the text */
};

struct auth_redis_connection {
    struct auth_request request; /* which connects */
    char *user;                  /* empty: the default one */
    struct auth_secret password;
    int database;
    int64_t limit_ns;

    struct auth_transfer *transfer; /* NULL: not connected */
    redisReader *reader;            /* of what the server sends */
    redisReplyObjectFunctions reply_functions;
    struct auth_secret unsent; /* commands, or what is left of them */
    bool failed;               /* a call failed: only `send` may still use it */
    int unawaited;             /* replies to come to what `send` sent */
    redisReply *replies[AUTH_REDIS_REPLIES_MAX];
    int reply_count;
    char why[AUTH_REDIS_WHY_BYTES];
};

/* Copies the options. false: no memory; wipe it all the same. */
bool auth_redis_connection_init(struct auth_redis_connection *connection,
                                const struct auth_redis_options *options);

/* Sends the commands, AUTH_REDIS_REPLIES_MAX at most, and waits for a reply to each of them. OK: `replies`
 * has them, owned by the connection until the next call; the only error reply among them is "WRONGTYPE".
 * ERROR: `call->why` lives as long. Blocks until the deadline, or the limit of the
 * options, at most. */
enum auth_store_result auth_redis_connection_call(struct auth_redis_connection *connection,
                                                  const struct auth_redis_command *commands, int count,
                                                  struct auth_store_call *call);

/* Sends a command without waiting for its reply; also after a call that ended before its replies came: the
 * server sees those commands first. Does nothing without a connection. Does not block. */
void auth_redis_connection_send(struct auth_redis_connection *connection,
                                const struct auth_redis_command *command);

/* Closes it and frees what it owns. */
void auth_redis_connection_wipe(struct auth_redis_connection *connection);

#endif

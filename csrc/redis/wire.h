/* One connection to a Redis server: commands out, replies in, never waiting. The only file that knows
 * hiredis, but for its TLS part. Of what the server says in errors, only the word that names one is passed
 * on. SPDX-License-Identifier: MIT */
#ifndef AUTH_WIRE_H
#define AUTH_WIRE_H

#include "redis/redis.h"

#include <poll.h>

enum { AUTH_WIRE_WORDS_MAX = 6, AUTH_WIRE_COMMANDS_MAX = 3, AUTH_WIRE_WHY_MAX = 119 };

struct auth_wire_command {
    int count;
    const char *words[AUTH_WIRE_WORDS_MAX];
    size_t lengths[AUTH_WIRE_WORDS_MAX]; /* 0: that of the text */
};

enum auth_wire_kind { AUTH_WIRE_NIL, AUTH_WIRE_STATUS, AUTH_WIRE_INTEGER, AUTH_WIRE_BYTES };

struct auth_wire_reply {
    enum auth_wire_kind kind;
    long long integer;
    const char *bytes; /* the wire's, until it is used again */
    size_t length;
};

enum auth_wire_state {
    AUTH_WIRE_MORE,    /* there is more to come: poll */
    AUTH_WIRE_DONE,    /* the replies are there */
    AUTH_WIRE_CLOSED,  /* by the server, before it said anything to this; it had answered others before */
    AUTH_WIRE_REFUSED, /* by an error */
    AUTH_WIRE_BROKEN   /* it can't be used any more */
};

struct auth_wire;

/* Takes the connected, non-blocking descriptor over, whatever happens, and greets: TLS, AUTH, SELECT. NULL:
 * `why` gets a static text. */
struct auth_wire *auth_wire_new(int fd, const struct auth_redis_options *options, const char **why);

/* Says it, when the wire next moves. Of a `mention` the answer is passed over. */
void auth_wire_say(struct auth_wire *wire, const struct auth_wire_command *command);
void auth_wire_mention(struct auth_wire *wire, const struct auth_wire_command *command);

/* Writes and reads what can be without waiting. DONE: `replies` holds `count`, to what was said since the
 * last time. REFUSED, BROKEN: `why` gets AUTH_WIRE_WHY_MAX characters at most. */
enum auth_wire_state auth_wire_move(struct auth_wire *wire, int count, struct auth_wire_reply *replies,
                                    char *why);

/* What to poll for until the next move makes sense. */
struct pollfd auth_wire_poll(const struct auth_wire *wire);

/* Hangs up. `ours`: not the copy of a forked child. NULL is fine. */
void auth_wire_free(struct auth_wire *wire, bool ours);

#endif

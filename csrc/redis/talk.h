/* A conversation with a Redis server, one call at a time, without waiting. Each call is over, one way or the
 * other, within the limit of the options, a server that is silent, slow, cut off or something else altogether
 * included.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_TALK_H
#define AUTH_TALK_H

#include "redis/wire.h"

#define AUTH_TALK_DOING_MAX 95

struct auth_talk;

/* NULL: no memory or no descriptor. Connects when first asked something. */
struct auth_talk *auth_talk_new(const struct auth_redis_options *options);

/* Goes on with the call named `doing`, or begins it, giving up any other. OK: a reply for each command, none
 * of them an error. PENDING and UNFIT as in store.h. */
enum auth_store_result auth_talk_ask(struct auth_talk *talk, const char *doing,
                                     const struct auth_wire_command *commands, int count,
                                     struct auth_wire_reply *replies, const char **why);

/* Whether this call is under way. */
bool auth_talk_is_at(const struct auth_talk *talk, const char *doing);

/* Says something whose answer nobody waits for; nothing, where there is no connection that is idle. */
void auth_talk_mention(struct auth_talk *talk, const struct auth_wire_command *command);

/* How long ago the last question was begun, in ms: an answer may have lain unread meanwhile. */
int64_t auth_talk_took_ms(const struct auth_talk *talk);

/* As of the store. */
bool auth_talk_wait(const struct auth_talk *talk, int limit_ms);
void auth_talk_interrupt(struct auth_talk *talk);
struct auth_talk *auth_talk_branch(struct auth_talk *talk);
void auth_talk_free(struct auth_talk *talk); /* NULL is fine */

#endif

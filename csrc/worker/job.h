/* One transfer from its start to its last consequence: the reply is shared and the lock released before
 * anybody asks for it. On a short-lived thread of its own where an alarm is given, which rings at the end;
 * else by whoever waits. The thread never touches Lua, blocks all signals, and ends with its transfer. The
 * only file that knows threads.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_JOB_H
#define AUTH_JOB_H

#include "cache/share.h"
#include "http/transfer.h"
#include "worker/alarm.h"

/* So long, at most, a job that is given up may hold its owner; then it ends by itself, unheard. */
#define AUTH_JOB_FAREWELL_NS (AUTH_NS_PER_S / 4)

/* What a job takes over: the secrets of the request, whose `body` and `authorization` point here, the stores
 * the reply is shared by and their locks. */
struct auth_job_order {
    struct auth_transfer_request request;
    struct auth_secret body;
    struct auth_secret authorization;
    struct auth_share share; /* all zero: nothing is shared */
};

struct auth_job;

/* Must succeed once before anything else; any number of times, from any thread. From then on a fork, and the
 * exit of the process, wait a little for what threads of ours are doing within libraries. */
bool auth_job_init(void);

/* NULL: no memory, or with EMFILE or ENFILE in errno no descriptor. Used again and again: the connection
 * stays for the next transfer. */
struct auth_job *auth_job_new(void);

/* Begins, does not block; no other may be under way. Takes the order's secrets and share over, whatever
 * happens. `alarm`, of which the job keeps a copy: NULL leaves the work to `auth_job_wait`; so does
 * a thread that can't be started, and then the alarm rings at once. */
void auth_job_start(struct auth_job *job, struct auth_job_order *order, const struct auth_clock *clock,
                    const struct auth_alarm *alarm);

/* Waits until it is done, `limit_ns` at most, less when a signal arrives; longer only where the work was left
 * to this call and a store is slow. true: done, or nothing under way. */
bool auth_job_wait(struct auth_job *job, int64_t limit_ns);

/* After wait said true: the reply, the job's until the next start. `problems` tells for each store why it
 * could not take it; NULL: it did, or there is none. */
const struct auth_transfer_reply *auth_job_finish(const struct auth_job *job,
                                                  const char *problems[AUTH_SHARE_STORES]);

/* Whether the looks of that reply were clear enough to share what it says; else its owner must say. */
bool auth_job_has_shared(const struct auth_job *job);

/* The header fields of that reply, as by auth_transfer_next_header. */
bool auth_job_next_header(const struct auth_job *job, void **place, const char **name, const char **value);

/* Whether it was made in this process. A forked child has but the memory of the parent's jobs: it may free
 * them and nothing else. */
bool auth_job_is_ours(const struct auth_job *job);

/* Gives up what is under way and frees. Blocks AUTH_JOB_FAREWELL_NS at most, commonly a millisecond. NULL is
 * fine. In a forked child the memory is left as it is: a thread of the parent may have been writing to it. */
void auth_job_free(struct auth_job *job);

#endif

/* One libcurl transfer and what it is used for at the moment: a fetch, or an API call; on a worker, or on the
 * thread of the caller who waits. Each can be cancelled at any time, and is abandoned as a whole if its
 * worker does not end. Never touches Lua. SPDX-License-Identifier: MIT */
#ifndef AUTH_SESSION_H
#define AUTH_SESSION_H

#include "fetch/fetch.h"

/* The longest that a cancelled worker may hold up its owner; then it is abandoned. */
#define AUTH_SESSION_GRACE_NS (AUTH_NS_PER_S / 4)

enum auth_session_state {
    AUTH_SESSION_IDLE,
    AUTH_SESSION_INLINE, /* under way in auth_session_wait */
    AUTH_SESSION_WORKER, /* under way on a worker */
    AUTH_SESSION_DONE    /* the result can be taken */
};

/* All zero: closed, and free to be opened. Its fields are private. */
struct auth_session {
    struct auth_session_work
        *work; /* the transfer and what it does: the worker's while there is one; NULL: none */
    struct auth_worker *worker;
    enum auth_session_state state;
    unsigned generation; /* of the process that opened it */
};

/* Must succeed once before anything else; any number of times, from any thread. From then on a fork, and the
 * exit of the process, wait a little for what threads are doing within libraries. */
bool auth_session_init(void);

/* Makes the transfer, unless there is one; must succeed before each fetch or call. In a forked child it
 * leaves the parent's as it is. Nothing may be under way. false: no memory, or with EMFILE or ENFILE in errno
 * no descriptor. */
bool auth_session_open(struct auth_session *session);

/* Whether it was opened by this process, or not at all. */
bool auth_session_is_ours(const struct auth_session *session);

/* Whether there is a fetch or a call whose end was not seen yet. */
bool auth_session_is_under_way(const struct auth_session *session);

/* The order of the next fetch, after auth_session_open: an empty one, the session's own. Its guarded memory
 * stays for the next one. NULL: no memory. */
struct auth_fetch_order *auth_session_order(struct auth_session *session);

/* Starts the fetch, whose order is complete but for the transfer. A caller who blocks anyway gives `here_ns`:
 * for so long the fetch runs in here, unless auth_fetch_is_long; what has not ended then goes on on a worker.
 * A copy of `done` is signalled at its end; NULL: none. Where no worker can be started and the order says
 * that the caller waits, `done` is signalled at once, and the next auth_session_wait runs the whole fetch.
 * false: it does not wait, and nothing was started. */
bool auth_session_fetch(struct auth_session *session, const struct auth_notifier *done, int64_t here_ns);

/* For body and header line of the next call, after auth_session_open: empty, the session's own, and emptied
 * when the call is discarded. Their memory stays. */
struct auth_secret *auth_session_body(const struct auth_session *session);
struct auth_secret *auth_session_authorization(const struct auth_session *session);

/* Starts an API call. Body and header line of `request` are none or these two; its strings stay the caller's.
 * Reads the environment. With `done` the call runs on a worker, and a copy
 * of `done` is signalled at the end; if no worker can be started `done` is signalled at once. Then, and where
 * it is NULL, auth_session_wait runs the call. */
void auth_session_call(struct auth_session *session, struct auth_request *request,
                       const struct auth_clock *clock, const struct auth_notifier *done);

/* Waits until nothing is under way, `limit_ns` at most, less when a signal of the system arrives. Whether
 * nothing is; so at once in a forked child. */
bool auth_session_wait(struct auth_session *session, int64_t limit_ns);

/* A fetch that the next wait would run as a whole gets the time of its caller, `most_ns` from now. false:
 * that is no time. */
bool auth_session_limit(struct auth_session *session, int64_t most_ns);

/* Signals a copy of this notifier, too, at the end of what is under way on a worker; at once where nothing
 * is. false: no memory, or no descriptor is left. */
bool auth_session_notify(struct auth_session *session, const struct auth_notifier *notifier);

/* What has ended: the result of the fetch, or the reply of the call; NULL if it was not that, has not ended
 * or was started by another process. The session's until it is discarded. */
struct auth_fetch_result *auth_session_result(const struct auth_session *session);
const struct auth_reply *auth_session_reply(const struct auth_session *session);

/* Cancels what is under way. Blocks AUTH_SESSION_GRACE_NS at most, commonly a millisecond. A fetch that ends
 * in that time has a result, like any other. */
void auth_session_cancel(struct auth_session *session);

/* Wipes what has ended, its result and its secrets; cancels what has not. The connection stays for the next
 * one. In a forked child all of the parent's memory is left as it is: a thread may have been writing to it.
 */
void auth_session_discard(struct auth_session *session);

/* Discards, closes the connection, frees. Safe to call again. */
void auth_session_close(struct auth_session *session);

#endif

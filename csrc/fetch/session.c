/* Sessions; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "fetch/session.h"
#include "worker/gate.h"
#include "worker/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { STEP_MS = 1000 };

/* Everything that a worker uses, so that it can go on without its owner, and frees it at its end. */
struct auth_session_work {
    struct auth_transfer *transfer;
    struct auth_clock clock;
    struct auth_fetch *fetch;         /* made for the first one; clear unless it `fetches` */
    bool fetches;                     /* from the order of a fetch on; else a call, or nothing */
    struct auth_secret body;          /* of the call; libcurl has pointers to both … */
    struct auth_secret authorization; /* … and both stay, empty, for the next one */
    struct auth_notifier cancel;      /* of what runs on a worker */
    const struct auth_reply *reply;   /* of the call, once it has ended */
};

static bool initialised;

static void initialise(void) {
    initialised = auth_transfer_init() && auth_gate_init();
}

bool auth_session_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    return pthread_once(&once, initialise) == 0 && initialised;
}

/* --- what is done, on whichever thread --- */

static void run_call(void *data) {
    struct auth_session_work *work = data;
    const struct auth_deadline when_cancelled = {
        .clock = &work->clock, .at_ns = INT64_MAX, .cancel = &work->cancel}; /* libcurl keeps its time-out */
    work->reply = auth_transfer_run(work->transfer, &when_cancelled);
}

static void run_fetch(void *data) {
    const struct auth_session_work *work = data;
    (void)auth_fetch_run(work->fetch, &work->cancel, 0);
}

static void clear(struct auth_session_work *work) {
    auth_transfer_cancel(work->transfer); /* first: it may point to the secrets */
    auth_secret_empty(&work->body);
    auth_secret_empty(&work->authorization);
    if (work->fetches)
        auth_fetch_clear(work->fetch);
    work->fetches = false;
    work->reply = NULL;
}

static void release(void *data) {
    struct auth_session_work *work = data;
    clear(work);
    auth_fetch_free(work->fetch);
    auth_secret_wipe(&work->body);
    auth_secret_wipe(&work->authorization);
    auth_notifier_close(&work->cancel);
    auth_transfer_free(work->transfer);
    free(work);
}

/* --- its owner --- */

static struct auth_session_work *new_work(void) {
    struct auth_session_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return NULL;
    if (auth_notifier_open(&work->cancel))
        work->transfer = auth_transfer_new();
    if (work->transfer != NULL)
        return work;
    int error = errno;
    auth_notifier_close(&work->cancel);
    free(work);
    errno = error;
    return NULL;
}

bool auth_session_is_ours(const struct auth_session *session) {
    return session->work == NULL || session->generation == auth_gate_generation();
}

/* In a forked child: connections and memory are the parent's; its notifiers were closed at the fork. */
static void forget(struct auth_session *session) {
    *session = (struct auth_session){.state = AUTH_SESSION_IDLE};
}

bool auth_session_open(struct auth_session *session) {
    if (!auth_session_is_ours(session))
        forget(session);
    if (session->work == NULL)
        session->work = new_work();
    session->generation = auth_gate_generation();
    return session->work != NULL;
}

bool auth_session_is_under_way(const struct auth_session *session) {
    return session->state == AUTH_SESSION_INLINE || session->state == AUTH_SESSION_WORKER;
}

static bool start_worker(struct auth_session *session, void (*run)(void *data),
                         const struct auth_notifier *done) {
    session->worker = auth_worker_start(run, release, session->work, done);
    session->state = session->worker != NULL ? AUTH_SESSION_WORKER : AUTH_SESSION_INLINE;
    return session->worker != NULL;
}

struct auth_fetch_order *auth_session_order(struct auth_session *session) {
    struct auth_session_work *work = session->work;
    if (work->fetch == NULL)
        work->fetch = auth_fetch_new();
    else if (work->fetches)
        auth_fetch_clear(work->fetch);
    work->fetches = work->fetch != NULL;
    return work->fetches ? &work->fetch->order : NULL;
}

/* On the caller's own thread. Whether it has ended. */
static bool fetch_here(struct auth_fetch *fetch, int64_t limit_ns) {
    return limit_ns > 0 && !auth_fetch_is_long(fetch) &&
           auth_fetch_run(fetch, NULL, auth_clock_boot_ns(&fetch->order.clock) + limit_ns);
}

bool auth_session_fetch(struct auth_session *session, const struct auth_notifier *done, int64_t here_ns) {
    struct auth_session_work *work = session->work;
    struct auth_fetch_order *order = &work->fetch->order;
    order->perform = auth_transfer_perform;
    order->transfer = work->transfer;
    bool ended = fetch_here(work->fetch, here_ns);
    if (ended)
        session->state = AUTH_SESSION_DONE;
    else if (start_worker(session, run_fetch, done))
        return true;
    else if (!order->waits)
        auth_session_discard(session);
    if (done != NULL && work->fetches)
        auth_notifier_signal(done);
    return work->fetches;
}

static bool start_call(struct auth_session_work *work, struct auth_request *request) {
    auth_request_read_environment(request);
    bool started = auth_transfer_start(work->transfer, request, &work->clock);
    if (!started)
        work->reply = auth_transfer_reply(work->transfer);
    return started;
}

struct auth_secret *auth_session_body(const struct auth_session *session) {
    auth_secret_empty(&session->work->body);
    return &session->work->body;
}

struct auth_secret *auth_session_authorization(const struct auth_session *session) {
    auth_secret_empty(&session->work->authorization);
    return &session->work->authorization;
}

void auth_session_call(struct auth_session *session, struct auth_request *request,
                       const struct auth_clock *clock, const struct auth_notifier *done) {
    struct auth_session_work *work = session->work;
    work->clock = *clock;
    bool started = start_call(work, request);
    session->state = started ? AUTH_SESSION_INLINE : AUTH_SESSION_DONE;
    if (done != NULL && !(started && start_worker(session, run_call, done)))
        auth_notifier_signal(done);
}

/* In the caller's own thread: the whole fetch, or a step of a call. */
static bool run_inline(struct auth_session_work *work, int64_t limit_ns) {
    if (work->fetches) {
        run_fetch(work);
        return true;
    }
    bool done = auth_transfer_step(work->transfer);
    if (!done && limit_ns > 0) {
        int64_t limit_ms = (limit_ns - 1) / AUTH_NS_PER_MS + 1;
        auth_transfer_wait(work->transfer, limit_ms > STEP_MS ? STEP_MS : (int)limit_ms, NULL);
        done = auth_transfer_step(work->transfer);
    }
    if (done)
        work->reply = auth_transfer_reply(work->transfer);
    return done;
}

/* The worker has ended by itself, or was cancelled. */
static void end_worker(struct auth_session *session) {
    if (!auth_worker_end(session->worker, AUTH_SESSION_GRACE_NS))
        session->work = NULL; /* now the worker's own */
    session->worker = NULL;
    session->state = session->work != NULL ? AUTH_SESSION_DONE : AUTH_SESSION_IDLE;
}

bool auth_session_wait(struct auth_session *session, int64_t limit_ns) {
    if (!auth_session_is_ours(session))
        return true;
    if (session->state == AUTH_SESSION_INLINE && run_inline(session->work, limit_ns))
        session->state = AUTH_SESSION_DONE;
    else if (session->state == AUTH_SESSION_WORKER && auth_worker_wait(session->worker, limit_ns))
        end_worker(session);
    return !auth_session_is_under_way(session);
}

bool auth_session_limit(struct auth_session *session, int64_t most_ns) {
    if (!auth_session_is_ours(session) || session->state != AUTH_SESSION_INLINE || !session->work->fetches)
        return true;
    struct auth_fetch_order *order = &session->work->fetch->order;
    order->deadline_ns = auth_clock_boot_ns(&order->clock) + most_ns;
    return most_ns > 0;
}

bool auth_session_notify(struct auth_session *session, const struct auth_notifier *notifier) {
    if (auth_session_is_ours(session) && session->state == AUTH_SESSION_WORKER)
        return auth_worker_notify(session->worker, notifier);
    auth_notifier_signal(notifier);
    return true;
}

static bool has_ended(const struct auth_session *session) {
    return session->state == AUTH_SESSION_DONE && session->generation == auth_gate_generation();
}

struct auth_fetch_result *auth_session_result(const struct auth_session *session) {
    return has_ended(session) && session->work->fetches ? &session->work->fetch->result : NULL;
}

const struct auth_reply *auth_session_reply(const struct auth_session *session) {
    return has_ended(session) ? session->work->reply : NULL;
}

void auth_session_cancel(struct auth_session *session) {
    if (!auth_session_is_ours(session) || session->state != AUTH_SESSION_WORKER)
        return;
    auth_notifier_signal(&session->work->cancel);
    end_worker(session);
    if (session->work != NULL)
        auth_notifier_clear(&session->work->cancel);
}

void auth_session_discard(struct auth_session *session) {
    if (!auth_session_is_ours(session)) {
        forget(session);
        return;
    }
    auth_session_cancel(session);
    if (session->state != AUTH_SESSION_IDLE || (session->work != NULL && session->work->fetches))
        clear(session->work);
    session->state = AUTH_SESSION_IDLE;
}

void auth_session_close(struct auth_session *session) {
    auth_session_discard(session);
    if (session->work != NULL)
        release(session->work);
    *session = (struct auth_session){.state = AUTH_SESSION_IDLE};
}

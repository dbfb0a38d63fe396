/* Jobs; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/job.h"
#include "worker/gate.h"
#include "worker/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STACK_BYTES = 512 * 1024,
    STEP_MS = 1000,
    NS_PER_MS = 1000000,
    GLANCE_NS = 100000,
    PROBLEM_BYTES = 160
};

_Static_assert(AUTH_SEAL_BODY_MAX == AUTH_TRANSFER_BODY_MAX, "every reply can be sealed");

enum state {
    IDLE,     /* nothing under way, or the reply waits to be taken */
    INLINE,   /* under way, driven by whoever waits */
    THREADED, /* under way on the thread, whose all of this is except `state` and `cancelled` */
    ABANDONED /* its owner is gone; the thread frees it */
};

struct auth_job {
    struct auth_transfer *transfer;
    struct auth_job_order order;
    struct auth_clock clock;
    struct auth_alarm alarm; /* a copy: who gave it may close his while the thread still runs */
    const struct auth_transfer_reply *reply;
    char problems[AUTH_SHARE_STORES][PROBLEM_BYTES]; /* why a store could not take the reply; empty: it did */
    bool has_shared;
    pthread_t thread;
    bool joinable;
    pid_t owner;
    _Atomic enum state state;
    atomic_bool cancelled;
};

static bool initialised;

static void initialise(void) {
    initialised = auth_transfer_init() && auth_gate_init();
}

bool auth_job_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    return pthread_once(&once, initialise) == 0 && initialised;
}

/* --- what is done, on whichever thread --- */

static bool step(struct auth_job *job) {
    if (!auth_gate_enter())
        return true; /* with what `finish` says of it */
    bool done = auth_transfer_step(job->transfer);
    auth_gate_leave();
    return done;
}

static void release_order(struct auth_job_order *order) {
    auth_secret_wipe(&order->body);
    auth_secret_wipe(&order->authorization);
    auth_share_end(&order->share);
}

/* Its connections may use OpenSSL. */
static void free_share(struct auth_job *job) {
    if (auth_gate_enter()) {
        auth_share_free(&job->order.share);
        auth_gate_leave();
    }
}

static void share(struct auth_job *job, const struct auth_transfer_reply *reply) {
    struct auth_record record = {.sent = reply->sent,
                                 .date_s = reply->date_s,
                                 .retry_after_s = reply->retry_after_s,
                                 .status = (uint32_t)reply->status,
                                 .body = reply->body.data,
                                 .body_length = reply->body.length};
    enum auth_share_kind kind = auth_share_judge(&job->order.share, &record);
    const char *why[AUTH_SHARE_STORES] = {NULL};
    job->has_shared = kind != AUTH_SHARE_UNCLEAR;
    auth_share_reply(&job->order.share, &record, kind, &job->clock, why);
    for (int i = 0; i < AUTH_SHARE_STORES; i++)
        if (why[i] != NULL)
            (void)snprintf(job->problems[i], PROBLEM_BYTES, "%s", why[i]);
}

static const struct auth_transfer_reply *finish(struct auth_job *job) {
    static const struct auth_transfer_reply gone = {.failure = AUTH_TRANSFER_NETWORK,
                                                    .message = "the process is exiting"};
    if (!auth_gate_enter())
        return &gone;
    const struct auth_transfer_reply *reply = auth_transfer_finish(job->transfer, &job->clock);
    auth_gate_leave();
    return reply;
}

static void complete(struct auth_job *job) {
    const struct auth_transfer_reply *reply = finish(job);
    if (reply->failure == AUTH_TRANSFER_OK)
        share(job, reply);
    job->reply = reply;
    release_order(&job->order);
}

static void cancel(struct auth_job *job) {
    if (auth_gate_enter()) {
        auth_transfer_cancel(job->transfer);
        auth_gate_leave();
    }
    release_order(&job->order);
}

static void destroy(struct auth_job *job) {
    auth_alarm_close(&job->alarm);
    if (auth_gate_enter()) {
        auth_share_free(&job->order.share);
        auth_transfer_free(job->transfer);
        auth_gate_leave();
    }
    free(job);
}

/* --- the thread --- */

static void *run(void *data) {
    struct auth_job *job = data;
    struct auth_alarm alarm = job->alarm;
    enum state expected = THREADED;
    bool done = false;
    while (!done && !atomic_load(&job->cancelled)) {
        done = step(job);
        if (!done)
            auth_transfer_wait(job->transfer, STEP_MS);
    }
    if (done)
        complete(job);
    else
        cancel(job);
    if (atomic_compare_exchange_strong(&job->state, &expected, IDLE))
        auth_alarm_ring(&alarm); /* its owner joins this thread before it lets go of it */
    else
        destroy(job);
    return NULL;
}

static bool start_thread(struct auth_job *job) {
    atomic_store(&job->state, THREADED);
    job->joinable = auth_thread_start(&job->thread, STACK_BYTES, run, job);
    if (job->joinable)
        (void)pthread_setname_np(job->thread, "central-auth");
    return job->joinable;
}

/* While the process exits the thread's end may take AUTH_GATE_LINGER_NS; nothing of the job is used in it. */
static void join(struct auth_job *job) {
    if (job->joinable && auth_gate_is_exiting())
        pthread_detach(job->thread);
    else if (job->joinable)
        pthread_join(job->thread, NULL);
    job->joinable = false;
}

/* --- its owner --- */

struct auth_job *auth_job_new(void) {
    struct auth_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->alarm.fd = -1;
    job->owner = getpid();
    bool entered = auth_gate_enter(); /* while the process exits, without */
    job->transfer = auth_transfer_new();
    if (entered)
        auth_gate_leave();
    if (job->transfer == NULL) {
        free(job);
        return NULL;
    }
    return job;
}

void auth_job_start(struct auth_job *job, struct auth_job_order *order, const struct auth_clock *clock,
                    const struct auth_alarm *alarm) {
    auth_alarm_close(&job->alarm);
    free_share(job);
    job->order = *order;
    *order = (struct auth_job_order){0};
    job->order.request.body = &job->order.body;
    job->order.request.authorization = &job->order.authorization;
    job->order.share.enter = auth_gate_enter;
    job->order.share.leave = auth_gate_leave;
    job->clock = *clock;
    memset(job->problems, 0, sizeof job->problems);
    job->has_shared = false;
    atomic_store(&job->cancelled, false);
    atomic_store(&job->state, INLINE);
    bool entered = auth_gate_enter();
    bool started = entered && auth_transfer_start(job->transfer, &job->order.request, &job->clock);
    if (entered)
        auth_gate_leave();
    if (!started) {
        complete(job);
        atomic_store(&job->state, IDLE);
    }
    bool copied = alarm != NULL && auth_alarm_copy(&job->alarm, alarm);
    if (alarm != NULL && (!started || !copied || !start_thread(job))) {
        if (started)
            atomic_store(&job->state, INLINE);
        auth_alarm_ring(alarm);
    }
}

static void drive(struct auth_job *job, int64_t limit_ns) {
    bool done = step(job);
    if (!done && limit_ns > 0) {
        int64_t limit_ms = (limit_ns - 1) / NS_PER_MS + 1;
        auth_transfer_wait(job->transfer, limit_ms > STEP_MS ? STEP_MS : (int)limit_ms);
        done = step(job);
    }
    if (done) {
        complete(job);
        atomic_store(&job->state, IDLE);
    }
}

bool auth_job_wait(struct auth_job *job, int64_t limit_ns) {
    enum state state = atomic_load(&job->state);
    if (state == INLINE)
        drive(job, limit_ns);
    else if (state == THREADED && limit_ns > 0)
        (void)auth_alarm_wait(&job->alarm, limit_ns);
    if (atomic_load(&job->state) != IDLE)
        return false;
    join(job);
    auth_alarm_close(&job->alarm);
    free_share(job);
    return true;
}

const struct auth_transfer_reply *auth_job_finish(const struct auth_job *job,
                                                  const char *problems[AUTH_SHARE_STORES]) {
    for (int i = 0; i < AUTH_SHARE_STORES; i++)
        problems[i] = job->problems[i][0] != '\0' ? job->problems[i] : NULL;
    return job->reply;
}

bool auth_job_has_shared(const struct auth_job *job) {
    return job->has_shared;
}

bool auth_job_next_header(const struct auth_job *job, void **place, const char **name, const char **value) {
    return auth_transfer_next_header(job->transfer, place, name, value);
}

bool auth_job_is_ours(const struct auth_job *job) {
    return job->owner == getpid();
}

/* true: the thread has ended, or there is none. */
static bool dismiss(struct auth_job *job) {
    enum state expected = THREADED;
    atomic_store(&job->cancelled, true);
    if (atomic_load(&job->state) == THREADED) {
        auth_transfer_wake(job->transfer);
        auth_share_interrupt(&job->order.share); /* whose stores stay until the owner has joined the thread */
    }
    for (int64_t waited = 0; atomic_load(&job->state) == THREADED && waited < AUTH_JOB_FAREWELL_NS;
         waited += GLANCE_NS)
        auth_clock_sleep(GLANCE_NS);
    return !atomic_compare_exchange_strong(&job->state, &expected, ABANDONED);
}

void auth_job_free(struct auth_job *job) {
    if (job == NULL)
        return;
    if (!auth_job_is_ours(job)) {
        auth_share_forget(&job->order.share);
        if (!auth_gate_is_torn())
            auth_share_free(&job->order.share);
        auth_alarm_close(&job->alarm);
        return;
    }
    pthread_t thread = job->thread; /* an abandoned job may be gone at once */
    if (!dismiss(job)) {
        pthread_detach(thread);
        return;
    }
    join(job);
    release_order(&job->order);
    destroy(job);
}

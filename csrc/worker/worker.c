/* The worker; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/worker.h"
#include "base/clock.h"
#include "worker/gate.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { STACK_BYTES = 512 * 1024, POLL_NS = 100000 };

enum state {
    RUNNING,
    DONE,      /* `run` has returned */
    SIGNALLED, /* and the thread uses nothing of this any more */
    ABANDONED  /* its owner is gone: the thread frees it */
};

/* Of a list that its owner adds to while the thread may read it. */
struct listener {
    struct auth_notifier notifier; /* a copy: its owner may close it while the thread runs */
    struct listener *next;
};

struct auth_worker {
    void (*run)(void *data);
    void (*release)(void *data);
    void *data;
    _Atomic(struct listener *) listeners;
    struct listener *own; /* of these; made for the first wait. Others may be signalled for other reasons */
    pthread_t thread;
    _Atomic enum state state;
};

static void destroy(struct auth_worker *worker) {
    for (struct listener *one = atomic_load(&worker->listeners); one != NULL;) {
        struct listener *next = one->next;
        auth_notifier_close(&one->notifier);
        free(one);
        one = next;
    }
    free(worker);
}

/* --- the thread --- */

static void *run(void *argument) {
    struct auth_worker *worker = argument;
    enum state expected = RUNNING;
    (void)pthread_setname_np(pthread_self(), "central-auth");
    worker->run(worker->data);
    if (atomic_compare_exchange_strong(&worker->state, &expected, DONE)) {
        for (const struct listener *one = atomic_load(&worker->listeners); one != NULL; one = one->next)
            auth_notifier_signal(&one->notifier);
        atomic_store(&worker->state, SIGNALLED);
    } else {
        worker->release(worker->data);
        destroy(worker);
    }
    return NULL;
}

/* It blocks all signals, which are the host's. */
static bool start_thread(struct auth_worker *worker) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&worker->thread, &attributes, run, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* --- its owner --- */

struct auth_worker *auth_worker_start(void (*function)(void *data), void (*release)(void *data), void *data,
                                      const struct auth_notifier *done) {
    struct auth_worker *worker = malloc(sizeof *worker);
    if (worker == NULL)
        return NULL;
    *worker = (struct auth_worker){.run = function, .release = release, .data = data};
    if ((done == NULL || auth_worker_notify(worker, done)) && start_thread(worker))
        return worker;
    destroy(worker);
    return NULL;
}

static bool is_done(const struct auth_worker *worker) {
    return atomic_load(&worker->state) != RUNNING;
}

/* A copy of the notifier; NULL: a new one. The thread may end at the same moment: it reads the list after its
 * state has changed, so either it sees the new one there, or its end is seen here, or both. */
static struct listener *add_listener(struct auth_worker *worker, const struct auth_notifier *notifier) {
    struct listener *one = malloc(sizeof *one);
    if (one == NULL || !(notifier != NULL ? auth_notifier_copy(&one->notifier, notifier)
                                          : auth_notifier_open(&one->notifier))) {
        free(one);
        return NULL;
    }
    one->next = atomic_load(&worker->listeners);
    atomic_store(&worker->listeners, one);
    if (is_done(worker))
        auth_notifier_signal(&one->notifier);
    return one;
}

bool auth_worker_notify(struct auth_worker *worker, const struct auth_notifier *notifier) {
    return add_listener(worker, notifier) != NULL;
}

bool auth_worker_wait(struct auth_worker *worker, int64_t limit_ns) {
    if (is_done(worker) || limit_ns <= 0)
        return is_done(worker);
    if (worker->own == NULL)
        worker->own = add_listener(worker, NULL);
    if (worker->own != NULL)
        (void)auth_notifier_wait(&worker->own->notifier, limit_ns);
    else
        auth_clock_sleep((int64_t)10 * POLL_NS); /* no descriptor is left */
    return is_done(worker);
}

/* While the process exits, a thread may take AUTH_GATE_LINGER_NS to end; nothing of the worker is used in
 * that. */
static void join(struct auth_worker *worker) {
    if (!auth_gate_is_exiting()) {
        pthread_join(worker->thread, NULL);
        return;
    }
    while (atomic_load(&worker->state) != SIGNALLED)
        auth_clock_sleep(POLL_NS);
    pthread_detach(worker->thread);
}

bool auth_worker_end(struct auth_worker *worker, int64_t grace_ns) {
    enum state expected = RUNNING;
    pthread_t thread = worker->thread; /* an abandoned worker may be gone at once */
    int64_t begun_ns = auth_clock_boot_ns(&auth_clock_real);
    int64_t left_ns = grace_ns;
    while (left_ns > 0 && !auth_worker_wait(worker, left_ns))
        left_ns = grace_ns - (auth_clock_boot_ns(&auth_clock_real) - begun_ns);
    if (atomic_compare_exchange_strong(&worker->state, &expected, ABANDONED)) {
        pthread_detach(thread);
        return false;
    }
    join(worker);
    destroy(worker);
    return true;
}

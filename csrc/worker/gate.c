/* The gate; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/gate.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* A thread leaves before the last round of destructors, in which sanitizers free what they keep for it. */
enum { POLL_NS = 100000, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 1 };

static atomic_int inside;  /* threads */
static atomic_int closing; /* forks under way */
static atomic_bool exiting;
static unsigned generation;

static _Thread_local struct member {
    int depth;       /* calls of `enter` without their `leave` */
    bool is_forking; /* between the handlers of a fork */
    bool registered; /* its end will be noticed */
    bool is_ending;  /* it is inside because it runs its exit destructors */
    int rounds;      /* of destructors that are left until it leaves */
} me;

static bool is_open(void) {
    return !atomic_load(&exiting) && (me.is_forking || atomic_load(&closing) == 0);
}

static bool enter(void) {
    if (me.depth > 0) {
        me.depth++;
        return true;
    }
    while (!atomic_load(&exiting)) {
        atomic_fetch_add(&inside, 1); /* first: a fork sets `closing` and then reads this */
        if (is_open()) {
            me.depth = 1;
            return true;
        }
        atomic_fetch_sub(&inside, 1);
        auth_clock_sleep(POLL_NS);
    }
    return false;
}

void auth_gate_leave(void) {
    me.depth--;
    if (me.depth == 0)
        atomic_fetch_sub(&inside, 1);
}

/* Until no other thread is inside any more. */
static void wait_for_others(void) {
    int64_t until_ns = auth_clock_boot_ns(&auth_clock_real) + AUTH_GATE_WAIT_NS;
    int own = me.depth > 0 ? 1 : 0;
    while (atomic_load(&inside) > own && auth_clock_boot_ns(&auth_clock_real) < until_ns)
        auth_clock_sleep(POLL_NS);
}

/* --- the end of a thread --- */

static pthread_key_t key;

/* By then the process is gone, unless an exit handler of the host waits for this thread; OpenSSL has cleaned
 * up, and has nothing more to free for a thread. */
static void linger(void) {
    int64_t until_ns = auth_clock_boot_ns(&auth_clock_real) + AUTH_GATE_LINGER_NS;
    while (auth_clock_boot_ns(&auth_clock_real) < until_ns)
        auth_clock_sleep(POLL_NS);
}

static void enter_for_end(int rounds) {
    me.is_ending = enter();
    me.rounds = rounds;
    if (me.is_ending)
        return;
    linger();
    (void)pthread_setspecific(key, NULL); /* once is enough */
}

/* Runs before all destructors of keys, OpenSSL's included, whichever key was made first. */
static void before_destructors(void *data) {
    (void)data;
    enter_for_end(ROUNDS);
}

/* The destructor of the key. A key that is set again is visited again, after all others. Without
 * `before_destructors` the number of rounds left is unknown: then the thread leaves in the next one. */
static void in_destructors(void *data) {
    if (!me.is_ending) {
        enter_for_end(1);
        if (me.is_ending && pthread_setspecific(key, data) == 0)
            return;
    } else if (--me.rounds > 0 && pthread_setspecific(key, data) == 0) {
        return;
    }
    if (me.is_ending)
        auth_gate_leave();
    me.is_ending = false;
}

/* What C++ registers the destructors of thread-local objects by; glibc has it, other C libraries may not. */
int __cxa_thread_atexit_impl(void (*function)(void *), void *data, void *object) /* NOLINT */
    __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden"))); /* NOLINT: the name is the linker's */

/* Not for the main thread, whose end is the exit: that would find its own thread inside. */
static void register_end(void) {
    me.registered = pthread_setspecific(key, &me) == 0;
    if (me.registered && __cxa_thread_atexit_impl != NULL && gettid() != getpid())
        (void)__cxa_thread_atexit_impl(before_destructors, NULL, &__dso_handle);
}

bool auth_gate_enter(void) {
    if (!me.registered)
        register_end();
    return enter();
}

/* --- forks, and the exit --- */

static void before_fork(void) {
    me.is_forking = true;
    atomic_fetch_add(&closing, 1);
    wait_for_others();
}

static void after_fork(void) {
    me.is_forking = false;
    atomic_fetch_sub(&closing, 1);
}

/* The threads that were inside, or waited to enter, do not exist here. */
static void in_child(void) {
    generation++;
    me.is_forking = false;
    atomic_store(&closing, 0);
    atomic_store(&inside, me.depth > 0 ? 1 : 0);
}

static void at_exit(void) {
    atomic_store(&exiting, true);
    wait_for_others();
}

static bool initialised;

static void initialise(void) {
    initialised = pthread_key_create(&key, in_destructors) == 0 &&
                  pthread_atfork(before_fork, after_fork, in_child) == 0 && atexit(at_exit) == 0;
}

bool auth_gate_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    return pthread_once(&once, initialise) == 0 && initialised;
}

bool auth_gate_is_exiting(void) {
    return atomic_load(&exiting);
}

unsigned auth_gate_generation(void) {
    return generation;
}

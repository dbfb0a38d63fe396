/* The gate: forks and exits at the worst moments of a thread's life, the window of its end held open by
 * destructors that sleep. SPDX-License-Identifier: MIT */
#include "unit.h"
#include "worker/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { END_MS = 8 };

static pthread_key_t early; /* made before the gate */
static pthread_key_t late;  /* and after it */
static atomic_int working;  /* destructors of libraries at work */
static atomic_bool go;

static struct library {
    pthread_key_t *key;
    atomic_int visits;
} libraries[] = {{.key = &early}, {.key = &late}};

/* As OpenSSL's, which takes locks and frees memory; and once more, as when another destructor uses it. */
static void clean_up(void *data) {
    struct library *library = data;
    atomic_fetch_add(&working, 1);
    auth_clock_sleep(INT64_C(1) * END_MS * MS);
    atomic_fetch_sub(&working, 1);
    if (atomic_fetch_add(&library->visits, 1) == 0)
        (void)pthread_setspecific(*library->key, library);
}

static bool were_visited(int times) {
    return atomic_load(&libraries[0].visits) >= times && atomic_load(&libraries[1].visits) >= times;
}

static void use_libraries(void) {
    assert_true(auth_gate_enter());
    assert_true(auth_gate_enter()); /* it nests */
    for (int i = 0; i < 2; i++)
        (void)pthread_setspecific(*libraries[i].key, &libraries[i]);
    auth_gate_leave();
    auth_gate_leave();
}

static void *uses_it_and_ends(void *data) {
    while (!atomic_load(&go))
        auth_clock_sleep(MS);
    use_libraries();
    return data;
}

static pthread_t begin(void *(*run)(void *), bool at_once) {
    pthread_t thread;
    atomic_store(&libraries[0].visits, 0);
    atomic_store(&libraries[1].visits, 0);
    atomic_store(&go, at_once);
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    return thread;
}

static void wait_for_work(void) {
    while (atomic_load(&working) == 0)
        auth_clock_sleep(MS / 10);
}

static bool can_enter(void) {
    bool entered = auth_gate_enter();
    if (entered)
        auth_gate_leave();
    return entered;
}

static void keeps_a_fork_from_the_end_of_a_thread(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) { /* in the second round of destructors, too */
        pthread_t thread = begin(uses_it_and_ends, true);
        wait_for_work();
        while (!were_visited(round))
            auth_clock_sleep(MS / 10);
        unsigned generation = auth_gate_generation();
        pid_t child = fork();
        if (child == 0) {
            bool ok =
                atomic_load(&working) == 0 && were_visited(2) && auth_gate_generation() == generation + 1;
            end_child(ok && can_enter());
        }
        assert_int_equal(status_of(child), 0);
        assert_int_equal(auth_gate_generation(), generation);
        pthread_join(thread, NULL);
        assert_true(can_enter());
    }
}

static void *forks_inside(void *data) {
    assert_true(auth_gate_enter());
    pid_t child = fork();
    if (child == 0)
        end_child(can_enter());
    auth_gate_leave();
    *(int *)data = status_of(child);
    return NULL;
}

static void does_not_wait_for_the_thread_that_forks(void **state) {
    (void)state;
    pthread_t thread;
    int status = -1;
    int64_t begun = now_ns();
    assert_int_equal(pthread_create(&thread, NULL, forks_inside, &status), 0);
    pthread_join(thread, NULL);
    assert_int_equal(status, 0);
    assert_true(now_ns() - begun < AUTH_GATE_WAIT_NS);
}

static atomic_bool hangs;

static void *hangs_inside(void *data) {
    assert_true(auth_gate_enter());
    atomic_store(&hangs, true);
    while (atomic_load(&hangs))
        auth_clock_sleep(MS);
    auth_gate_leave();
    return data;
}

static void waits_for_what_hangs_no_longer_than_it_says(void **state) {
    (void)state;
    pthread_t thread = begin(hangs_inside, true);
    while (!atomic_load(&hangs))
        auth_clock_sleep(MS);
    int64_t begun = now_ns();
    pid_t child = fork();
    if (child == 0) {
        end_child(can_enter());
    }
    assert_int_equal(status_of(child), 0);
    assert_true(now_ns() - begun >= AUTH_GATE_WAIT_NS);
    assert_true(now_ns() - begun < 10 * AUTH_GATE_WAIT_NS);
    assert_true(can_enter()); /* the gate is open again */
    atomic_store(&hangs, false);
    pthread_join(thread, NULL);
}

static int64_t exit_begun;
static pthread_t last;
static bool expects_hang; /* at the exit */
static bool ends_then;    /* `last`, once the exit has begun */

/* Registered before the gate, so that it runs where OpenSSL's own handler does. */
static void behind_the_gate(void) {
    if (exit_begun == 0)
        return;
    if (expects_hang)
        end_child(now_ns() - exit_begun < 10 * AUTH_GATE_WAIT_NS);
    if (atomic_load(&working) != 0 || can_enter() || !auth_gate_is_exiting())
        end_child(false);
    if (!ends_then)
        end_child(were_visited(2));
    atomic_store(&go, true);
    auth_clock_sleep(INT64_C(5) * END_MS * MS);
    if (atomic_load(&working) != 0 || were_visited(1))
        end_child(false);
    int64_t begun = now_ns();
    pthread_join(last, NULL); /* as a host's handler may */
    end_child(now_ns() - begun < 10 * AUTH_GATE_LINGER_NS);
}

static void *used_it_and_ends(void *data) {
    use_libraries();
    atomic_store(&hangs, false);
    while (!atomic_load(&go))
        auth_clock_sleep(MS);
    return data;
}

static void exit_now(void) {
    exit_begun = now_ns();
    exit(2);
}

static void keeps_the_exit_from_the_end_of_a_thread(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    pid_t child = fork();
    if (child == 0) {
        begin(uses_it_and_ends, true);
        wait_for_work();
        exit_now();
    }
    assert_int_equal(status_of(child), 0);
}

static void keeps_the_end_of_a_thread_from_the_exit(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    pid_t child = fork();
    if (child == 0) {
        ends_then = true;
        atomic_store(&hangs, true);
        last = begin(used_it_and_ends, false);
        while (atomic_load(&hangs))
            auth_clock_sleep(MS);
        exit_now();
    }
    assert_int_equal(status_of(child), 0);
}

static void exits_although_a_thread_hangs_inside(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    pid_t child = fork();
    if (child == 0) {
        expects_hang = true;
        begin(hangs_inside, true);
        while (!atomic_load(&hangs))
            auth_clock_sleep(MS);
        exit_now();
    }
    assert_int_equal(status_of(child), 0);
}

/* A thread that comes in while its destructors run, as one whose host closes a client there. */
static pthread_key_t host;

static void enters(void *data) {
    (void)data;
    assert_true(auth_gate_enter());
    auth_gate_leave();
}

static void *enters_at_its_end(void *data) {
    (void)pthread_setspecific(host, &host);
    return data;
}

static void lets_go_of_a_thread_that_comes_in_at_its_end(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    SKIP("under AddressSanitizer: glibc loses the few bytes of what is registered so late");
#endif
    if (getenv("UNDER_VALGRIND") != NULL)
        SKIP("under valgrind: glibc loses the few bytes of what is registered so late");
    pthread_join(begin(enters_at_its_end, true), NULL);
    int64_t begun = now_ns();
    pid_t child = fork();
    if (child == 0)
        end_child(true);
    assert_int_equal(status_of(child), 0);
    assert_true(now_ns() - begun < AUTH_GATE_WAIT_NS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_fork_from_the_end_of_a_thread),
        cmocka_unit_test(does_not_wait_for_the_thread_that_forks),
        cmocka_unit_test(waits_for_what_hangs_no_longer_than_it_says),
        cmocka_unit_test(keeps_the_exit_from_the_end_of_a_thread),
        cmocka_unit_test(keeps_the_end_of_a_thread_from_the_exit),
        cmocka_unit_test(exits_although_a_thread_hangs_inside),
        cmocka_unit_test(lets_go_of_a_thread_that_comes_in_at_its_end),
    };
    if (pthread_key_create(&host, enters) != 0 || pthread_key_create(&early, clean_up) != 0 ||
        atexit(behind_the_gate) != 0 || !auth_gate_init() || pthread_key_create(&late, clean_up) != 0)
        return 1;
    return RUN(tests);
}

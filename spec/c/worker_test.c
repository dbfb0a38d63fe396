/* Workers: their end, their cancel, and what happens to those that hang, in forked children and at the exit.
 * SPDX-License-Identifier: MIT */
#include "exit.h"

#include "base/deadline.h"
#include "worker/gate.h"
#include "worker/worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOMENT_NS = 2 * MS, NAME_BYTES = 16 };

static const int64_t farewell_ns = AUTH_NS_PER_S / 4;
static struct auth_notifier done;

/* What a worker of these tests works with. */
struct work {
    struct auth_notifier cancel;
    struct auth_deadline deadline;
    bool deaf;         /* does not hear its cancel … */
    atomic_bool goes;  /* … but this */
    bool uses_gate;    /* while it waits */
    atomic_bool waits; /* it has come so far */

    char name[NAME_BYTES]; /* of the thread */
    bool is_blocked[NSIG]; /* signals */
    size_t stack_bytes;
};

static atomic_int works; /* that were not freed */
static atomic_int finished;
static atomic_int threads_refused; /* that many are, from now on */

/* In place of the system's, for all that is linked into this test. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_load(&threads_refused) > 0) {
        atomic_fetch_sub(&threads_refused, 1);
        return EAGAIN;
    }
    return real(thread, attributes, run, data);
}

static struct work *new_work(void) {
    struct work *work = calloc(1, sizeof *work);
    assert_true(work != NULL && auth_notifier_open(&work->cancel));
    work->deadline = (struct auth_deadline){
        .clock = &auth_clock_real, .at_ns = now_ns() + 60 * AUTH_NS_PER_S, .cancel = &work->cancel};
    atomic_fetch_add(&works, 1);
    return work;
}

static void free_work(void *data) {
    struct work *work = data;
    auth_notifier_close(&work->cancel);
    free(work);
    atomic_fetch_sub(&works, 1);
}

static void look_around(void *data) {
    struct work *work = data;
    sigset_t blocked;
    pthread_attr_t attributes;
    (void)pthread_getname_np(pthread_self(), work->name, sizeof work->name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++)
        work->is_blocked[number] = sigismember(&blocked, number) == 1;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        (void)pthread_attr_getstacksize(&attributes, &work->stack_bytes);
        pthread_attr_destroy(&attributes);
    }
    atomic_fetch_add(&finished, 1);
}

static void wait_for_cancel(void *data) {
    struct work *work = data;
    bool entered = work->uses_gate && auth_gate_enter();
    atomic_store(&work->waits, true);
    if (work->deaf)
        while (!atomic_load(&work->goes))
            auth_clock_sleep(MS / 10);
    else
        (void)auth_deadline_sleep(&work->deadline, 60 * AUTH_NS_PER_S);
    if (entered)
        auth_gate_leave();
    atomic_fetch_add(&finished, 1);
}

static struct auth_worker *start_waiting(struct work *work, const struct auth_notifier *notifier) {
    struct auth_worker *worker = auth_worker_start(wait_for_cancel, free_work, work, notifier);
    assert_non_null(worker);
    while (!atomic_load(&work->waits))
        auth_clock_sleep(MS / 10);
    return worker;
}

static void cancel(const struct work *work) {
    auth_notifier_signal(&work->cancel);
}

static int threads(void) {
    return entries("/proc/self/task");
}

static int descriptors(void) {
    return entries("/proc/self/fd");
}

/* One that was joined may be listed for a moment more. */
static bool ends_threads_above(int most) {
    int64_t until = now_ns() + 5 * AUTH_NS_PER_S;
    while (threads() > most && now_ns() < until)
        auth_clock_sleep(MS);
    return threads() <= most;
}

static bool comes_to(const atomic_int *count, int expected) {
    int64_t until = now_ns() + 5 * AUTH_NS_PER_S;
    while (atomic_load(count) != expected && now_ns() < until)
        auth_clock_sleep(MS / 10);
    return atomic_load(count) == expected;
}

/* A sanitizer starts a thread of its own with the first one. */
static int set_up(void **state) {
    (void)state;
    struct work *work = new_work();
    struct auth_worker *worker = auth_worker_start(look_around, free_work, work, NULL);
    assert_true(worker != NULL && auth_worker_end(worker, 5 * AUTH_NS_PER_S));
    free_work(work);
    auth_notifier_clear(&done);
    atomic_store(&finished, 0);
    return 0;
}

static void runs_on_a_thread_and_signals_its_end(void **state) {
    (void)state;
    int threads_before = threads();
    int descriptors_before = descriptors();
    for (int i = 0; i < 3; i++) {
        struct work *work = new_work();
        struct auth_notifier given;
        assert_true(auth_notifier_copy(&given, &done));
        auth_notifier_clear(&done);
        struct auth_worker *worker = auth_worker_start(look_around, free_work, work, &given);
        auth_notifier_close(&given); /* it has a copy */
        assert_non_null(worker);
        assert_true(auth_notifier_wait(&done, 5 * AUTH_NS_PER_S)); /* it does all by itself */
        assert_true(auth_worker_wait(worker, 0));
        assert_int_equal(atomic_load(&finished), i + 1);
        assert_true(auth_worker_wait(worker, 0));
        assert_true(auth_worker_end(worker, 0));
        assert_true(ends_threads_above(threads_before));
        assert_string_equal(work->name, "central-auth");
        free_work(work);
    }
    assert_int_equal(descriptors(), descriptors_before);
    assert_int_equal(atomic_load(&works), 0);
}

static void signals_each_that_is_added_meanwhile_or_later(void **state) {
    (void)state;
    struct auth_notifier more[3];
    struct work *work = new_work();
    struct auth_worker *worker = start_waiting(work, &done);
    for (int i = 0; i < 3; i++)
        assert_true(auth_notifier_open(&more[i]));
    assert_true(auth_worker_notify(worker, &more[0]) && auth_worker_notify(worker, &more[1]));
    assert_false(auth_notifier_wait(&more[0], 0));
    auth_notifier_close(&more[0]);
    cancel(work);
    assert_true(auth_notifier_wait(&more[1], AUTH_NS_PER_S) && auth_notifier_wait(&done, AUTH_NS_PER_S));
    assert_true(auth_worker_notify(worker, &more[2]) && auth_notifier_wait(&more[2], 0));
    assert_true(auth_worker_end(worker, farewell_ns));
    free_work(work);
    auth_notifier_close(&more[1]);
    auth_notifier_close(&more[2]);
}

/* Whichever comes first, the end or the notifier. */
static void misses_none_that_is_added_at_the_end(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct auth_notifier late;
        struct work *work = new_work();
        struct auth_worker *worker = auth_worker_start(look_around, free_work, work, NULL);
        assert_non_null(worker);
        assert_true(auth_notifier_open(&late));
        for (volatile int i = 0; i < round * 10; i++)
            ;
        assert_true(auth_worker_notify(worker, &late));
        assert_true(auth_notifier_wait(&late, AUTH_NS_PER_S));
        assert_true(auth_worker_end(worker, farewell_ns));
        free_work(work);
        auth_notifier_close(&late);
    }
}

static void leaves_signals_to_the_host_and_has_a_small_stack(void **state) {
    (void)state;
    struct work *work = new_work();
    struct auth_worker *worker = auth_worker_start(look_around, free_work, work, NULL);
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0); /* the caller's stay as they were */
    assert_true(auth_worker_end(worker, 5 * AUTH_NS_PER_S));
    static const int all[] = {SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGPIPE, SIGUSR1, SIGHUP, SIGWINCH};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_true(work->is_blocked[all[i]]);
    assert_true(work->stack_bytes <= (size_t)1024 * 1024); /* with what sanitizers add */
    free_work(work);
}

static void is_waited_for_a_while_at_a_time(void **state) {
    (void)state;
    struct work *work = new_work();
    struct auth_worker *worker = start_waiting(work, NULL);
    auth_notifier_signal(&done); /* says nothing of this one */
    assert_false(auth_worker_wait(worker, 0));
    assert_false(auth_worker_wait(worker, 0));
    int64_t begun = now_ns();
    assert_false(auth_worker_wait(worker, 10 * MS));
    assert_true(now_ns() - begun >= 10 * MS);
    cancel(work);
    assert_true(auth_worker_wait(worker, 5 * AUTH_NS_PER_S));
    assert_true(auth_worker_wait(worker, 0));
    assert_true(auth_worker_end(worker, 0));
    free_work(work);
}

static void do_nothing(int number) {
    (void)number;
}

static void ends_a_wait_when_a_signal_of_the_system_arrives(void **state) {
    (void)state;
    struct sigaction former;
    const struct sigaction action = {.sa_handler = do_nothing};
    struct work *work = new_work();
    struct auth_worker *worker = start_waiting(work, NULL);
    assert_int_equal(sigaction(SIGALRM, &action, &former), 0);
    assert_int_equal(ualarm(5000, 5000), 0);
    int64_t begun = now_ns();
    assert_false(auth_worker_wait(worker, 30 * AUTH_NS_PER_S));
    assert_true(now_ns() - begun < 5 * AUTH_NS_PER_S);
    cancel(work); /* its end is waited for nevertheless */
    assert_true(auth_worker_end(worker, 5 * AUTH_NS_PER_S));
    (void)ualarm(0, 0);
    assert_int_equal(sigaction(SIGALRM, &former, NULL), 0);
    free_work(work);
}

static void is_cancelled_in_a_moment(void **state) {
    (void)state;
    int threads_before = threads();
    int descriptors_before = descriptors();
    int64_t took = MOMENT_NS + 1;
    for (int i = 0; i < 20 && (i < 3 || took > MOMENT_NS); i++) { /* others may have the processor */
        struct work *work = new_work();
        struct auth_worker *worker = start_waiting(work, &done);
        int64_t begun = now_ns();
        cancel(work);
        assert_true(auth_worker_end(worker, farewell_ns));
        took = now_ns() - begun;
        free_work(work);
    }
    assert_true(took <= MOMENT_NS || getenv("UNDER_VALGRIND") != NULL);
    assert_true(ends_threads_above(threads_before));
    assert_int_equal(descriptors(), descriptors_before);
    assert_int_equal(atomic_load(&works), 0);
}

static void frees_itself_where_it_is_abandoned(void **state) {
    (void)state;
    int threads_before = threads();
    int descriptors_before = descriptors();
    for (int i = 0; i < 4; i++) {
        struct work *work = new_work();
        work->deaf = true;
        struct auth_worker *worker = start_waiting(work, &done);
        int64_t begun = now_ns();
        assert_false(auth_worker_end(worker, i == 0 ? 0 : INT64_C(10) * MS));
        assert_true(now_ns() - begun >= (i == 0 ? 0 : 10 * MS));
        assert_true(i > 0 || now_ns() - begun < 5 * AUTH_NS_PER_S);
        assert_int_equal(atomic_load(&works), 1);
        atomic_store(&work->goes, true);
        assert_true(comes_to(&works, 0));
        assert_true(ends_threads_above(threads_before));
        assert_false(auth_notifier_wait(&done, 0)); /* nobody wants to hear of it any more */
    }
    assert_int_equal(atomic_load(&finished), 4);
    assert_int_equal(descriptors(), descriptors_before);
}

/* Both sides at the same moment, in whichever order. */
static void ends_or_is_abandoned_but_never_both(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct work *work = new_work();
        work->deaf = true;
        struct auth_worker *worker = start_waiting(work, &done);
        atomic_store(&work->goes, true);
        if (i % 4 > 0)
            auth_clock_sleep((int64_t)(i % 4) * MS / 20);
        if (auth_worker_end(worker, 0))
            free_work(work);
    }
    assert_true(comes_to(&works, 0));
    assert_true(comes_to(&finished, 200));
}

static void is_not_started_without_thread_or_descriptor(void **state) {
    (void)state;
    struct rlimit former;
    struct work *work = new_work();
    int descriptors_before = descriptors();
    atomic_store(&threads_refused, 1);
    assert_null(auth_worker_start(look_around, free_work, work, &done));
    assert_int_equal(descriptors(), descriptors_before);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
    int next = dup(0);
    close(next);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = former.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct auth_worker *worker = auth_worker_start(look_around, free_work, work, &done);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
    assert_null(worker);
    assert_int_equal(error, EMFILE);
    assert_int_equal(descriptors(), descriptors_before);
    assert_false(auth_notifier_wait(&done, 0));
    assert_int_equal(atomic_load(&finished), 0);
    assert_int_equal(atomic_load(&works), 1); /* it is still the caller's */
    free_work(work);
}

static void needs_no_descriptor_where_none_is_signalled(void **state) {
    (void)state;
    struct rlimit former;
    struct work *work = new_work();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = former.rlim_max};
    int64_t begun_ns = now_ns();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct auth_worker *worker = start_waiting(work, NULL);
    bool ended = auth_worker_wait(worker, 30 * AUTH_NS_PER_S); /* sleeps a little */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
    assert_false(ended);
    assert_true(now_ns() - begun_ns < 10 * AUTH_NS_PER_S);
    cancel(work);
    assert_true(auth_worker_end(worker, 5 * AUTH_NS_PER_S));
    free_work(work);
}

static void is_left_alone_by_a_forked_child(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    for (int ended = 0; ended < 2; ended++) { /* during its run, and after it */
        struct work *work = new_work();
        struct auth_worker *worker = start_waiting(work, &done);
        if (ended) {
            cancel(work);
            assert_true(auth_worker_wait(worker, 5 * AUTH_NS_PER_S));
        }
        int of_the_parent = descriptors();
        pid_t child = fork();
        if (child == 0) {
            bool ok = descriptors() <= of_the_parent - 1 && /* valgrind closes one of its own, too */
                      threads() == 1 && atomic_load(&works) == 1;
            struct work *own = new_work();
            struct auth_worker *another = start_waiting(own, NULL);
            cancel(own);
            ok = ok && auth_worker_end(another, 5 * AUTH_NS_PER_S);
            end_child(ok);
        }
        assert_int_equal(status_of(child), 0);
        assert_int_equal(auth_worker_wait(worker, 0), ended); /* the parent's goes on */
        cancel(work);
        assert_true(auth_worker_end(worker, 5 * AUTH_NS_PER_S));
        free_work(work);
    }
}

static void lets_the_process_exit(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    for (int which = 0; which < 2; which++) {
        pid_t child = fork();
        if (child == 0) {
            struct work *work = new_work();
            work->uses_gate = which == 1;
            (void)start_waiting(work, &done);
            alarm(10);
            exit(0);
        }
        assert_int_equal(status_of(child), 0);
    }
}

static struct auth_worker *left;
static struct work *left_work;

static void *ends_workers_at_the_exit(void *data) {
    wait_for_host_exit();
    int64_t begun = now_ns();
    cancel(left_work);
    bool ended = auth_worker_end(left, 5 * AUTH_NS_PER_S);
    free_work(left_work);
    return ended && auth_gate_is_exiting() && now_ns() - begun < AUTH_GATE_LINGER_NS / 2 ? data : NULL;
}

static void is_ended_by_another_thread_while_the_process_exits(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    if (getenv("UNDER_VALGRIND") != NULL)
        SKIP("under valgrind: what is left behind there on purpose is a leak to it");
    pid_t child = fork();
    if (child == 0) {
        left_work = new_work();
        left_work->uses_gate = true; /* so that its end lingers */
        left = start_waiting(left_work, &done);
        exit_with_host_thread(ends_workers_at_the_exit, &left);
    }
    assert_int_equal(status_of(child), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(runs_on_a_thread_and_signals_its_end, set_up),
        cmocka_unit_test_setup(signals_each_that_is_added_meanwhile_or_later, set_up),
        cmocka_unit_test_setup(misses_none_that_is_added_at_the_end, set_up),
        cmocka_unit_test_setup(leaves_signals_to_the_host_and_has_a_small_stack, set_up),
        cmocka_unit_test_setup(is_waited_for_a_while_at_a_time, set_up),
        cmocka_unit_test_setup(ends_a_wait_when_a_signal_of_the_system_arrives, set_up),
        cmocka_unit_test_setup(is_cancelled_in_a_moment, set_up),
        cmocka_unit_test_setup(frees_itself_where_it_is_abandoned, set_up),
        cmocka_unit_test_setup(ends_or_is_abandoned_but_never_both, set_up),
        cmocka_unit_test_setup(is_not_started_without_thread_or_descriptor, set_up),
        cmocka_unit_test_setup(needs_no_descriptor_where_none_is_signalled, set_up),
        cmocka_unit_test_setup(is_left_alone_by_a_forked_child, set_up),
        cmocka_unit_test_setup(lets_the_process_exit, set_up),
        cmocka_unit_test_setup(is_ended_by_another_thread_while_the_process_exits, set_up),
    };
    if (atexit(end_host_thread) != 0 || !auth_gate_init() || !auth_gate_init() || !auth_notifier_open(&done))
        return 1;
    int failed = RUN(tests);
    auth_notifier_close(&done);
    return failed;
}

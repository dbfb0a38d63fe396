/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/notifier.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static void is_signalled_until_it_is_cleared(void **state) {
    (void)state;
    struct auth_notifier notifier;
    assert_true(auth_notifier_open(&notifier));
    assert_false(auth_notifier_wait(&notifier, 0));
    auth_notifier_signal(&notifier);
    auth_notifier_signal(&notifier);
    assert_true(auth_notifier_wait(&notifier, 5 * AUTH_NS_PER_S));
    assert_true(auth_notifier_wait(&notifier, 0));
    struct pollfd ready = {.fd = notifier.fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1); /* as an event loop sees it */
    auth_notifier_clear(&notifier);
    assert_false(auth_notifier_wait(&notifier, 0));
    assert_int_equal(poll(&ready, 1, 0), 0);
    auth_notifier_clear(&notifier); /* does not block */
    auth_notifier_close(&notifier);
}

static void waits_no_longer_than_it_may(void **state) {
    (void)state;
    struct auth_notifier notifier;
    assert_true(auth_notifier_open(&notifier));
    int64_t before = now_ns();
    assert_false(auth_notifier_wait(&notifier, -1));
    assert_false(auth_notifier_wait(&notifier, 10 * MS));
    int64_t took = now_ns() - before;
    assert_true(took >= 10 * MS && took < AUTH_NS_PER_S);
    auth_notifier_close(&notifier);
}

static void *signals_soon(void *notifier) {
    auth_clock_sleep(5 * MS);
    auth_notifier_signal(notifier);
    return NULL;
}

static void is_signalled_by_another_thread(void **state) {
    (void)state;
    struct auth_notifier notifier;
    pthread_t thread;
    assert_true(auth_notifier_open(&notifier));
    assert_int_equal(pthread_create(&thread, NULL, signals_soon, &notifier), 0);
    assert_true(auth_notifier_wait(&notifier, 5 * AUTH_NS_PER_S));
    pthread_join(thread, NULL);
    auth_notifier_close(&notifier);
}

static void do_nothing(int number) {
    (void)number;
}

static void ends_its_wait_when_a_signal_of_the_system_arrives(void **state) {
    (void)state;
    struct auth_notifier notifier;
    struct sigaction former;
    const struct sigaction action = {.sa_handler = do_nothing};
    assert_true(auth_notifier_open(&notifier));
    assert_int_equal(sigaction(SIGALRM, &action, &former), 0);
    assert_int_equal(ualarm(5000, 5000), 0); /* again, in case one comes before the wait */
    int64_t before = now_ns();
    assert_false(auth_notifier_wait(&notifier, 10 * AUTH_NS_PER_S));
    assert_true(now_ns() - before < 5 * AUTH_NS_PER_S);
    (void)ualarm(0, 0);
    assert_int_equal(sigaction(SIGALRM, &former, NULL), 0);
    auth_notifier_close(&notifier);
}

static void has_copies_that_are_signalled_with_it(void **state) {
    (void)state;
    struct auth_notifier notifier;
    struct auth_notifier copy;
    assert_true(auth_notifier_open(&notifier));
    assert_true(auth_notifier_copy(&copy, &notifier));
    assert_int_not_equal(notifier.fd, copy.fd);
    auth_notifier_signal(&notifier);
    assert_true(auth_notifier_wait(&copy, 0));
    auth_notifier_close(&notifier);
    assert_true(auth_notifier_wait(&copy, 0));
    auth_notifier_clear(&copy);
    assert_false(auth_notifier_wait(&copy, 0));
    auth_notifier_close(&copy);
}

static void is_harmless_once_it_is_closed(void **state) {
    (void)state;
    struct auth_notifier notifier;
    struct auth_notifier copy = AUTH_NOTIFIER_CLOSED;
    assert_true(auth_notifier_open(&notifier));
    auth_notifier_close(&notifier);
    auth_notifier_close(&notifier);
    assert_int_equal(notifier.fd, -1);
    auth_notifier_signal(&notifier);
    auth_notifier_clear(&notifier);
    assert_false(auth_notifier_wait(&notifier, 0));
    assert_false(auth_notifier_wait(&notifier, MS));
    assert_false(auth_notifier_copy(&copy, &notifier));
    assert_int_equal(copy.fd, -1);
}

/* In a child: its descriptors may be spoilt. */
static void passes_for_no_standard_stream(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct auth_notifier notifier;
        struct auth_notifier copy;
        close(0);
        close(1);
        bool ok = auth_notifier_open(&notifier) && auth_notifier_copy(&copy, &notifier);
        ok = ok && notifier.fd >= 3 && copy.fd >= 3 && !auth_descriptor_is_inherited(notifier.fd) &&
             !auth_descriptor_is_inherited(copy.fd);
        struct rlimit former;
        ok = ok && getrlimit(RLIMIT_NOFILE, &former) == 0;
        const struct rlimit none = {.rlim_cur = 0, .rlim_max = former.rlim_max};
        ok = ok && setrlimit(RLIMIT_NOFILE, &none) == 0 && !auth_notifier_open(&notifier) && errno == EMFILE;
        ok = ok && notifier.fd == -1 && setrlimit(RLIMIT_NOFILE, &former) == 0;
        end_child(ok);
    }
    assert_int_equal(status_of(child), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_signalled_until_it_is_cleared),
        cmocka_unit_test(waits_no_longer_than_it_may),
        cmocka_unit_test(is_signalled_by_another_thread),
        cmocka_unit_test(ends_its_wait_when_a_signal_of_the_system_arrives),
        cmocka_unit_test(has_copies_that_are_signalled_with_it),
        cmocka_unit_test(is_harmless_once_it_is_closed),
        cmocka_unit_test(passes_for_no_standard_stream),
    };
    return RUN(tests);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/deadline.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static struct auth_clock movable;
static struct auth_notifier cancel;

static struct auth_deadline in_ns(int64_t left_ns) {
    auth_notifier_clear(&cancel);
    return (struct auth_deadline){
        .clock = &movable, .at_ns = auth_clock_boot_ns(&movable) + left_ns, .cancel = &cancel};
}

static void counts_on_the_clock_that_it_was_given(void **state) {
    (void)state;
    struct auth_clock stopped = {0};
    auth_clock_stop(&stopped);
    struct auth_deadline deadline = in_ns(0);
    deadline.clock = &stopped;
    deadline.at_ns = auth_clock_boot_ns(&stopped) + 3600 * AUTH_NS_PER_S;
    assert_int_equal(auth_deadline_left_ns(&deadline), 3600 * AUTH_NS_PER_S);
    assert_int_equal(auth_deadline_left_ms(&deadline, 1000), 1000);
    assert_int_equal(auth_deadline_left_ms(&deadline, INT_MAX), 3600 * 1000);
    assert_false(auth_deadline_is_over(&deadline));
    stopped.boot_shift_ns += 3599 * AUTH_NS_PER_S;
    assert_int_equal(auth_deadline_left_ns(&deadline), AUTH_NS_PER_S);
    stopped.boot_shift_ns += AUTH_NS_PER_S;
    assert_int_equal(auth_deadline_left_ns(&deadline), 0);
    assert_int_equal(auth_deadline_left_ms(&deadline, 1000), 0);
    assert_true(auth_deadline_is_over(&deadline));
    assert_false(auth_deadline_is_cancelled(&deadline));
}

static void rounds_milliseconds_up(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(INT64_C(1000) * MS - 1);
    int64_t left_ns = auth_deadline_left_ns(&deadline);
    int left_ms = auth_deadline_left_ms(&deadline, 5000);
    assert_true((int64_t)left_ms * MS >= auth_deadline_left_ns(&deadline));
    assert_true((int64_t)(left_ms - 1) * MS < left_ns);
    deadline.at_ns = INT64_MAX;
    assert_int_equal(auth_deadline_left_ms(&deadline, INT_MAX), INT_MAX);
}

static void has_earlier_ends_within(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(10 * AUTH_NS_PER_S);
    struct auth_deadline earlier = auth_deadline_within(&deadline, AUTH_NS_PER_S);
    assert_true(auth_deadline_left_ns(&earlier) <= AUTH_NS_PER_S);
    assert_true(auth_deadline_left_ns(&earlier) > AUTH_NS_PER_S / 2);
    assert_ptr_equal(earlier.clock, deadline.clock);
    assert_ptr_equal(earlier.cancel, deadline.cancel);
    earlier = auth_deadline_within(&deadline, INT64_MAX);
    assert_int_equal(earlier.at_ns, deadline.at_ns);
    earlier = auth_deadline_within(&deadline, -1);
    assert_true(auth_deadline_is_over(&earlier));
    movable.boot_shift_ns += 20 * AUTH_NS_PER_S;
    earlier = auth_deadline_within(&deadline, AUTH_NS_PER_S);
    assert_true(auth_deadline_is_over(&earlier));
}

static void says_whether_a_descriptor_is_ready(void **state) {
    (void)state;
    int quiet[2];
    int ready[2];
    struct auth_deadline deadline = in_ns(10 * AUTH_NS_PER_S);
    assert_int_equal(pipe(quiet), 0);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(write(ready[1], "x", 1), 1);
    struct pollfd fds[AUTH_DEADLINE_FDS_MAX] = {
        {.fd = quiet[0], .events = POLLIN},
        {.fd = -1, .events = POLLIN},
        {.fd = ready[0], .events = POLLIN},
        {.fd = ready[1], .events = POLLOUT},
    };
    assert_true(auth_deadline_poll(&deadline, fds, 4));
    deadline.cancel = NULL;
    assert_true(auth_deadline_poll(&deadline, fds, 3));
    deadline.at_ns = 0;
    assert_true(auth_deadline_poll(&deadline, fds, 3)); /* after the end, too */
    assert_false(auth_deadline_poll(&deadline, fds, 2));
    close(ready[1]);
    close(ready[0]);
    close(quiet[1]);
    close(quiet[0]);
}

static void polls_until_the_deadline(void **state) {
    (void)state;
    int quiet[2];
    assert_int_equal(pipe(quiet), 0);
    struct auth_deadline deadline = in_ns(INT64_C(10) * MS);
    struct pollfd end = {.fd = quiet[0], .events = POLLIN};
    int64_t before = now_ns();
    assert_false(auth_deadline_poll(&deadline, &end, 1));
    int64_t took = now_ns() - before;
    assert_true(took >= 10 * MS && took < 5 * AUTH_NS_PER_S);
    assert_true(auth_deadline_is_over(&deadline));
    close(quiet[0]);
    close(quiet[1]);
}

static void *cancels_soon(void *data) {
    (void)data;
    auth_clock_sleep(5 * MS);
    auth_notifier_signal(&cancel);
    return NULL;
}

static void ends_its_waits_when_another_thread_cancels(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        int ready[2];
        pthread_t thread;
        struct auth_deadline deadline = in_ns(60 * AUTH_NS_PER_S);
        assert_int_equal(pipe(ready), 0);
        struct pollfd end = {.fd = ready[0], .events = POLLIN};
        int64_t before = now_ns();
        assert_int_equal(pthread_create(&thread, NULL, cancels_soon, NULL), 0);
        if (which == 0) {
            assert_false(auth_deadline_poll(&deadline, NULL, 0));
        } else if (which == 1) {
            assert_false(auth_deadline_sleep(&deadline, 50 * AUTH_NS_PER_S));
        } else { /* a peer that never stops talking can't hide it */
            assert_int_equal(write(ready[1], "x", 1), 1);
            while (auth_deadline_poll(&deadline, &end, 1))
                continue;
        }
        assert_true(now_ns() - before < 5 * AUTH_NS_PER_S);
        pthread_join(thread, NULL);
        assert_true(auth_deadline_is_cancelled(&deadline));
        assert_true(auth_deadline_is_over(&deadline));
        assert_true(auth_deadline_left_ns(&deadline) > 0);
        close(ready[0]);
        close(ready[1]);
    }
}

static void sleeps_to_its_end(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(10 * AUTH_NS_PER_S);
    int64_t before = now_ns();
    assert_true(auth_deadline_sleep(&deadline, 10 * MS));
    int64_t took = now_ns() - before;
    assert_true(took >= 10 * MS && took < 5 * AUTH_NS_PER_S);
    assert_true(auth_deadline_sleep(&deadline, 0));
    assert_true(auth_deadline_sleep(&deadline, -1));
    deadline = in_ns(10 * MS);
    before = now_ns();
    assert_false(auth_deadline_sleep(&deadline, 60 * AUTH_NS_PER_S));
    took = now_ns() - before;
    assert_true(took >= 10 * MS && took < 5 * AUTH_NS_PER_S);
    assert_false(auth_deadline_sleep(&deadline, 0)); /* it is over */
}

static void do_nothing(int number) {
    (void)number;
}

static void polls_until_a_signal_of_the_system_and_sleeps_on(void **state) {
    (void)state;
    struct sigaction former;
    const struct sigaction action = {.sa_handler = do_nothing};
    struct auth_deadline deadline = in_ns(60 * AUTH_NS_PER_S);
    struct pollfd end = {.fd = cancel.fd, .events = POLLIN};
    assert_int_equal(sigaction(SIGALRM, &action, &former), 0);
    assert_int_equal(ualarm(5000, 5000), 0);
    int64_t before = now_ns();
    assert_false(auth_deadline_poll(&deadline, &end, 1));
    assert_true(now_ns() - before < 5 * AUTH_NS_PER_S);
    before = now_ns();
    assert_true(auth_deadline_sleep(&deadline, INT64_C(30) * MS));
    assert_true(now_ns() - before >= INT64_C(30) * MS);
    (void)ualarm(0, 0);
    assert_int_equal(sigaction(SIGALRM, &former, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_on_the_clock_that_it_was_given),
        cmocka_unit_test(rounds_milliseconds_up),
        cmocka_unit_test(has_earlier_ends_within),
        cmocka_unit_test(says_whether_a_descriptor_is_ready),
        cmocka_unit_test(polls_until_the_deadline),
        cmocka_unit_test(ends_its_waits_when_another_thread_cancels),
        cmocka_unit_test(sleeps_to_its_end),
        cmocka_unit_test(polls_until_a_signal_of_the_system_and_sleeps_on),
    };
    if (!auth_notifier_open(&cancel))
        return 1;
    int failed = RUN(tests);
    auth_notifier_close(&cancel);
    return failed;
}

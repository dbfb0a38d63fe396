/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "worker/alarm.h"

#include <unistd.h>

enum { MS = 1000000 };

static void rings_when_told_and_goes_on(void **state) {
    (void)state;
    struct auth_alarm alarm;
    assert_true(auth_alarm_open(&alarm));
    assert_false(auth_alarm_wait(&alarm, 0));
    auth_alarm_ring(&alarm);
    assert_true(auth_alarm_wait(&alarm, 1000 * MS));
    assert_true(auth_alarm_wait(&alarm, 0));
    auth_alarm_set(&alarm, 3600 * AUTH_NS_PER_S);
    assert_false(auth_alarm_wait(&alarm, 0));
    auth_alarm_close(&alarm);
}

static void rings_when_its_moment_comes(void **state) {
    (void)state;
    struct auth_alarm alarm;
    struct auth_clock clock = {0};
    assert_true(auth_alarm_open(&alarm));
    int64_t before = auth_clock_boot_ns(&clock);
    auth_alarm_set(&alarm, 10 * MS);
    assert_true(auth_alarm_wait(&alarm, 5 * AUTH_NS_PER_S));
    int64_t took = auth_clock_boot_ns(&clock) - before;
    assert_true(took >= 10 * MS && took < AUTH_NS_PER_S);
    auth_alarm_close(&alarm);
}

static void has_copies_that_ring_with_it(void **state) {
    (void)state;
    struct auth_alarm alarm;
    struct auth_alarm copy;
    assert_true(auth_alarm_open(&alarm));
    assert_true(auth_alarm_copy(&copy, &alarm));
    assert_int_not_equal(alarm.fd, copy.fd);
    auth_alarm_ring(&alarm);
    assert_true(auth_alarm_wait(&copy, AUTH_NS_PER_S));
    auth_alarm_close(&alarm);
    assert_true(auth_alarm_wait(&copy, 0));
    auth_alarm_close(&copy);
    auth_alarm_close(&copy);
    assert_int_equal(copy.fd, -1);
    auth_alarm_ring(&copy); /* harmless */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_when_told_and_goes_on),
        cmocka_unit_test(rings_when_its_moment_comes),
        cmocka_unit_test(has_copies_that_ring_with_it),
    };
    return RUN(tests);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static const int64_t ms = 1000000;

static void counts_suspend_and_the_epoch(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    struct timespec boot;
    struct timespec wall;
    struct auth_instant now = auth_clock_now(&clock);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t boot_ns = boot.tv_sec * AUTH_NS_PER_S + boot.tv_nsec;
    int64_t wall_ns = wall.tv_sec * AUTH_NS_PER_S + wall.tv_nsec;
    assert_in_range(boot_ns - now.boot_ns, 0, AUTH_NS_PER_S);
    assert_in_range(wall_ns - now.wall_ns, 0, AUTH_NS_PER_S);
}

static void never_goes_back(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    int64_t before = auth_clock_boot_ns(&clock);
    for (int i = 0; i < 1000; i++) {
        int64_t now = auth_clock_boot_ns(&clock);
        assert_true(now >= before);
        before = now;
    }
}

static void shifts_each_clock_by_its_own(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    struct auth_clock moved = {.boot_shift_ns = 3600 * AUTH_NS_PER_S,
                               .wall_shift_ns = -86400 * AUTH_NS_PER_S};
    struct auth_instant from = auth_clock_now(&clock);
    struct auth_instant to = auth_clock_now(&moved);
    assert_in_range(to.boot_ns - from.boot_ns - moved.boot_shift_ns, 0, AUTH_NS_PER_S);
    assert_in_range(to.wall_ns - from.wall_ns - moved.wall_shift_ns, 0, AUTH_NS_PER_S);
    struct auth_instant glance = auth_clock_coarse_now(&clock);
    struct auth_instant moved_glance = auth_clock_coarse_now(&moved);
    assert_in_range(moved_glance.boot_ns - glance.boot_ns - moved.boot_shift_ns, 0, AUTH_NS_PER_S);
    assert_in_range(moved_glance.wall_ns - glance.wall_ns - moved.wall_shift_ns, 0, AUTH_NS_PER_S);
}

static void stands_still_once_stopped(void **state) {
    (void)state;
    struct auth_clock clock = {.boot_shift_ns = 3600 * AUTH_NS_PER_S};
    struct auth_instant before = auth_clock_now(&clock);
    auth_clock_stop(&clock);
    struct auth_instant stopped = auth_clock_now(&clock);
    assert_in_range(stopped.boot_ns - before.boot_ns, 0, AUTH_NS_PER_S);
    assert_in_range(stopped.wall_ns - before.wall_ns, 0, AUTH_NS_PER_S);
    clock.boot_shift_ns += 5;
    clock.wall_shift_ns -= 7;
    auth_clock_sleep(2 * ms);
    assert_int_equal(auth_clock_boot_ns(&clock), stopped.boot_ns + 5);
    assert_int_equal(auth_clock_wall_ns(&clock), stopped.wall_ns - 7);
    assert_int_equal(auth_clock_coarse_now(&clock).boot_ns, stopped.boot_ns + 5);
}

static void sees_time_pass_in_glances(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    struct auth_instant before = auth_clock_coarse_now(&clock);
    auth_clock_sleep(30 * ms);
    struct auth_instant after = auth_clock_coarse_now(&clock);
    assert_true(after.boot_ns - before.boot_ns > 15 * ms);
    assert_true(after.wall_ns - before.wall_ns > 15 * ms);
}

static void sleeps_as_long_as_told(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    int64_t before = auth_clock_boot_ns(&clock);
    auth_clock_sleep(0);
    auth_clock_sleep(-AUTH_NS_PER_S);
    auth_clock_sleep(INT64_MIN);
    assert_true(auth_clock_boot_ns(&clock) - before < AUTH_NS_PER_S / 2);
    auth_clock_sleep(20 * ms);
    assert_true(auth_clock_boot_ns(&clock) - before >= 20 * ms);
}

static void take_alarm(int number) {
    (void)number;
}

static void wakes_when_a_signal_handler_ran(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    struct sigaction action = {.sa_handler = take_alarm};
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    sigaction(SIGALRM, &action, NULL);
    int64_t before = auth_clock_boot_ns(&clock);
    setitimer(ITIMER_REAL, &soon, NULL);
    auth_clock_sleep(30 * AUTH_NS_PER_S);
    assert_true(auth_clock_boot_ns(&clock) - before < 20 * AUTH_NS_PER_S);
}

static void tells_boots_apart(void **state) {
    (void)state;
    unsigned char id[AUTH_CLOCK_BOOT_ID];
    unsigned char again[AUTH_CLOCK_BOOT_ID];
    char text[40] = {0};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL)
        SKIP("this machine does not tell its boots apart");
    assert_non_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    auth_clock_boot_id(id);
    auth_clock_boot_id(again);
    assert_memory_equal(id, again, sizeof id);
    assert_int_equal(id[0], strtol((char[]){text[0], text[1], '\0'}, NULL, 16));
    assert_int_equal(id[15], strtol((char[]){text[34], text[35], '\0'}, NULL, 16));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_suspend_and_the_epoch),    cmocka_unit_test(never_goes_back),
        cmocka_unit_test(shifts_each_clock_by_its_own),    cmocka_unit_test(stands_still_once_stopped),
        cmocka_unit_test(sees_time_pass_in_glances),       cmocka_unit_test(sleeps_as_long_as_told),
        cmocka_unit_test(wakes_when_a_signal_handler_ran), cmocka_unit_test(tells_boots_apart),
    };
    return RUN(tests);
}

/* The two clocks, and the only place that reads the time. Boot time counts suspend and never steps; the wall
 * clock is the one that other machines share, and may step. Nothing here blocks but auth_clock_sleep.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_CLOCK_H
#define AUTH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define AUTH_NS_PER_S INT64_C(1000000000)
#define AUTH_NS_PER_MS INT64_C(1000000)
#define AUTH_CLOCK_BOOT_ID 16 /* bytes */

/* All zero in use. A test moves time by the shifts instead of waiting, and may stop it: then the shifts alone
 * are the time. */
struct auth_clock {
    int64_t boot_shift_ns;
    int64_t wall_shift_ns;
    bool stopped;
};

extern const struct auth_clock auth_clock_real; /* which nothing moves or stops */

struct auth_instant {
    int64_t boot_ns; /* CLOCK_BOOTTIME */
    int64_t wall_ns; /* since 1970-01-01 UTC */
};

int64_t auth_clock_boot_ns(const struct auth_clock *clock);
int64_t auth_clock_wall_ns(const struct auth_clock *clock);
struct auth_instant auth_clock_now(const struct auth_clock *clock);

/* Stops the clock: from now on only the shifts move it. */
void auth_clock_stop(struct auth_clock *clock);

/* A cheap reading, to measure the time since another coarse one: a few ms coarse, and less than half the cost
 * of an exact reading. Its `boot_ns` may stop in suspend, which its `wall_ns` then shows; so time has passed
 * unless both agree that it has not. Not to be compared with the exact clocks. */
struct auth_instant auth_clock_coarse_now(const struct auth_clock *clock);

/* Identifies this boot of the machine: boot times of different ids can't be compared. All zero if the system
 * has none; such an id equals no other, not even itself. `id` has AUTH_CLOCK_BOOT_ID bytes. */
void auth_clock_boot_id(unsigned char *id);

/* A span of time as the system takes it; a negative one is none. */
struct timespec;
struct timespec auth_clock_timespec(int64_t duration_ns);

/* Sleeps `duration_ns` at most; ends early when a signal handler ran, so that Ctrl-C reaches Lua. Blocks. */
void auth_clock_sleep(int64_t duration_ns);

#endif

/* The two clocks and the only place that asks the time. Boot time counts suspend and never steps; the wall
 * clock is the one other machines understand and may step. Nothing here blocks but auth_clock_sleep.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_CLOCK_H
#define AUTH_CLOCK_H

#include <stdint.h>

#define AUTH_NS_PER_S INT64_C(1000000000)
#define AUTH_CLOCK_BOOT_ID 16 /* bytes */

/* Both shifts are 0 in use; a test moves time with them instead of waiting. */
struct auth_clock {
    int64_t boot_shift_ns;
    int64_t wall_shift_ns;
};

struct auth_instant {
    int64_t boot_ns; /* CLOCK_BOOTTIME, or the nearest thing that counts suspend */
    int64_t wall_ns; /* since 1970-01-01 UTC */
};

int64_t auth_clock_boot_ns(const struct auth_clock *clock);
int64_t auth_clock_wall_ns(const struct auth_clock *clock);
struct auth_instant auth_clock_now(const struct auth_clock *clock);

/* A cheap look, to tell how much time passed since another glance: a few ms coarse and less than half the
 * cost of one exact reading. Its `boot_ns` may stand still in suspend, which its `wall_ns` then notices; so
 * time passed unless both agree that it did not. Not to be compared with the exact clocks. */
struct auth_instant auth_clock_glance(const struct auth_clock *clock);

/* What tells this boot of the machine from any other: boot times of different ids can't be compared. All zero
 * where the system does not say; that is equal to none, itself included. `id` has AUTH_CLOCK_BOOT_ID
 * bytes. */
void auth_clock_boot_id(unsigned char *id);

/* Sleeps `duration_ns` at most; ends early when a signal handler ran, so that Ctrl-C reaches Lua. Blocks. */
void auth_clock_sleep(int64_t duration_ns);

#endif

/* When a blocking function must return: at a moment of the boot clock, or as soon as another thread cancels
 * it. One value for a whole call, passed down to each wait. SPDX-License-Identifier: MIT */
#ifndef AUTH_DEADLINE_H
#define AUTH_DEADLINE_H

#include "base/clock.h"
#include "base/notifier.h"

#include <poll.h>
#include <stddef.h>

#define AUTH_DEADLINE_FDS_MAX 4

struct auth_deadline {
    const struct auth_clock *clock;
    int64_t at_ns;                      /* boot clock */
    const struct auth_notifier *cancel; /* signalled: cancelled. NULL: it can't be cancelled */
    int64_t pause_at_ns; /* boot clock: when a fetch or a transfer pauses; 0: never. Waits here ignore it */
};

/* 0 once its moment has come; a cancel does not change it. */
int64_t auth_deadline_left_ns(const struct auth_deadline *deadline);

/* The same in whole milliseconds, rounded up; at most `limit_ms`. */
int auth_deadline_left_ms(const struct auth_deadline *deadline, int limit_ms);

bool auth_deadline_is_cancelled(const struct auth_deadline *deadline);

/* No time is left, or it was cancelled. */
bool auth_deadline_is_over(const struct auth_deadline *deadline);

/* The same with an earlier end: `in_ns` from now, if that comes first. */
struct auth_deadline auth_deadline_within(const struct auth_deadline *deadline, int64_t in_ns);

/* Waits like poll(2) for one of `count` descriptors (AUTH_DEADLINE_FDS_MAX at most), and ends at the
 * deadline, when it is cancelled or when a signal of the system arrives. Whether one of them is ready, and it
 * was not cancelled. Blocks. */
bool auth_deadline_poll(const struct auth_deadline *deadline, const struct pollfd *fds, size_t count);

/* Sleeps `duration_ns`. false: the deadline was reached, or it was cancelled, before that. Blocks. */
bool auth_deadline_sleep(const struct auth_deadline *deadline, int64_t duration_ns);

#endif

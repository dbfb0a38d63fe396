/* A descriptor that turns readable when somebody rings it or when its moment comes: what event loops wait
 * for. It stays readable until it is set anew. The only file that knows timerfd(2). SPDX-License-Identifier:
 * MIT */
#ifndef AUTH_ALARM_H
#define AUTH_ALARM_H

#include <stdbool.h>
#include <stdint.h>

struct auth_alarm {
    int fd; /* -1: closed. Ours to read and to set; others may only wait for it */
};

/* Silent at first. false: no descriptor is left; errno says why. */
bool auth_alarm_open(struct auth_alarm *alarm);

/* Another descriptor of the same alarm, for who waits by a loop that takes each descriptor once. */
bool auth_alarm_copy(struct auth_alarm *copy, const struct auth_alarm *alarm);

/* Rings now. From any thread. */
void auth_alarm_ring(const struct auth_alarm *alarm);

/* Silent again, and rings in `in_ns`, on a clock that counts suspend; 0 or less: at once. */
void auth_alarm_set(const struct auth_alarm *alarm, int64_t in_ns);

/* Waits until it rings, `limit_ns` at most, less when a signal arrives. true: it rings. Blocks. */
bool auth_alarm_wait(const struct auth_alarm *alarm, int64_t limit_ns);

/* Any number of times. In a forked child it closes the child's descriptor alone. */
void auth_alarm_close(struct auth_alarm *alarm);

#endif

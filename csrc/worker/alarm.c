/* The alarm; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/alarm.h"
#include "base/clock.h"
#include "base/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000, WAIT_MAX_MS = 60000 };

bool auth_alarm_open(struct auth_alarm *alarm) {
    alarm->fd = auth_descriptor_keep(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
    return alarm->fd >= 0;
}

bool auth_alarm_copy(struct auth_alarm *copy, const struct auth_alarm *alarm) {
    copy->fd = fcntl(alarm->fd, F_DUPFD_CLOEXEC, 3); /* never where standard streams are */
    return copy->fd >= 0;
}

void auth_alarm_ring(const struct auth_alarm *alarm) {
    auth_alarm_set(alarm, 0);
}

void auth_alarm_set(const struct auth_alarm *alarm, int64_t in_ns) {
    int64_t later_ns = in_ns > 0 ? in_ns : 1; /* 0 would switch it off */
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(later_ns / AUTH_NS_PER_S),
                                           .tv_nsec = (long)(later_ns % AUTH_NS_PER_S)}};
    (void)timerfd_settime(alarm->fd, 0, &when, NULL);
}

bool auth_alarm_wait(const struct auth_alarm *alarm, int64_t limit_ns) {
    struct pollfd ready = {.fd = alarm->fd, .events = POLLIN};
    int64_t limit_ms = limit_ns <= 0 ? 0 : (limit_ns - 1) / NS_PER_MS + 1;
    return poll(&ready, 1, limit_ms > WAIT_MAX_MS ? WAIT_MAX_MS : (int)limit_ms) > 0;
}

void auth_alarm_close(struct auth_alarm *alarm) {
    int fd = alarm->fd;
    alarm->fd = -1;
    if (fd >= 0)
        close(fd);
}

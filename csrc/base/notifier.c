/* The notifier; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "base/notifier.h"
#include "base/clock.h"
#include "base/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LOWEST = 3 }; /* never where standard streams are */

bool auth_notifier_open(struct auth_notifier *notifier) {
    notifier->fd = auth_descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return notifier->fd >= 0;
}

bool auth_notifier_open_timer(struct auth_notifier *notifier, int64_t in_ns) {
    struct itimerspec when = {.it_value = auth_clock_timespec(in_ns > 0 ? in_ns : 1)}; /* 0: switched off */
    notifier->fd = auth_descriptor_keep(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
    return notifier->fd >= 0 && timerfd_settime(notifier->fd, 0, &when, NULL) == 0;
}

void auth_notifier_withhold(const struct auth_notifier *notifier) {
    auth_descriptor_withhold(notifier->fd);
}

bool auth_notifier_copy(struct auth_notifier *copy, const struct auth_notifier *notifier) {
    copy->fd = fcntl(notifier->fd, F_DUPFD_CLOEXEC, LOWEST);
    return copy->fd >= 0;
}

/* A counter that is full is readable already. */
void auth_notifier_signal(const struct auth_notifier *notifier) {
    const uint64_t one = 1;
    (void)!write(notifier->fd, &one, sizeof one);
}

void auth_notifier_clear(const struct auth_notifier *notifier) {
    uint64_t count = 0;
    (void)!read(notifier->fd, &count, sizeof count);
}

bool auth_notifier_wait(const struct auth_notifier *notifier, int64_t limit_ns) {
    struct pollfd ready = {.fd = notifier->fd, .events = POLLIN};
    struct timespec limit = auth_clock_timespec(limit_ns);
    return ppoll(&ready, 1, &limit, NULL) > 0 && (ready.revents & POLLIN) != 0;
}

void auth_notifier_close(struct auth_notifier *notifier) {
    int fd = notifier->fd;
    notifier->fd = -1;
    if (fd >= 0)
        auth_descriptor_close(fd);
}

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

static bool keep(struct auth_notifier *notifier, int fd) {
    notifier->fd = auth_descriptor_keep(fd);
    if (notifier->fd < 0)
        return false;
    auth_descriptor_withhold(notifier->fd);
    return true;
}

bool auth_notifier_open(struct auth_notifier *notifier) {
    return keep(notifier, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

bool auth_notifier_open_timer(struct auth_notifier *notifier, int64_t in_ns) {
    struct itimerspec when = {.it_value = auth_clock_timespec(in_ns > 0 ? in_ns : 1)}; /* 0: switched off */
    return keep(notifier, timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) &&
           timerfd_settime(notifier->fd, 0, &when, NULL) == 0;
}

bool auth_notifier_copy(struct auth_notifier *copy, const struct auth_notifier *notifier) {
    return keep(copy, fcntl(notifier->fd, F_DUPFD_CLOEXEC, LOWEST));
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

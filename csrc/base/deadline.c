/* The deadline; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/deadline.h"

#include <string.h>

/* poll(2) waits on a clock that stops in suspend, so the time that has passed is checked this often. */
#define POLL_NS AUTH_NS_PER_S

int64_t auth_deadline_left_ns(const struct auth_deadline *deadline) {
    int64_t left_ns = deadline->at_ns - auth_clock_boot_ns(deadline->clock);
    return left_ns > 0 ? left_ns : 0;
}

int auth_deadline_left_ms(const struct auth_deadline *deadline, int limit_ms) {
    int64_t left_ns = auth_deadline_left_ns(deadline);
    int64_t left_ms = left_ns / AUTH_NS_PER_MS + (left_ns % AUTH_NS_PER_MS != 0);
    return left_ms < limit_ms ? (int)left_ms : limit_ms;
}

bool auth_deadline_is_cancelled(const struct auth_deadline *deadline) {
    return deadline->cancel != NULL && auth_notifier_wait(deadline->cancel, 0);
}

bool auth_deadline_is_over(const struct auth_deadline *deadline) {
    return auth_deadline_left_ns(deadline) == 0 || auth_deadline_is_cancelled(deadline);
}

struct auth_deadline auth_deadline_within(const struct auth_deadline *deadline, int64_t in_ns) {
    struct auth_deadline earlier = *deadline;
    if (in_ns < auth_deadline_left_ns(deadline))
        earlier.at_ns = auth_clock_boot_ns(deadline->clock) + in_ns;
    return earlier;
}

bool auth_deadline_poll(const struct auth_deadline *deadline, const struct pollfd *fds, size_t count) {
    struct pollfd all[AUTH_DEADLINE_FDS_MAX + 1] = {
        {.fd = deadline->cancel != NULL ? deadline->cancel->fd : -1, .events = POLLIN}};
    int ready = 0;
    if (count > 0)
        memcpy(all + 1, fds, count * sizeof *fds);
    for (bool waits = true; waits && ready == 0;) {
        int64_t left_ns = auth_deadline_left_ns(deadline);
        waits = left_ns > POLL_NS;
        struct timespec limit = auth_clock_timespec(waits ? POLL_NS : left_ns);
        ready = ppoll(all, (nfds_t)count + 1, &limit, NULL);
    }
    return ready > 0 && all[0].revents == 0;
}

bool auth_deadline_sleep(const struct auth_deadline *deadline, int64_t duration_ns) {
    struct auth_deadline end = auth_deadline_within(deadline, duration_ns);
    while (!auth_deadline_is_over(&end))
        (void)auth_deadline_poll(&end, NULL, 0);
    return !auth_deadline_is_over(deadline);
}

/* A descriptor that becomes readable when it is signalled, and stays so until it is cleared: how a thread
 * wakes the event loop, or the blocking caller, that waits for its result. The only file that knows
 * eventfd(2). SPDX-License-Identifier: MIT */
#ifndef AUTH_NOTIFIER_H
#define AUTH_NOTIFIER_H

#include <stdbool.h>
#include <stdint.h>

struct auth_notifier {
    int fd; /* -1: closed. Others may poll it, but not read or write it */
};

#define AUTH_NOTIFIER_CLOSED ((struct auth_notifier){.fd = -1})

/* Not signalled at first. A forked child has no copy of it, and must not close it: the number may be another
 * file's there. false: no descriptor is left; errno says why. */
bool auth_notifier_open(struct auth_notifier *notifier);

/* Becomes readable by itself in `in_ns`, on a clock that counts suspend: for an event loop that knows no
 * time-outs (timerfd_create(2)). It must not be signalled or cleared. false as above. */
bool auth_notifier_open_timer(struct auth_notifier *notifier, int64_t in_ns);

/* Another descriptor of the same notifier, for event loops that take each descriptor once. false as above. */
bool auth_notifier_copy(struct auth_notifier *copy, const struct auth_notifier *notifier);

/* From any thread; harmless on a closed one. */
void auth_notifier_signal(const struct auth_notifier *notifier);
void auth_notifier_clear(const struct auth_notifier *notifier);

/* Waits until it is signalled, `limit_ns` at most, less when a signal of the system arrives. Whether it is.
 * Blocks. */
bool auth_notifier_wait(const struct auth_notifier *notifier, int64_t limit_ns);

/* Safe to call again. */
void auth_notifier_close(struct auth_notifier *notifier);

#endif

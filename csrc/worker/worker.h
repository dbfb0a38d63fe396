/* Runs one blocking function on one short-lived thread: the only way this package does anything in the
 * background. The thread blocks all signals, has a small stack, and never touches Lua. A forked child must
 * not use its parent's worker: it has no thread, the descriptors were closed at the fork, and the thread may
 * have been writing to the memory that was copied. The only file that starts threads.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_WORKER_H
#define AUTH_WORKER_H

#include "base/notifier.h"

#include <stdbool.h>
#include <stdint.h>

struct auth_worker;

/* Starts `run(data)` on a thread and returns at once. At its end the thread signals a copy of `done`, which
 * the caller may close meanwhile; NULL: none is signalled. Until the worker has ended, `data` belongs to it.
 * `release` frees `data` if the worker is abandoned: see auth_worker_end. NULL: no memory, no descriptor or
 * no thread is left; then nothing was started and `data` stays the caller's. */
struct auth_worker *auth_worker_start(void (*run)(void *data), void (*release)(void *data), void *data,
                                      const struct auth_notifier *done);

/* Signals a copy of this notifier, too, at the end; at once if it has come. From the thread that started the
 * worker. false: no memory, or no descriptor is left. */
bool auth_worker_notify(struct auth_worker *worker, const struct auth_notifier *notifier);

/* Waits until it is done, `limit_ns` at most, less when a signal of the system arrives or where no descriptor
 * is left to wait with. Whether it is. Blocks. */
bool auth_worker_wait(struct auth_worker *worker, int64_t limit_ns);

/* Frees the worker; before that the caller makes `run` return, by means of its own. Blocks `grace_ns` at
 * most. true: the thread has ended, and `data` is the caller's again. false: it did not within `grace_ns`:
 * the thread goes on, and at its end signals nothing but calls `release`; the caller must not use `data` any
 * more. */
bool auth_worker_end(struct auth_worker *worker, int64_t grace_ns);

#endif

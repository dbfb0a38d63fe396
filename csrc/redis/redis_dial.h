/* Connects to a Redis server, by the path of its Unix socket or by host and port. The only file that resolves
 * names: on a worker, for a resolver knows no deadline. SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_DIAL_H
#define AUTH_REDIS_DIAL_H

#include "base/deadline.h"

/* With an empty `path` host and port (digits) count. A host with several addresses is tried at each of them,
 * each with its part of the time. Returns the descriptor: non-blocking, closed on exec and by forked children
 * (see auth_descriptor_withhold), none of 0 to 2. -1: `why` gets a static text. Blocks until the deadline at
 * most. */
int auth_redis_dial(const char *path, const char *host, const char *port,
                    const struct auth_deadline *deadline, const char **why);

/* Waits until the descriptor is ready for `events` of poll. false: the deadline is over, or it was cancelled.
 */
bool auth_redis_wait(int fd, short events, const struct auth_deadline *deadline);

#endif

/* A connection to a server, by a host's name or by the path of its socket, without waiting: step until it
 * says DONE, then take the descriptor. The only file that resolves names, on a thread that may outlive the
 * dial, for resolvers know no deadline. SPDX-License-Identifier: MIT */
#ifndef AUTH_DIAL_H
#define AUTH_DIAL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define AUTH_DIAL_HOST_MAX 255
#define AUTH_DIAL_PORT_MAX 5
#define AUTH_DIAL_PATH_MAX 107

/* A path, or else host and port (digits). */
struct auth_dial_address {
    char path[AUTH_DIAL_PATH_MAX + 1];
    char host[AUTH_DIAL_HOST_MAX + 1];
    char port[AUTH_DIAL_PORT_MAX + 1];
};

enum auth_dial_state { AUTH_DIAL_UNDER_WAY, AUTH_DIAL_DONE, AUTH_DIAL_FAILED };

/* All zero: nothing under way. Owned by whoever holds it; `hang_up` gives back what is in it. */
struct auth_dial {
    const struct auth_dial_address *address;
    struct lookup *lookup;     /* the name being resolved */
    struct addrinfo *resolved; /* owned */
    struct addrinfo *next;     /* to be tried */
    bool connecting;
    int fd;
    int64_t give_up_ns; /* this attempt; boot time */
};

/* `address` must outlive the dial. */
void auth_dial_start(struct auth_dial *dial, const struct auth_dial_address *address);

/* Moves on as far as it can without waiting. Each address gets its part of the time until `deadline_ns` (boot
 * time), which the caller minds. FAILED: `why` gets a static text. */
enum auth_dial_state auth_dial_step(struct auth_dial *dial, int64_t deadline_ns, const char **why);

/* What to poll for until the next step makes sense. */
struct pollfd auth_dial_poll(const struct auth_dial *dial);

/* After DONE: the connected descriptor, non-blocking, closed on exec; the caller's. */
int auth_dial_take(struct auth_dial *dial);

/* Gives up. Any number of times; in a forked child, too. */
void auth_dial_hang_up(struct auth_dial *dial);

#endif

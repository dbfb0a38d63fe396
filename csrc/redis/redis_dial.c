/* Dialling; the contract is in the header. SPDX-License-Identifier: MIT */
#include "redis/redis_dial.h"
#include "base/descriptor.h"
#include "worker/worker.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

bool auth_redis_wait(int fd, short events, const struct auth_deadline *deadline) {
    struct pollfd ready = {.fd = fd, .events = events};
    do {
        if (auth_deadline_is_over(deadline)) /* however busy the descriptor is */
            return false;
    } while (!auth_deadline_poll(deadline, &ready, 1, INT64_MAX));
    return true;
}

/* --- names --- */

/* The worker's while it runs. */
struct lookup {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    struct addrinfo *found;
};

static struct addrinfo *resolve(const char *host, const char *port, int flags) {
    struct addrinfo *found = NULL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}

static void run_lookup(void *data) {
    struct lookup *lookup = data;
    lookup->found = resolve(lookup->host, lookup->port, AI_ADDRCONFIG);
}

static void free_lookup(void *data) {
    struct lookup *lookup = data;
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    free(lookup);
}

/* Where no worker can be started, the resolver itself decides how long it takes. */
static struct addrinfo *run_lookup_within(struct lookup *lookup, const struct auth_deadline *deadline) {
    struct addrinfo *found = NULL;
    struct auth_notifier done = AUTH_NOTIFIER_CLOSED;
    struct auth_worker *worker =
        auth_notifier_open(&done) ? auth_worker_start(run_lookup, free_lookup, lookup, &done) : NULL;
    if (worker == NULL)
        run_lookup(lookup);
    bool in_time = worker == NULL || auth_redis_wait(done.fd, POLLIN, deadline);
    if (worker == NULL || auth_worker_end(worker, in_time ? AUTH_NS_PER_S : 0)) {
        found = lookup->found;
        lookup->found = NULL;
        free_lookup(lookup);
    }
    auth_notifier_close(&done);
    return found;
}

static struct addrinfo *look_up(const char *host, const char *port, const struct auth_deadline *deadline) {
    struct addrinfo *found = resolve(host, port, AI_NUMERICHOST);
    struct lookup *lookup = found == NULL ? calloc(1, sizeof *lookup) : NULL;
    if (lookup == NULL)
        return found;
    (void)snprintf(lookup->host, sizeof lookup->host, "%s", host);
    (void)snprintf(lookup->port, sizeof lookup->port, "%s", port);
    return run_lookup_within(lookup, deadline);
}

/* --- connections --- */

/* 0 once it is connected, or an errno. */
static int finish_connect(int fd, const struct auth_deadline *deadline) {
    int error = 0;
    socklen_t length = sizeof error;
    if (!auth_redis_wait(fd, POLLOUT, deadline))
        return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/* The descriptor; -1 with errno. A Unix socket whose queue is full says EAGAIN: it would not become
 * connected. */
static int connect_to(const struct sockaddr *to, socklen_t length, const struct auth_deadline *deadline) {
    int one = 1;
    int fd = auth_descriptor_keep(socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return -1;
    auth_descriptor_withhold(fd);
    if (to->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int error = connect(fd, to, length) == 0 ? 0 : errno;
    if (error == EINPROGRESS)
        error = finish_connect(fd, deadline);
    if (error == 0)
        return fd;
    auth_descriptor_close(fd);
    errno = error;
    return -1;
}

static int connect_to_path(const char *path, const struct auth_deadline *deadline) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    errno = ENAMETOOLONG;
    if (strlen(path) >= sizeof to.sun_path)
        return -1;
    memcpy(to.sun_path, path, strlen(path));
    return connect_to((const struct sockaddr *)&to, sizeof to, deadline);
}

static int connect_to_any(const struct addrinfo *addresses, const struct auth_deadline *deadline) {
    int fd = -1;
    int left = 0;
    for (const struct addrinfo *each = addresses; each != NULL; each = each->ai_next)
        left++;
    for (const struct addrinfo *each = addresses; fd < 0 && each != NULL; each = each->ai_next, left--) {
        struct auth_deadline part = auth_deadline_within(deadline, auth_deadline_left_ns(deadline) / left);
        fd = connect_to(each->ai_addr, each->ai_addrlen, &part);
    }
    return fd;
}

static int fail(const char **why, const char *text) {
    *why = text;
    return -1;
}

int auth_redis_dial(const char *path, const char *host, const char *port,
                    const struct auth_deadline *deadline, const char **why) {
    int fd = -1;
    if (path[0] != '\0') {
        fd = connect_to_path(path, deadline);
    } else {
        struct addrinfo *addresses = look_up(host, port, deadline);
        if (addresses == NULL)
            return fail(why, auth_deadline_is_over(deadline) ? "its name cannot be resolved in time"
                                                             : "its name has no address");
        fd = connect_to_any(addresses, deadline);
        int error = errno;
        freeaddrinfo(addresses);
        errno = error;
    }
    return fd >= 0 ? fd : fail(why, strerror(errno));
}

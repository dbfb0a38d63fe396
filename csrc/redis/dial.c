/* Dialling; the contract is in the header. Knows threads for the sake of getaddrinfo alone.
 * SPDX-License-Identifier: MIT */
#include "redis/dial.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "worker/thread.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, OWNERS = 2 };

/* --- names --- */

struct lookup {
    char host[AUTH_DIAL_HOST_MAX + 1];
    char port[AUTH_DIAL_PORT_MAX + 1];
    struct addrinfo *found;
    int bell; /* turns readable when `done` */
    atomic_bool done;
    atomic_int owners; /* the dial and the thread; who leaves last tidies up */
};

static void let_go(struct lookup *lookup) {
    if (lookup == NULL || atomic_fetch_sub(&lookup->owners, 1) > 1)
        return;
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    close(lookup->bell);
    free(lookup);
}

static struct addrinfo *resolve(const char *host, const char *port, int flags) {
    struct addrinfo *found = NULL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}

static void *run(void *data) {
    struct lookup *lookup = data;
    lookup->found = resolve(lookup->host, lookup->port, AI_ADDRCONFIG);
    atomic_store(&lookup->done, true);
    (void)eventfd_write(lookup->bell, 1);
    let_go(lookup);
    return NULL;
}

static bool start_thread(struct lookup *lookup) {
    pthread_t thread;
    return auth_thread_start(&thread, STACK_BYTES, run, lookup) && pthread_detach(thread) == 0;
}

static struct lookup *look_up(const struct auth_dial_address *address) {
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return NULL;
    memcpy(lookup->host, address->host, sizeof lookup->host);
    memcpy(lookup->port, address->port, sizeof lookup->port);
    atomic_store(&lookup->owners, OWNERS);
    lookup->bell = auth_descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (lookup->bell >= 0 && start_thread(lookup))
        return lookup;
    atomic_store(&lookup->owners, 1);
    let_go(lookup);
    return NULL;
}

/* --- connections --- */

static const char *words(int error) {
    switch (error) {
    case ECONNREFUSED:
        return "nobody listens there";
    case ENOENT:
        return "there is no such socket";
    case EACCES:
    case EPERM:
        return "it may not be opened";
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "it can't be reached";
    default:
        return "no connection to it";
    }
}

/* Begins to connect; 0 or an errno. */
static int connect_to(struct auth_dial *dial, const struct sockaddr *to, socklen_t length) {
    int one = 1;
    dial->fd = auth_descriptor_keep(socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (dial->fd < 0)
        return errno;
    dial->connecting = true;
    if (to->sa_family != AF_UNIX)
        (void)setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(dial->fd, to, length) == 0 || errno == EINPROGRESS)
        return 0;
    return errno;
}

/* A socket that is full says EAGAIN, and would be connected by no wait. */
static int connect_to_path(struct auth_dial *dial) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, dial->address->path, sizeof dial->address->path);
    return connect_to(dial, (const struct sockaddr *)&to, sizeof to);
}

static void drop_attempt(struct auth_dial *dial) {
    if (dial->connecting)
        close(dial->fd);
    dial->connecting = false;
}

/* The next address that does not fail at once. */
static int try_next(struct auth_dial *dial, int64_t deadline_ns, int error) {
    while (dial->next != NULL) {
        const struct addrinfo *to = dial->next;
        int left = 1;
        for (const struct addrinfo *other = to->ai_next; other != NULL; other = other->ai_next)
            left++;
        int64_t now_ns = auth_clock_boot_ns(&(struct auth_clock){0});
        dial->next = dial->next->ai_next;
        dial->give_up_ns = now_ns + (deadline_ns - now_ns) / left;
        error = connect_to(dial, to->ai_addr, to->ai_addrlen);
        if (error == 0)
            return 0;
        drop_attempt(dial);
    }
    return error;
}

/* What came of the attempt: 0 when connected, EINPROGRESS, or why not. */
static int outcome(const struct auth_dial *dial) {
    struct pollfd ready = {.fd = dial->fd, .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof error;
    if (poll(&ready, 1, 0) <= 0)
        return auth_clock_boot_ns(&(struct auth_clock){0}) < dial->give_up_ns ? EINPROGRESS : ETIMEDOUT;
    return getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void auth_dial_start(struct auth_dial *dial, const struct auth_dial_address *address) {
    *dial = (struct auth_dial){.address = address};
    if (address->path[0] != '\0')
        return;
    dial->resolved = dial->next = resolve(address->host, address->port, AI_NUMERICHOST);
    dial->lookup = dial->resolved == NULL ? look_up(address) : NULL;
}

static enum auth_dial_state fail(const char **why, const char *text) {
    *why = text;
    return AUTH_DIAL_FAILED;
}

static enum auth_dial_state step_lookup(struct auth_dial *dial, const char **why) {
    if (!atomic_load(&dial->lookup->done))
        return AUTH_DIAL_UNDER_WAY;
    dial->resolved = dial->next = dial->lookup->found;
    dial->lookup->found = NULL;
    let_go(dial->lookup);
    dial->lookup = NULL;
    return dial->resolved != NULL ? AUTH_DIAL_DONE : fail(why, "its name has no address");
}

enum auth_dial_state auth_dial_step(struct auth_dial *dial, int64_t deadline_ns, const char **why) {
    if (dial->lookup != NULL) {
        enum auth_dial_state state = step_lookup(dial, why);
        if (state != AUTH_DIAL_DONE)
            return state;
    }
    bool by_path = dial->address->path[0] != '\0';
    int error = EAGAIN;
    if (dial->connecting) {
        error = outcome(dial);
        if (error == 0)
            return AUTH_DIAL_DONE;
        if (error == EINPROGRESS)
            return AUTH_DIAL_UNDER_WAY;
        drop_attempt(dial);
    } else if (by_path) {
        dial->give_up_ns = deadline_ns;
        error = connect_to_path(dial);
    }
    if (!by_path)
        error = try_next(dial, deadline_ns, error);
    return error == 0 ? AUTH_DIAL_UNDER_WAY : fail(why, words(error));
}

struct pollfd auth_dial_poll(const struct auth_dial *dial) {
    if (dial->lookup != NULL)
        return (struct pollfd){.fd = dial->lookup->bell, .events = POLLIN};
    return (struct pollfd){.fd = dial->connecting ? dial->fd : -1, .events = POLLOUT};
}

int auth_dial_take(struct auth_dial *dial) {
    dial->connecting = false;
    auth_dial_hang_up(dial);
    return dial->fd;
}

void auth_dial_hang_up(struct auth_dial *dial) {
    drop_attempt(dial);
    let_go(dial->lookup);
    if (dial->resolved != NULL)
        freeaddrinfo(dial->resolved);
    dial->lookup = NULL;
    dial->resolved = dial->next = NULL;
}

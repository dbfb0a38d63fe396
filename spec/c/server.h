/* A child process that answers one connection after the other with fixed bytes, over plain HTTP on the
 * loopback address. SPDX-License-Identifier: MIT */
#ifndef AUTH_SERVER_H
#define AUTH_SERVER_H

#include "unit.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANG = -1 };

struct server {
    pid_t pid;
    char url[64];
};

static int listen_somewhere(char *url, size_t capacity) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(url, capacity, "http://127.0.0.1:%d/token", ntohs(address.sin_port));
    return listener;
}

/* false: the connection stays open for ever. */
static bool answer(int connection, const char *head, long filler) {
    char request[4096];
    char block[4096];
    memset(block, 'x', sizeof block);
    ssize_t length = read(connection, request, sizeof request);
    if (length <= 0)
        return true;
    if (head == NULL) {
        (void)dprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: %zd\r\n\r\n%.*s", length, (int)length,
                      request);
        return true;
    }
    ssize_t sent = write(connection, head, strlen(head));
    for (long left = filler; left > 0 && sent > 0; left -= sent)
        sent = write(connection, block, left < (long)sizeof block ? (size_t)left : sizeof block);
    return filler != HANG;
}

/* Answers each connection with `head` and `filler` bytes after it (HANG: then waits for ever), or, without
 * `head`, with the request as it came. */
static struct server serve(const char *head, long filler) {
    struct server server = {0};
    int listener = listen_somewhere(server.url, sizeof server.url);
    assert_int_equal(listen(listener, 8), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a unit that fails does not come to stop it */
        (void)signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int connection = accept(listener, NULL, NULL);
            if (answer(connection, head, filler))
                close(connection);
        }
    }
    close(listener);
    return server;
}

static void stop(struct server server) {
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
}

#endif

/* Runs a shell command; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "command.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 4096, WAIT_MS = 20 };

extern char **environ;

static bool holds_secret(const char *variable) {
    static const char *const names[] = {
        "CENTRAL_CLIENT_SECRET=", "CENTRAL_CLIENT_ASSERTION=", "CENTRAL_CACHE_PASSWORD="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* What the command inherits of our environment: all but secrets, which are no business of it. NULL: no
 * memory. */
static char **without_secrets(void) {
    size_t count = 0;
    while (environ != NULL && environ[count] != NULL)
        count++;
    char **kept = calloc(count + 1, sizeof *kept);
    for (size_t i = 0, next = 0; kept != NULL && i < count; i++)
        if (!holds_secret(environ[i]))
            kept[next++] = environ[i];
    return kept;
}

static int spawn_shell(const char *command, int output, pid_t *pid) {
    char shell[] = "sh";
    char option[] = "-c";
    char *const words[] = {shell, option, (char *)(uintptr_t)command, NULL}; /* posix_spawn writes to none */
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    char **variables = without_secrets();
    int error = variables == NULL ? ENOMEM : posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        free(variables);
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (error == 0)
            error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        if (error == 0)
            error = posix_spawn(pid, "/bin/sh", &actions, &attributes, words, variables);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    free(variables);
    return error;
}

static int64_t left_ns(int64_t deadline_ns) {
    return deadline_ns - auth_clock_boot_ns(&(struct auth_clock){0});
}

/* Until the command closes its output: 0, or an errno. */
static int read_output(int fd, int64_t deadline_ns, struct auth_secret *out) {
    for (;;) {
        int64_t left = left_ns(deadline_ns);
        if (left <= 0)
            return ETIMEDOUT;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int64_t left_ms = left / 1000000 + 1;
        if (poll(&ready, 1, left_ms > 1000 ? 1000 : (int)left_ms) <= 0)
            continue;
        if (!auth_secret_reserve(out, out->length + CHUNK))
            return ENOMEM;
        ssize_t got = read(fd, out->data + out->length, CHUNK);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return errno;
        if (got > 0)
            out->length += (size_t)got;
        out->data[out->length] = '\0';
        if (out->length > AUTH_COMMAND_MAX)
            return EFBIG;
    }
}

/* A command may close its output and go on; it gets what is left of its time. */
static int reap(pid_t pid, int64_t deadline_ns, int *status) {
    for (;;) {
        int raw = 0;
        pid_t ended = waitpid(pid, &raw, WNOHANG);
        if (ended == pid) {
            *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
            return 0;
        }
        if (ended < 0 && errno != EINTR) {
            *status = 0; /* the host ignores SIGCHLD, so nobody can know */
            return 0;
        }
        if (left_ns(deadline_ns) <= 0)
            return ETIMEDOUT;
        auth_clock_sleep(INT64_C(1000000) * WAIT_MS);
    }
}

int auth_command_read(const char *command, int64_t limit_ns, struct auth_secret *out, int *status) {
    int64_t deadline_ns = auth_clock_boot_ns(&(struct auth_clock){0}) + limit_ns;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    pid_t pid = -1;
    int error = spawn_shell(command, ends[1], &pid);
    close(ends[1]);
    if (error == 0) {
        error = read_output(ends[0], deadline_ns, out);
        if (error == 0)
            error = reap(pid, deadline_ns, status);
        if (error != 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    close(ends[0]);
    return error;
}

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

enum { CHUNK = 4096, LOOK_MS = 20, NS_PER_MS = 1000000 };

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

static int64_t left_ns(const struct auth_command *command) {
    return command->deadline_ns - auth_clock_boot_ns(&(struct auth_clock){0});
}

int auth_command_start(struct auth_command *command, const char *line, int64_t limit_ns) {
    int ends[2];
    *command = (struct auth_command)AUTH_COMMAND_CLOSED;
    command->owner = getpid();
    command->deadline_ns = auth_clock_boot_ns(&(struct auth_clock){0}) + limit_ns;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    int error = fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 ? errno : spawn_shell(line, ends[1], &command->pid);
    close(ends[1]);
    command->output = ends[0];
    if (error != 0)
        auth_command_close(command);
    return error;
}

static void close_output(struct auth_command *command) {
    if (command->output >= 0)
        close(command->output);
    command->output = -1;
}

/* 0 at its end, EAGAIN where there may come more, or another errno. */
static int read_output(struct auth_command *command, struct auth_secret *out) {
    for (;;) {
        if (!auth_secret_reserve(out, out->length + CHUNK))
            return ENOMEM;
        ssize_t got = read(command->output, out->data + out->length, CHUNK);
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

/* A command may close its output and go on; it gets what is left of its time. 0 once it has ended, or EAGAIN.
 */
static int reap(struct auth_command *command) {
    int raw = 0;
    pid_t ended = waitpid(command->pid, &raw, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return EAGAIN;
    if (ended > 0)
        command->status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    command->pid = 0; /* where the host ignores SIGCHLD nobody can know how it ended */
    return 0;
}

bool auth_command_step(struct auth_command *command, struct auth_secret *out) {
    int error = 0;
    if (command->output >= 0) {
        error = read_output(command, out);
        if (error == 0)
            close_output(command);
    }
    if (error == 0 && command->pid > 0)
        error = reap(command);
    if (error == EAGAIN && left_ns(command) > 0)
        return false;
    if (error != 0)
        command->error = error == EAGAIN ? ETIMEDOUT : error;
    auth_command_close(command);
    return true;
}

void auth_command_wait(const struct auth_command *command, int wait_ms) {
    int64_t left_ms = left_ns(command) / NS_PER_MS + 1;
    if (left_ms < wait_ms)
        wait_ms = left_ms < 0 ? 0 : (int)left_ms;
    if (command->output >= 0)
        (void)poll(&(struct pollfd){.fd = command->output, .events = POLLIN}, 1, wait_ms);
    else if (command->pid > 0)
        auth_clock_sleep(INT64_C(1) * NS_PER_MS * (wait_ms < LOOK_MS ? wait_ms : LOOK_MS));
}

void auth_command_close(struct auth_command *command) {
    close_output(command);
    /* Where the host has reaped it the number may be somebody else's. */
    if (command->pid > 0 && command->owner == getpid() && waitpid(command->pid, NULL, WNOHANG) == 0) {
        kill(command->pid, SIGKILL);
        while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    command->pid = 0;
}

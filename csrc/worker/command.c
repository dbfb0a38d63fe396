/* Runs a shell command; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/command.h"
#include "base/clock.h"
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 4096, NS_PER_MS = 1000000, REPORT_FD = 3 };

/* An inner shell runs the line, and the outer shell waits for it. They write the process number of the inner
 * shell and then its exit status to descriptor 3, for waitpid may find nothing to wait for: a host may ignore
 * SIGCHLD, or reap all its children. As the line has its own shell, it may `exec`, set traps and end in a
 * here-document. */
static const char reporting[] =
    "/bin/sh -c 'echo $$ >&3; exec /bin/sh -c \"$1\" 3>&-' sh \"$1\"; echo $? >&3";

extern char **environ;

static bool holds_secret(const char *variable) {
    static const char *const names[] = {
        "CENTRAL_CLIENT_SECRET=", "CENTRAL_CLIENT_ASSERTION=", "CENTRAL_CACHE_PASSWORD=",
        "CENTRAL_PROXY=",         "CENTRAL_PARAMS=",           "CENTRAL_TOKEN="};
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

/* `output` and `report` are above REPORT_FD. */
static int spawn_shell(const char *command, int output, int report, pid_t *pid) {
    const char *const words[] = {"sh", "-c", reporting, "sh", command, NULL};
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
            error = posix_spawn_file_actions_adddup2(&actions, report, REPORT_FD);
        if (error == 0)
            error = posix_spawn(pid, "/bin/sh", &actions, &attributes, (char *const *)(uintptr_t)words,
                                variables); /* which writes to no word */
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    free(variables);
    return error;
}

static int64_t left_ns(const struct auth_command *command) {
    return command->deadline_ns - auth_clock_boot_ns(&(struct auth_clock){0});
}

/* Both ends of the output and of the report; reading does not block. 0 or an errno; the caller closes what is
 * open.
 */
static int open_ends(int output[2], int report[2]) {
    if (pipe2(output, O_CLOEXEC) != 0)
        return errno;
    /* A socket can be shut down: see end_shells. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, report) != 0)
        return errno;
    output[0] = auth_descriptor_keep(output[0]);
    if (output[0] < 0)
        return errno;
    report[0] = auth_descriptor_keep(report[0]);
    if (report[0] < 0)
        return errno;
    output[1] = auth_descriptor_keep_from(output[1], REPORT_FD + 1);
    if (output[1] < 0)
        return errno;
    report[1] = auth_descriptor_keep_from(report[1], REPORT_FD + 1);
    if (report[1] < 0 || fcntl(output[0], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(report[0], F_SETFL, O_NONBLOCK) != 0)
        return errno;
    return 0;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int auth_command_start(struct auth_command *command, const char *line, int64_t limit_ns) {
    int output[2] = {-1, -1};
    int report[2] = {-1, -1};
    *command = AUTH_COMMAND_CLOSED;
    command->owner = getpid();
    command->deadline_ns = auth_clock_boot_ns(&(struct auth_clock){0}) + limit_ns;
    int error = open_ends(output, report);
    if (error == 0)
        error = spawn_shell(line, output[1], report[1], &command->pid);
    close_fd(&output[1]);
    close_fd(&report[1]);
    command->output = output[0];
    command->report = report[0];
    if (error != 0)
        auth_command_close(command);
    return error;
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

/* Two lines: the process number of the inner shell, and its exit status. */
static bool understand_report(struct auth_command *command) {
    const char *first_end = strchr(command->said, '\n');
    if (first_end == NULL)
        return false;
    command->shell = (pid_t)strtol(command->said, NULL, 10);
    if (strchr(first_end + 1, '\n') == NULL)
        return false;
    command->status = (int)strtol(first_end + 1, NULL, 10);
    return true;
}

/* 0 once the line has ended and `status` says how, EAGAIN before, EPIPE where the report ended without it, or
 * another errno. */
static int read_report(struct auth_command *command) {
    while (!understand_report(command)) {
        size_t said = strlen(command->said);
        ssize_t got = read(command->report, command->said + said, sizeof command->said - 1 - said);
        if (got == 0)
            return EPIPE;
        if (got < 0 && errno != EINTR)
            return errno;
    }
    return 0;
}

/* The outer shell was killed, or could not start the inner one. 0, or ECHILD where its status is unknown. */
static int ask_system(struct auth_command *command) {
    int raw = 0;
    pid_t ended;
    do
        ended = waitpid(command->pid, &raw, 0);
    while (ended < 0 && errno == EINTR);
    command->pid = 0;
    command->status = ended < 0 ? 0 : WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return command->status != 0 ? 0 : ECHILD;
}

bool auth_command_step(struct auth_command *command, struct auth_secret *out) {
    if (command->owner != getpid()) { /* each byte can be read once, and is the parent's */
        command->error = ECANCELED;
        auth_command_close(command);
        return true;
    }
    int ended = read_report(command); /* before the output, which is complete then */
    int error = command->output < 0 ? 0 : read_output(command, out);
    if (error == 0)
        close_fd(&command->output);
    if (error == 0 || error == EAGAIN) /* what it left running may hold its output open */
        error = ended;
    if (error == EAGAIN && left_ns(command) > 0)
        return false;
    if (error == EPIPE)
        error = ask_system(command);
    command->error = error == EAGAIN ? ETIMEDOUT : error;
    auth_command_close(command);
    return true;
}

void auth_command_wait(const struct auth_command *command, int wait_ms) {
    int64_t left_ms = left_ns(command) / NS_PER_MS + 1;
    if (left_ms < wait_ms)
        wait_ms = left_ms < 0 ? 0 : (int)left_ms;
    struct pollfd ends[] = {{.fd = command->output, .events = POLLIN},
                            {.fd = command->report, .events = POLLIN}};
    (void)poll(ends, sizeof ends / sizeof *ends, wait_ms);
}

static void kill_and_wait(pid_t pid) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* After the shutdown SIGPIPE ends an inner shell that writes its number only now, so none is missed. */
static void end_shells(struct auth_command *command) {
    shutdown(command->report, SHUT_RD);
    bool ended = read_report(command) == 0;
    /* Where the host has reaped it the number may be another process's. */
    if (waitpid(command->pid, NULL, WNOHANG) == 0)
        kill_and_wait(command->pid);
    if (!ended && command->shell > 0) /* a child of this process now, if that adopts orphans */
        kill_and_wait(command->shell);
}

void auth_command_close(struct auth_command *command) {
    close_fd(&command->output);
    if (command->pid > 0 && command->owner == getpid())
        end_shells(command);
    close_fd(&command->report);
    command->pid = 0;
}

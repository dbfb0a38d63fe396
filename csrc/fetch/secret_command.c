/* Runs a shell command; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "fetch/secret_command.h"
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 4096, REPORT_FD = 3, RUNNING_MAX = 32 };

/* An inner shell runs the line, and the outer shell writes its exit status to descriptor 3, for waitpid may
 * find nothing to wait for: a host may ignore SIGCHLD, or reap all its children. As the line has its own
 * shell, it may `exec`, set traps and end in a here-document. In a process group of its own it may not read
 * from the terminal: without the trap it would be stopped there and hang. */
static const char reporting[] = "trap '' TTIN TTOU; /bin/sh -c \"$1\" 3>&-; echo $? >&3";

extern char **environ;

static bool holds_secret(const char *variable) {
    static const char *const names[] = {
        "CENTRAL_CLIENT_SECRET=", "CENTRAL_CLIENT_ASSERTION=", "CENTRAL_CACHE_PASSWORD=", "CENTRAL_PROXY=",
        "CENTRAL_PARAMS=",        "CENTRAL_ACCESS_TOKEN=",     "CENTRAL_TOKEN="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

char **auth_secret_command_environment(void) {
    size_t count = 0;
    size_t bytes = 0;
    for (; environ != NULL && environ[count] != NULL; count++)
        bytes += strlen(environ[count]) + 1;
    char **kept = calloc(1, (count + 1) * sizeof *kept + bytes);
    if (kept == NULL)
        return NULL;
    char *place = (char *)&kept[count + 1];
    for (size_t i = 0, next = 0; i < count; i++) {
        if (!holds_secret(environ[i])) {
            kept[next++] = place;
            place = stpcpy(place, environ[i]) + 1;
        }
    }
    return kept;
}

/* --- the shells --- */

/* A command that was started. */
struct command {
    pid_t pid;  /* of the outer shell, and the number of the process group; 0: the shell has ended */
    int output; /* -1: it has closed its output */
    int report; /* on which the outer shell writes how the line ended */
    int status; /* its exit status, 128 + n where signal n ended it */
};

/* `output` and `report` are above REPORT_FD. */
static int spawn_shell(const char *line, char *const *variables, int output, int report, pid_t *pid) {
    const char *const words[] = {"sh", "-c", reporting, "sh", line, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    posix_spawn_file_actions_init(&actions); /* neither this nor what sets attributes can fail on Linux */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP); /* of its own number */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    int error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, report, REPORT_FD);
    if (error == 0)
        error = posix_spawn(pid, "/bin/sh", &actions, &attributes, (char *const *)(uintptr_t)words,
                            variables); /* which writes to no word */
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Reading from it does not block. 0 or an errno; the caller closes what is open. */
static int open_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    ends[0] = auth_descriptor_keep(ends[0]);
    if (ends[0] < 0)
        return errno;
    ends[1] = auth_descriptor_keep_from(ends[1], REPORT_FD + 1);
    return ends[1] >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

/* --- commands do not outlive the process: at its exit a thread that runs one ends without a word --- */

/* Process groups, each with the process that started it: a forked child leaves its parent's alone. More
 * commands than that at once may outlive an exit. */
static _Atomic int64_t running[RUNNING_MAX];

static int64_t running_entry(pid_t group) {
    return (int64_t)getpid() << 32 | group;
}

static void replace_entry(int64_t from, int64_t to) {
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        int64_t expected = from;
        if (atomic_compare_exchange_strong(&running[i], &expected, to))
            return;
    }
}

__attribute__((destructor)) static void kill_running(void) {
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        int64_t entry = atomic_load(&running[i]);
        pid_t group = (pid_t)(entry & INT32_MAX);
        if (group > 0 && entry == running_entry(group))
            kill(-group, SIGKILL);
    }
}

/* --- one command --- */

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start(struct command *command, const char *line, char *const *variables) {
    int output[2] = {-1, -1};
    int report[2] = {-1, -1};
    int error = open_pipe(output);
    if (error == 0)
        error = open_pipe(report);
    if (error == 0)
        error = spawn_shell(line, variables, output[1], report[1], &command->pid);
    if (error == 0)
        replace_entry(0, running_entry(command->pid));
    close_fd(&output[1]);
    close_fd(&report[1]);
    command->output = output[0];
    command->report = report[0];
    return error;
}

/* 0 at its end, EAGAIN where there may come more, or another errno. */
static int read_output(struct command *command, struct auth_secret *out) {
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
        if (out->length > AUTH_SECRET_COMMAND_MAX)
            return EFBIG;
    }
}

/* 0 once the line has ended and `status` says how, EAGAIN before, EPIPE where the report ended without it, or
 * another errno. */
static int read_report(struct command *command) {
    char text[16] = ""; /* written at once, so read at once */
    ssize_t got = read(command->report, text, sizeof text - 1);
    if (got <= 0)
        return got == 0 ? EPIPE : errno;
    command->status = (int)strtol(text, NULL, 10);
    return 0;
}

/* The outer shell was killed, or could not start the inner one. 0, or ECHILD where its status is unknown. */
static int ask_system(struct command *command) {
    int raw = 0;
    pid_t ended;
    replace_entry(running_entry(command->pid), 0);
    do
        ended = waitpid(command->pid, &raw, 0);
    while (ended < 0 && errno == EINTR);
    command->pid = 0;
    command->status = ended < 0 ? 0 : WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return command->status != 0 ? 0 : ECHILD;
}

/* Reads the output until the command has ended. 0: `status` says how it ended; else an errno. */
static int follow(struct command *command, const struct auth_deadline *deadline, struct auth_secret *out) {
    for (;;) {
        int ended = read_report(command); /* before the output, which is complete then */
        int error = command->output < 0 ? 0 : read_output(command, out);
        if (error == 0)
            close_fd(&command->output);
        if (error == 0 || error == EAGAIN) /* what it left running may hold its output open */
            error = ended;
        if (error == EPIPE)
            error = ask_system(command);
        if (error != EAGAIN)
            return error;
        if (auth_deadline_is_over(deadline))
            return auth_deadline_is_cancelled(deadline) ? ECANCELED : ETIMEDOUT;
        struct pollfd ends[] = {{.fd = command->output, .events = POLLIN},
                                {.fd = command->report, .events = POLLIN}};
        (void)auth_deadline_poll(deadline, ends, sizeof ends / sizeof *ends);
    }
}

/* With `kills` of whatever still runs in the group: while nothing has closed the report, its outer shell
 * does, and its number is no other group's. */
static void end(struct command *command, bool kills) {
    if (command->pid > 0) {
        if (kills && read_report(command) == EAGAIN)
            kill(-command->pid, SIGKILL);
        replace_entry(running_entry(command->pid), 0); /* while the number is still its own */
        while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    close_fd(&command->output);
    close_fd(&command->report);
}

/* --- reading --- */

static void explain(int error, int status, char *problem) {
    if (error == 0)
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "the command ended with status %d", status);
    else if (error == ETIMEDOUT || error == ECANCELED)
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "the command %s",
                       error == ETIMEDOUT ? "did not end in time" : "was cancelled");
    else if (error == ECHILD)
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "the command ended in an unknown way");
    else
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "the output of the command: %s",
                       error == EFBIG ? "more than 64 KiB" : strerror(error));
}

bool auth_secret_command_read(const char *line, char *const *variables, const struct auth_deadline *deadline,
                              struct auth_secret *out, char problem[AUTH_SECRET_PROBLEM_MAX]) {
    struct command command = {.output = -1, .report = -1};
    int error = start(&command, line, variables);
    if (error != 0)
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "the command can't be started: %s", strerror(error));
    else if ((error = follow(&command, deadline, out)) != 0 || command.status != 0)
        explain(error, command.status, problem);
    end(&command, error != 0);
    return error == 0 && command.status == 0;
}

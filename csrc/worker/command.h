/* Runs a shell command and takes what it prints as a secret: `pass show central`, `op read …`.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_COMMAND_H
#define AUTH_COMMAND_H

#include "base/secret.h"

#include <stdint.h>
#include <sys/types.h>

#define AUTH_COMMAND_MAX ((size_t)64 * 1024) /* bytes of output */

/* A command that was started; closed with AUTH_COMMAND_CLOSED. */
struct auth_command {
    pid_t pid;     /* of the outer shell, which waits for the inner one; 0: there is none, or it has ended */
    pid_t shell;   /* of the inner shell, which runs the line; 0: not known yet */
    pid_t owner;   /* the process that started it */
    int output;    /* a descriptor that turns readable; -1: it has closed its output */
    int report;    /* likewise, on which the shells write how it ended */
    char said[32]; /* on `report`, so far */
    int64_t deadline_ns;
    int error;  /* once it is over: 0, or an errno: ETIMEDOUT, EFBIG where it printed too much, ECHILD where
                   its end is unknown, ECANCELED in a forked child */
    int status; /* its exit status, 128 + n where signal n ended it */
};

#define AUTH_COMMAND_CLOSED ((struct auth_command){.output = -1, .report = -1})

/* Starts `/bin/sh -c line` with no standard input, our standard error and our environment but for the secrets
 * in it. It may take `limit_ns`. 0 or an errno. Does not wait. */
int auth_command_start(struct auth_command *command, const char *line, int64_t limit_ns);

/* Appends to `out` what it has printed. true: it is over, `error` and `status` tell how; a command that takes
 * too long or prints too much is killed. It is over when its shell has ended, whatever that left running in
 * the background. Where it failed `out` keeps what was read so far: wipe it. Does not wait. In a forked child
 * it is over at once: the output is the parent's. */
bool auth_command_step(struct auth_command *command, struct auth_secret *out);

/* Waits until another step can read something, `wait_ms` at most. */
void auth_command_wait(const struct auth_command *command, int wait_ms);

/* Kills the command where it still runs, but not the programs that it started; in a forked child of the
 * process that started it, only closes the descriptors. Safe to call again. */
void auth_command_close(struct auth_command *command);

#endif

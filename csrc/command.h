/* Runs a shell command and takes what it prints as a secret: `pass show central`, `op read …`.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_COMMAND_H
#define AUTH_COMMAND_H

#include "secret.h"

#include <stdint.h>
#include <sys/types.h>

#define AUTH_COMMAND_MAX ((size_t)64 * 1024) /* bytes of output */

/* A command that was started; closed with AUTH_COMMAND_CLOSED. */
struct auth_command {
    pid_t pid;   /* 0: there is none, or it has ended */
    pid_t owner; /* who started it */
    int output;  /* a descriptor that turns readable; -1: it has closed its output */
    int64_t deadline_ns;
    int error;  /* once it is over: 0, or an errno: ETIMEDOUT, or EFBIG where it printed too much */
    int status; /* its exit status, 128 + n where signal n ended it */
};

#define AUTH_COMMAND_CLOSED                                                                                  \
    { .output = -1 }

/* Starts `/bin/sh -c line` with no standard input, our standard error and our environment but for the secrets
 * in it. It may take `limit_ns`. 0 or an errno. Does not wait. */
int auth_command_start(struct auth_command *command, const char *line, int64_t limit_ns);

/* Appends to `out` what it has printed. true: it is over, `error` and `status` tell how; what takes or prints
 * too much is killed. Where it failed `out` keeps what was read so far: wipe it. Does not wait. */
bool auth_command_step(struct auth_command *command, struct auth_secret *out);

/* Waits until another step is worth while, `wait_ms` at most. */
void auth_command_wait(const struct auth_command *command, int wait_ms);

/* Kills it where it still runs, but not what it has started, unless this is a forked child of who started it.
 * Any number of times. */
void auth_command_close(struct auth_command *command);

#endif

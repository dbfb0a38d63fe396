/* Runs a shell command and takes what it prints as a secret: `pass show central`, `op read …`.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_COMMAND_H
#define AUTH_COMMAND_H

#include "secret.h"

#include <stdint.h>

#define AUTH_COMMAND_MAX ((size_t)64 * 1024) /* bytes of output */

/* Runs `/bin/sh -c command` with no standard input, our standard error and our environment but for the
 * secrets in it, appends its output to `out`. Blocks, at most `limit_ns`; then the command is killed and
 * ETIMEDOUT returned. Otherwise 0 or an errno (EFBIG: more than AUTH_COMMAND_MAX of output). `status` gets
 * the exit status, 128 + n for a command ended by signal n. On failure `out` keeps what was read so far: wipe
 * it. */
int auth_command_read(const char *command, int64_t limit_ns, struct auth_secret *out, int *status);

#endif

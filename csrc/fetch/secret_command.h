/* Runs a shell command and takes what it prints as a secret: `pass show central`, `op read …`.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_SECRET_COMMAND_H
#define AUTH_SECRET_COMMAND_H

#include "base/deadline.h"
#include "fetch/secret_source.h"

#define AUTH_SECRET_COMMAND_MAX ((size_t)64 * 1024) /* bytes of output */

/* What a command inherits of the environment: all but our secrets in it. One block of memory, for free().
 * NULL: no memory. On a thread of the host alone, which may change the environment meanwhile. */
char **auth_secret_command_environment(void);

/* Runs `/bin/sh -c line` with no standard input, our standard error and `variables` for its environment, and
 * appends to `out` what it prints. It has ended when its shell has, whatever that left running in the
 * background. A command that prints too much, does not end by the deadline or is cancelled is killed, and so
 * are the programs that it started: it has a process group of its own, and so can't read from the terminal.
 * false: `problem` says why; `out` keeps what was read so far: wipe it. Blocks.
 */
bool auth_secret_command_read(const char *line, char *const *variables, const struct auth_deadline *deadline,
                              struct auth_secret *out, char problem[AUTH_SECRET_PROBLEM_MAX]);

#endif

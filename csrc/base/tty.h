/* What the command needs beside Lua's own functions: the width of a terminal, a line typed without echo, and
 * the execution of another program. Never loaded by a program that uses the library.
 *
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_TTY_H
#define AUTH_TTY_H

#include "base/secret.h"

#define AUTH_TTY_LINE_MAX ((size_t)4096) /* bytes; terminals take no longer lines either */

/* Columns of the terminal at `fd`; 0 if it is not a terminal, 80 if its size is unknown. */
int auth_tty_columns(int fd);

/* Waits until `fd` is readable, `wait_ms` at most; less when a signal arrives. Whether it is. */
bool auth_tty_wait(int fd, int wait_ms);

/* Asks on the terminal of this process for a line, which is shown as it is typed or not; `line` gets it
 * without its end. Blocks for a person. Returns 0 or an errno: ENXIO where there is no terminal, ENODATA
 * where the input ended, EMSGSIZE, EINTR. Whatever ends it, the terminal is as it was before anything else
 * happens: a signal is held back that long and then delivered; after a stop (Ctrl-Z) it asks again. For
 * processes of one thread. */
int auth_tty_ask(const char *prompt, bool shown, struct auth_secret *line);

/* Executes the program `words[0]`, found in PATH, in place of this process, with `words` (NULL at the end) as
 * its arguments and this environment: all but the variables whose names begin with `prefix`, and `name`,
 * which is `value`. Returns only on failure, an errno; the environment is changed then, too. */
int auth_tty_exec(char *const words[], const char *prefix, const char *name, const char *value);

#endif

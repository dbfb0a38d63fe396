/* What the command needs beside Lua's own functions: the width of a terminal, a line typed without echo, and
 * other programs. Never loaded by a program that uses the library. SPDX-License-Identifier: MIT */
#ifndef AUTH_TTY_H
#define AUTH_TTY_H

#include "base/secret.h"

#include <sys/types.h>

#define AUTH_TTY_LINE_MAX ((size_t)4096) /* bytes; terminals take no longer lines either */

/* Columns of the terminal at `fd`; 0 if it is not a terminal, 80 if its size is unknown. */
int auth_tty_columns(int fd);

/* Asks on the terminal of this process for a line, which is shown as it is typed or not; `line` gets it
 * without its end. Blocks for a person. Returns 0 or an errno: ENXIO where there is no terminal, ENODATA
 * where the input ended, EINTR. Whatever ends it, the terminal is as it was before anything else
 * happens: a signal is held back that long and then delivered; after a stop (Ctrl-Z) it asks again. For
 * processes of one thread. */
int auth_tty_ask(const char *prompt, bool shown, struct auth_secret *line);

/* Starts the program `words[0]`, found in PATH, as a child with `words` as its arguments and `variables` as
 * its environment (NULL at the end of both). For a caller that has blocked the signals below in all its
 * threads; the child has them unblocked, and receives those that came before it. Returns 0 or an errno. */
int auth_tty_start(char *const words[], char *const variables[], pid_t *child);

/* Blocks until the child has ended: returns its exit status, 128 + n where signal n ended it. Before that it
 * returns -n where SIGUSR1 or SIGUSR2 arrives, and passes HUP, INT, QUIT and TERM that a process sent on to
 * the child: those of the terminal reach both. The caller has blocked all of these, and CHLD. */
int auth_tty_attend(pid_t child);

#endif

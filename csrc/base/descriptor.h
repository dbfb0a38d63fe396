/* Descriptors that no other program inherits and that are never 0, 1 or 2: in a process that was started with
 * those closed, text for standard output or error would go into a connection. SPDX-License-Identifier: MIT */
#ifndef AUTH_DESCRIPTOR_H
#define AUTH_DESCRIPTOR_H

#include <stdbool.h>

/* Takes a descriptor that was just opened, close-on-exec; -1 passes through with its errno. Returns it, or
 * the one from 3 on that it was moved to; -1: none was left, and the one given is closed. */
int auth_descriptor_keep(int fd);

/* The same with another number in place of 3. */
int auth_descriptor_keep_from(int fd, int lowest);

/* Around calls of a library that opens descriptors by itself: fills the closed ones among 0 to 2. False:
 * there is nothing to fill, and `unshield` must not be called. From any thread; within the gate, so that a
 * forked child does not inherit what fills them. */
bool auth_descriptor_shield(void);
void auth_descriptor_unshield(void);

/* Makes a descriptor close-on-exec that a library opened, and with it the other end of its pair, if that can
 * be recognised without doubt. */
void auth_descriptor_hide_pair(int fd);

/* A forked child closes its copy right after the fork: it would hold the lock, or the connection, beyond the
 * parent's death. Of more than AUTH_DESCRIPTOR_WITHHELD_MAX some stay open there. */
#define AUTH_DESCRIPTOR_WITHHELD_MAX 512
void auth_descriptor_withhold(int fd);

/* Closes it, withheld or not, and keeps errno. Not in a forked child, where the number may be another file's.
 */
void auth_descriptor_close(int fd);

/* Whether it is open and other programs inherit it. */
bool auth_descriptor_is_inherited(int fd);

/* Opens /dev/null where 0, 1 or 2 are closed: 0 for writing, 1 and 2 for reading, so that their use fails as
 * before. For programs alone: a library must not decide what these are. False: it can't be opened. */
bool auth_descriptor_fill_standard(void);

#endif

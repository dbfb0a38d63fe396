/* The folder that processes of one user share, as a store: checked reads, atomic replacement, a lock. Knows
 * bytes, not tokens. Blocks for the disk alone, never for another process; so deadlines do not matter here.
 *
 * The folder must be this user's, of mode 0700 and no link, and so must be each file in it (0600): else
 * another user could read, replace or hold up what is in it. A kill at any instant leaves the former file or
 * the new one. The only file that takes file locks. SPDX-License-Identifier: MIT */
#ifndef AUTH_FOLDER_STORE_H
#define AUTH_FOLDER_STORE_H

#include "cache/store.h"

#define AUTH_FOLDER_DEAD_S 172800L /* a record so old holds no usable token */
#define AUTH_FOLDER_SWEEP_S 60L

/* NULL: no memory. Makes nothing before the first `put` or `lock`; then the folder, and the one above it,
 * where they are missing, but nothing in or below a folder of another user. Texts of `why` are static. A
 * `lock` also removes records that died AUTH_FOLDER_DEAD_S ago and unfinished temporaries, unless its note
 * was written in the last AUTH_FOLDER_SWEEP_S. */
struct auth_store *auth_folder_store_new(const char *path);

/* Checks whether the folder can be used; makes nothing. OK: it exists and is this user's alone, or it can be
 * made. ABSENT, with `why`: there is no place for it, or a folder on the way may not be entered.
 * `parent_is_there`: the folder above it must exist; else that may be made, too. */
enum auth_store_result auth_folder_try(const char *path, bool parent_is_there, const char **why);

/* What each holder of a lock of the folder leaves in its file for the next one: `size` bytes, always as many.
 * false: there is nothing yet, or the lock is not of a folder; then `note` is undefined. */
bool auth_folder_read_note(const struct auth_lock *lock, void *note, size_t size);
void auth_folder_write_note(const struct auth_lock *lock, const void *note, size_t size);

#endif

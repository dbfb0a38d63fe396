/* The folder that processes of one user share: checked reads, atomic replacement, a lock. Knows bytes, not
 * tokens. Blocks for the disk alone, never for another process.
 *
 * The folder must be ours, of mode 0700 and no link, and so must be each file in it (0600): else somebody
 * else could read, replace or hold up what is in it. A kill at any instant leaves the former file or the new
 * one.
 *
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "cache/store.h"

#define AUTH_CACHE_DEAD_S 172800L /* a file so old holds nothing that lives */

/* Each function stores in `why` a static text when it returns UNFIT. `name` is a file's name without
 * slash. */

/* Appends the content to `out`; on failure `out` keeps what was read so far: wipe it. */
enum auth_store_result auth_cache_read(const char *folder, const char *name, struct auth_secret *out,
                                       const char **why);

/* Checks whether the folder can be used; makes nothing. OK: it exists and is this user's alone, or it can be
 * made. ABSENT, with `why`: there is no place for it, or a folder on the way may not be entered.
 * `parent_is_there`: the folder above it must exist; else that may be made, too. */
enum auth_store_result auth_cache_try(const char *folder, bool parent_is_there, const char **why);

/* Makes the folder (and the one above it) where it is missing, but nothing in or below a folder of another
 * user. */
enum auth_store_result auth_cache_replace(const char *folder, const char *name,
                                          const struct auth_secret *bytes, const char **why);

enum auth_store_result auth_cache_remove(const char *folder, const char *name, const char **why);

/* Takes the lock of this name, or says BUSY at once. `lock` is a descriptor, the caller's to give to
 * `unlock`. Makes the folder as above. */
enum auth_store_result auth_cache_lock(const char *folder, const char *name, int *lock, const char **why);

/* The same for a lock file at an absolute path. Others may use its folder, too, but it must not belong to
 * another user nor, for root, be below a folder of another user. */
enum auth_store_result auth_cache_lock_path(const char *path, int *lock, const char **why);

/* Releases the lock, also where other processes have copies of the descriptor. Not in a forked child, which
 * closed its copy right after the fork: the number may be another file's there. */
void auth_cache_unlock(int lock);

/* A few bytes that holders of a lock leave for the next one. `note` has AUTH_STORE_NOTE_MAX bytes. The
 * length, 0 on failure. */
size_t auth_cache_read_note(int lock, char *note);
void auth_cache_write_note(int lock, const char *note, size_t length);

/* Removes files that died AUTH_CACHE_DEAD_S ago, and unfinished temporaries after AUTH_FILE_UNFINISHED_S.
 * Locks stay. `now_s`: wall clock. */
void auth_cache_sweep(const char *folder, int64_t now_s);

#endif

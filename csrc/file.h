/* Reads a small file whole, into a secret: what a person put there by hand and may have got wrong. Replaces a
 * file so that a kill at any instant leaves the former one or the new one.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include "secret.h"

#include <stdint.h>

#define AUTH_FILE_MAX ((size_t)64 * 1024) /* bytes */

/* Replaces the content of `out` with that of the regular file `path` and stores its permission bits (07777)
 * in `mode`. Returns 0 or an errno; EISDIR, ENXIO (neither file nor folder) and EFBIG (over AUTH_FILE_MAX)
 * among them. On failure `out` keeps what was read so far: wipe it. Does not wait on a FIFO or a terminal. */
int auth_file_read(const char *path, struct auth_secret *out, unsigned *mode);

/* Makes the folder, and the one above it, of mode 0700 where they are missing. Returns 0 or an errno. */
int auth_file_make_folder(const char *folder);

/* Puts `bytes` into the file `name` (without slash) of the open folder `at`, of mode 0600 whatever it had
 * before. `durable`: they are on the disk when it returns. Returns 0 or an errno; then the former file stays.
 */
int auth_file_replace(int at, const char *name, const struct auth_secret *bytes, bool durable);

/* Puts `bytes` into the file `path` (absolute), mode 0600, whole or not at all, on the disk when it returns;
 * follows a link, unless it is somebody else's, to the file it stands for; removes what killed replacements
 * of it have left. NULL: only tries whether that could be done. Returns 0 or an errno (ENOENT: there is no
 * such folder; ELOOP: somebody else's link; EISDIR, ENXIO: neither absent nor a regular file); then the
 * former file stays. */
int auth_file_write(const char *path, const struct auth_secret *bytes);

/* Between `name` and random digits in the names of temporaries, which a kill may leave behind; after so many
 * seconds none is still being written. */
#define AUTH_FILE_TEMPORARY ".new-"
#define AUTH_FILE_UNFINISHED_S 3600L

/* Whether this entry of the folder `at` is such a temporary of this user, and so old. `now_s`: wall clock. */
bool auth_file_is_unfinished(int at, const char *name, int64_t now_s);

#endif

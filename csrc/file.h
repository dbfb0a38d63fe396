/* Reads a small file whole, into a secret: what a person put there by hand and may have got wrong.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include "secret.h"

#define AUTH_FILE_MAX ((size_t)64 * 1024) /* bytes */

/* Replaces the content of `out` with that of the regular file `path` and stores its permission bits (07777)
 * in `mode`. Returns 0 or an errno; EISDIR, ENXIO (neither file nor folder) and EFBIG (over AUTH_FILE_MAX)
 * among them. On failure `out` keeps what was read so far: wipe it. Does not wait on a FIFO or a terminal. */
int auth_file_read(const char *path, struct auth_secret *out, unsigned *mode);

#endif

/* Reads a small file into a secret; people write such files by hand, so its owner and mode are checked.
 * Replaces a file so that a kill at any instant leaves the former one or the new one.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include "base/secret.h"

#include <dirent.h>
#include <stdint.h>

#define AUTH_FILE_MAX ((size_t)64 * 1024) /* bytes */

/* Returned beside errnos: the folder is another user's or below one, and nothing is created there. */
#define AUTH_FILE_FOREIGN_FOLDER (-1)

/* The text of what auth_file_read, auth_file_make_folder and auth_file_write return. */
const char *auth_file_problem(int error);

/* Whether the content of a file can be trusted: the first of these that applies. Below /run/secrets,
 * /var/run/secrets and $CREDENTIALS_DIRECTORY, where service managers and container engines put files for one
 * service, only LINK applies. */
enum auth_file_verdict {
    AUTH_FILE_TRUSTED,
    AUTH_FILE_LINK,     /* a link on the way belongs neither to this user nor to root */
    AUTH_FILE_OWNER,    /* the file belongs neither to this user nor to root */
    AUTH_FILE_WRITABLE, /* others may write to it; not where it is mounted read-only */
    AUTH_FILE_READABLE, /* others may read it, so it must not hold a secret. Not so where it is mounted
                           read-only or in a volume of Kubernetes; and the group of a file of root's may read
                           it */
};

struct auth_file_access {
    enum auth_file_verdict verdict;
    unsigned mode; /* permission bits (07777) */
    unsigned owner;
};

/* What is wrong after auth_file_read returned `error`, or why the verdict is not TRUSTED, and what to do
 * about it, to follow the path; "": nothing. */
void auth_file_explain(int error, const struct auth_file_access *access, const char *path, char *text,
                       size_t capacity);

/* Replaces the content of `out` with that of the regular file `path`, without a byte-order mark at its start,
 * and sets `access` to whether it can be trusted; `credentials`: $CREDENTIALS_DIRECTORY, or NULL. Returns 0
 * or an errno; EISDIR, ENXIO (neither file nor folder) and EFBIG (over AUTH_FILE_MAX) among them. On failure
 * `out` keeps what was read so far: wipe it. Does not wait on a FIFO or a terminal. */
int auth_file_read(const char *path, const char *credentials, struct auth_secret *out,
                   struct auth_file_access *access);

/* Appends what is to be read, `limit` bytes at most. Returns 0 or an errno; then `out` has what came before.
 */
int auth_file_read_all(int fd, size_t limit, struct auth_secret *out);

/* Creates the folder, and the one above it, with mode 0700 if they are missing; but not in or below a folder
 * of another user. Returns 0, an errno or AUTH_FILE_FOREIGN_FOLDER. */
int auth_file_make_folder(const char *folder);

/* Writes `bytes` to the file `name` (without slash) of the open folder `at`, with mode 0600 whatever it was
 * before. `durable`: they are on the disk when it returns. NULL: only checks whether it could. Returns 0 or
 * an errno; then the former file stays. */
int auth_file_replace(int at, const char *name, const struct auth_secret *bytes, bool durable);

/* Writes `bytes` to the file `path` (absolute), mode 0600, all or nothing, on the disk when it returns;
 * follows links to the file they stand for, unless one of them is another user's; removes temporaries that
 * killed replacements left. NULL: only checks whether that is possible. `own_folder`: a missing folder
 * is created as by auth_file_make_folder, and one of another user is refused. Returns 0, an errno (ENOENT:
 * there is no such folder; ELOOP: another user's link; EISDIR, ENXIO: neither absent nor a regular file) or
 * AUTH_FILE_FOREIGN_FOLDER; then the former file stays. */
int auth_file_write(const char *path, const struct auth_secret *bytes, bool own_folder);

#define AUTH_FILE_UNFINISHED_S 3600L /* no temporary is still being written after that time */

/* Whether this entry of the folder `at` is such a temporary of this user, which a kill left behind. */
bool auth_file_is_unfinished(int at, const char *name);

/* Whether this entry of the folder `at` is a regular file of this user that was written longer ago. */
bool auth_file_is_old(int at, const char *name, int64_t seconds);

/* Removes the entries of the folder `at` whose names begin with `start` and that are dead. */
void auth_file_sweep(int at, const char *start, bool (*is_dead)(int at, const char *name));

/* Opens the folder `folder`, seen from the folder `at`, to list it. NULL with an errno. */
DIR *auth_file_list(int at, const char *folder);

/* Appends the names in a folder to `names`, in no order, each with a slash behind it; none if there is no
 * such folder. Returns 0 or an errno. */
int auth_file_names(const char *folder, struct auth_secret *names);

#endif

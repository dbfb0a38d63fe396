/* Follows a path name by name and link by link, and records the owners: another user's link may lead
 * anywhere, and files that root creates in another user's folder break that user's programs. A descriptor
 * keeps what was checked, so that nothing can replace it before it is used. SPDX-License-Identifier: MIT */
#ifndef AUTH_PATH_H
#define AUTH_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct auth_path {
    int at;                    /* the folder that the path ends in; for openat and its kin alone (O_PATH) */
    char name[NAME_MAX + 1];   /* the file in it: no link */
    bool is_missing;           /* it does not exist yet */
    bool is_open_file;         /* … but for a descriptor's entry in /proc, like /dev/stdin's */
    bool by_foreign_link;      /* a link on the way belongs neither to this user nor to root */
    bool in_foreign_folder;    /* the folder `at` belongs neither to this user nor to root */
    bool below_foreign_folder; /* that folder does not, or one on the way to it */
    bool in_secrets;           /* it is below /run/secrets, /var/run/secrets or the folder `credentials` */
    bool projected;            /* a link of root's called ..data led there: a volume that Kubernetes fills */
};

/* Follows `text` from the root, or from the working folder, to its last name; the folders on the way must be
 * there. `credentials`: $CREDENTIALS_DIRECTORY; NULL: there is none. Returns 0 or an errno, and then nothing
 * is left open. */
int auth_path_open(struct auth_path *path, const char *text, const char *credentials);

void auth_path_close(struct auth_path *path);

/* Copies the path of the folder above `text` to `parent`, which has PATH_MAX bytes. false: that is only the
 * root, or too long. */
bool auth_path_parent(char *parent, const char *text);

/* Neither this user's nor root's. */
bool auth_path_is_foreign(uid_t owner);

/* Whether this user is root, and the folder `at` another user's or below one: the system would let root
 * write there. Not in a user namespace, whose root has no such rights. */
bool auth_path_is_closed_to_root(const struct auth_path *path);

/* Whether something may be created in `at`: not in another user's folder, nor if it is closed to root. */
bool auth_path_may_create(const struct auth_path *path);

#endif

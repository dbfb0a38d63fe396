/* Where a secret comes from: a value, a file or a command. (A Lua function is called before a fetch; its
 * result is a value.) SPDX-License-Identifier: MIT */
#ifndef AUTH_SECRET_SOURCE_H
#define AUTH_SECRET_SOURCE_H

#include "base/deadline.h"
#include "base/secret.h"

#define AUTH_SECRET_PROBLEM_MAX 512 /* bytes of a text that says what is wrong, the NUL included */

enum auth_secret_kind { AUTH_SECRET_NONE, AUTH_SECRET_VALUE, AUTH_SECRET_FILE, AUTH_SECRET_COMMAND };

/* All zero: none. The owner of the struct owns what it points to. */
struct auth_secret_source {
    enum auth_secret_kind kind;
    struct auth_secret value;
    char *text; /* malloc'ed: the path of the file, or the command line */
    /* See auth_secret_source_read_environment. */
    char **variables;  /* of a command */
    char *credentials; /* for a file: $CREDENTIALS_DIRECTORY; NULL: there is none */
};

/* Before a source is read: copies what a command inherits of the environment, which is all but our secrets in
 * it, and for a file the folder of credentials. On a thread of the host alone, for the host may change its
 * environment while a worker reads it. false: no memory. */
bool auth_secret_source_read_environment(struct auth_secret_source *source);

/* Appends the secret to `out`, which is empty; of a file or a command without a line end behind it and a
 * byte-order mark before it. false: `out` is wiped, and `problem` says why, to follow the name of the option:
 * "/run/x: Permission denied", "the command ended with status 1", "it is empty", "it has more than one line,
 * but must stand alone". A file that others may read or write, or that is another user's, is refused. Blocks
 * until the deadline at most (but for a file system that does not answer); a command that has not ended by
 * then, or when it is cancelled, is killed. */
bool auth_secret_source_read(const struct auth_secret_source *source, const struct auth_deadline *deadline,
                             struct auth_secret *out, char problem[AUTH_SECRET_PROBLEM_MAX]);

/* The checks of the content alone, for a secret from anywhere: not empty, one line, no control characters. */
bool auth_secret_source_check(const struct auth_secret *secret, char problem[AUTH_SECRET_PROBLEM_MAX]);

/* Wipes and frees what it holds; safe to call again. */
void auth_secret_source_wipe(struct auth_secret_source *source);

#endif

/* The certificate file and folder that a server is verified against. SPDX-License-Identifier: MIT */
#ifndef AUTH_TRUST_H
#define AUTH_TRUST_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auth_trust {
    const char *file; /* PEM bundle */
    const char *path; /* folder of certificates named by hash, as `openssl rehash` makes it */
    bool partial;     /* hashed folder only: retry with the CA bundle before the server is refused */
};

/* Sets path, and `partial`, if the caller set neither file nor path and the system has a hashed folder.
 * Verifying against it reads one certificate where the bundle means parsing all, 60 to 80 ms of every first
 * request. Both NULL: use libcurl's own. */
void auth_trust_complete(struct auth_trust *trust);

/* Finds a certificate under its hash in one of the folders, a list separated by colons. false: there is none.
 */
bool auth_trust_find(const char *folders, char file[PATH_MAX]);

/* A number that differs once one of these files was replaced, changed, removed or made, or the link that
 * leads to it was moved; and once one of the folders, a list separated by colons, lost or got an entry. NULL:
 * no such file, no folders. Costs one stat each. */
uint64_t auth_trust_fingerprint(const char *const *files, size_t count, const char *folders);

/* Whether the private key in this PEM file is encrypted. false if the file can't be read. */
bool auth_trust_is_encrypted(const char *key_file);

#endif

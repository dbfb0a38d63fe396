/* Authenticated encryption of a cache record under a key that is derived from the client secret. The file is
 * useless without the secret; a changed byte, another name or another version makes it invalid.
 *
 * The file, version 1, integers little-endian:
 *   - 16 bytes, the characters "central-auth/1", CR, LF
 *   - 24 bytes of nonce, random
 *   - the record under XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), its 16-byte tag last; the additional
 *     data are the name of the identity
 * The record:
 *   - 16 bytes of boot id
 *   - the id: 8 bytes
 *   - sent by the boot clock, sent by the wall clock, time from then to the reply (ns): 8 bytes each, signed
 *   - the server's Date, Retry-After (s): 8 bytes each, signed
 *   - HTTP status, failures so far, length of the body: 4 bytes each
 *   - the body
 *
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_SEAL_H
#define AUTH_SEAL_H

#include "base/clock.h"
#include "base/secret.h"

#define AUTH_SEAL_SECRET_MIN 16 /* bytes; a shorter secret could be guessed from the file */
#define AUTH_SEAL_NAME_LENGTH 32
#define AUTH_SEAL_OVERHEAD (16 + 24 + 76 + 16) /* bytes of a file beside the body */
#define AUTH_SEAL_BODY_MAX ((size_t)256 * 1024)

/* A reply of a token endpoint. */
struct auth_record {
    uint64_t id; /* random, not 0; the same in each store that this reply is kept in */
    unsigned char boot_id[AUTH_CLOCK_BOOT_ID];
    struct auth_instant sent;
    int64_t took_ns;       /* from `sent` until the reply was there */
    int64_t date_s;        /* -1: none */
    int64_t retry_after_s; /* -1: none */
    uint32_t status;
    uint32_t failures;         /* in a row, this one counted if it is one */
    const unsigned char *body; /* not owned */
    size_t body_length;
};

/* Derives key and name from the secret and from all that distinguishes one token from another. `name` gets
 * AUTH_SEAL_NAME_LENGTH hexadecimal digits and a NUL. false: the secret is too short, or no memory. */
bool auth_seal_derive(struct auth_secret *key, char *name, const struct auth_secret *secret,
                      const void *identity, size_t identity_length);

/* Appends the file's bytes to `out`, which the body is no part of. `name`: of the identity, without a suffix:
 * both records of a token have it. false: no memory, or a body over AUTH_SEAL_BODY_MAX; then `out` is
 * unchanged. */
bool auth_seal_encrypt(struct auth_secret *out, const struct auth_record *record,
                       const struct auth_secret *key, const char *name);

/* Opens the file's bytes in place: the body points into them. false: these bytes are no record sealed under
 * this key and name; then `record` is all zero and the bytes are of no use. */
bool auth_seal_decrypt(struct auth_record *record, struct auth_secret *bytes, const struct auth_secret *key,
                       const char *name);

#endif

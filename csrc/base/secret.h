/* Byte buffers for secrets: guarded memory of libsodium, locked where the system permits it, left out of core
 * dumps, zeroed before it is given back. Never printed, never copied elsewhere.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_SECRET_MAX ((size_t)16 * 1024 * 1024) /* bytes; the body of an API call is the longest */

#define AUTH_SECRET_KEPT ((size_t)512 * 1024) /* bytes that an empty secret may hold on to */

/* All zero is an empty secret that owns nothing. `data` has `length` bytes and a NUL after them that is
 * not counted, so that it can be passed as a C string. The owner of the struct owns it. */
struct auth_secret {
    unsigned char *data; /* NULL while nothing was ever appended */
    size_t length;
    size_t capacity; /* bytes usable, the NUL not counted */
    bool plain; /* in memory of malloc, zeroed like the rest: for large data that is no secret, and for what
                   is secret but needed during one call only. Set it while the secret is empty */
};

/* Must be called before any other function here; safe to call again, from any thread. false: no
 * randomness. */
bool auth_secret_init(void);

/* 64 bits that look random and are the same for the same `before` and bytes: libsodium's hash for tables,
 * which hides nothing. */
uint64_t auth_secret_hash(uint64_t before, const void *bytes, size_t length);

/* 64 bits of the system's randomness, for names of files and for waits; in a forked child, too, other ones
 * than its parent's. */
uint64_t auth_secret_random(void);

/* Makes room for `capacity` bytes in all. false: no memory, or over AUTH_SECRET_MAX; the secret is
 * unchanged. */
bool auth_secret_reserve(struct auth_secret *secret, size_t capacity);

/* Appends. `bytes` must not point into the secret. false as above. */
bool auth_secret_append(struct auth_secret *secret, const void *bytes, size_t length);

/* Zeroes the bytes from `length` on and shortens to it; keeps the memory. */
void auth_secret_truncate(struct auth_secret *secret, size_t length);

/* Zeroes it all. Keeps the memory, as guarded memory costs ten system calls, unless it is more than
 * AUTH_SECRET_KEPT bytes. */
void auth_secret_empty(struct auth_secret *secret);

/* Removes a byte-order mark (of UTF-8) from its start, which some editors add. */
void auth_secret_drop_mark(struct auth_secret *secret);

/* Removes one line end from its end, and such a mark from its start: what editors and `echo` add. */
void auth_secret_drop_line_end(struct auth_secret *secret);

/* Zeroes and frees the memory; the secret is empty after it. Safe to call again. */
void auth_secret_wipe(struct auth_secret *secret);

/* Equal in length and bytes; the time depends on the lengths alone. */
bool auth_secret_equal(const struct auth_secret *a, const struct auth_secret *b);

/* Standard Base64 with padding (RFC 4648, 4) of `length` bytes, appended. false as above. */
bool auth_secret_append_base64(struct auth_secret *secret, const unsigned char *bytes, size_t length);

/* Base64url without padding (RFC 4648, 5; the parts of a JWT) to bytes; replaces the content. false: not
 * Base64url, or no memory; then it is empty. */
bool auth_secret_from_base64url(struct auth_secret *secret, const char *text, size_t length);

#endif

/* TLS of a connection to Redis, by OpenSSL: TLS 1.2 or newer, certificate and name always verified.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_TLS_H
#define AUTH_REDIS_TLS_H

#include <stdbool.h>
#include <sys/types.h>

struct ssl_st;

/* Initialises OpenSSL. false: it can't be. */
bool auth_redis_tls_init(void);

/* Begins on a connected descriptor that does not block; the handshake is made by the first reads and writes.
 * Authorities are those of `ca_file` and `ca_path` (see struct auth_trust), or OpenSSL's own where both are
 * empty. NULL, and the session; or a static text that says what is wrong. */
const char *auth_redis_tls_begin(int fd, const char *host, const char *ca_file, const char *ca_path,
                                 struct ssl_st **session);

/* As read(2) and write(2), with EAGAIN where the other end has to act first; at its end EIO. */
ssize_t auth_redis_tls_read(struct ssl_st *session, void *bytes, size_t size);
ssize_t auth_redis_tls_write(struct ssl_st *session, const void *bytes, size_t size);

/* What the handshake waits for, as events of poll; 0 once it is over, or without a session. */
short auth_redis_tls_awaits(const struct ssl_st *session);

/* Why the last read or write has failed, as a static text of OpenSSL; NULL: not because of TLS, or there is
 * no session. */
const char *auth_redis_tls_problem(const struct ssl_st *session);

/* Frees the session; NULL is fine. The descriptor stays open. */
void auth_redis_tls_end(struct ssl_st *session);

#endif

/* TLS of a connection to Redis: TLS 1.2 or newer, certificate and name always verified. Needs hiredis 1.0 or
 * newer with its TLS part, and OpenSSL; without them `begin` fails with a text. SPDX-License-Identifier: MIT
 */
#ifndef AUTH_REDIS_TLS_H
#define AUTH_REDIS_TLS_H

#include <stdbool.h>

struct redisContext;
struct ssl_st;

/* Whether this build can speak TLS to Redis. */
bool auth_redis_tls_is_here(void);

/* Initialises OpenSSL. false: it can't be. */
bool auth_redis_tls_init(void);

/* Begins; the handshake goes on with the first reads and writes. Authorities are those of `ca_file` and
 * of the hashed folder `ca_path`, or OpenSSL's own where both are empty. NULL, and the session, which is
 * the context's; or a static text that says what is wrong. */
const char *auth_redis_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                 const char *ca_path, struct ssl_st **session);

/* What the handshake waits for, as events of poll; 0 once it is over, or without a session. */
short auth_redis_tls_awaits(const struct ssl_st *session);

/* Why a read or write has failed, as a static text of OpenSSL; NULL: not because of TLS, or there is no
 * session. */
const char *auth_redis_tls_problem(const struct ssl_st *session);

/* OpenSSL keeps errors for each thread, and takes old ones for those of the next read or write. */
void auth_redis_tls_clear_errors(void);

#endif

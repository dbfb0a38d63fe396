/* TLS beneath the wire: TLS 1.2 or newer, certificate and name always verified. Needs hiredis 1.0 or
 * newer with its TLS part, and OpenSSL; a build without says so. SPDX-License-Identifier: MIT */
#ifndef AUTH_WIRE_TLS_H
#define AUTH_WIRE_TLS_H

#include <stdbool.h>

struct redisContext;
struct ssl_st;

bool auth_wire_tls_is_here(void);

/* Begins; the handshake goes on with the first reads and writes. `ca_file`: NULL takes the system's trust
 * store. NULL, and the session, which is the context's; or a static text that says what is wrong. */
const char *auth_wire_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                struct ssl_st **session);

/* What the handshake waits for, as events of poll; 0 once it is over. */
int auth_wire_tls_awaits(const struct ssl_st *session);

#endif

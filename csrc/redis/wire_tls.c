/* TLS beneath the wire; the contract is in the header. hiredis checks no names, so the session is made
 * here.
 * SPDX-License-Identifier: MIT */
#include "redis/wire_tls.h"

#ifdef AUTH_REDIS_TLS

#include <hiredis.h>

#include <hiredis_ssl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

bool auth_wire_tls_is_here(void) {
    return true;
}

static const char *load_trust(SSL_CTX *trust, const char *ca_file) {
    if (ca_file != NULL)
        return SSL_CTX_load_verify_locations(trust, ca_file, NULL) == 1 ? NULL : "its ca_file can't be used";
    return SSL_CTX_set_default_verify_paths(trust) == 1 ? NULL : "there is no trust store";
}

/* An address is compared with the addresses of the certificate, a name with its names. */
static bool expect(SSL *session, const char *host) {
    X509_VERIFY_PARAM *terms = SSL_get0_param(session);
    if (X509_VERIFY_PARAM_set1_ip_asc(terms, host) == 1)
        return true;
    return SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
}

const char *auth_wire_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                struct ssl_st **begun) {
    SSL *session = NULL;
    SSL_CTX *trust = SSL_CTX_new(TLS_client_method());
    const char *why = trust != NULL ? load_trust(trust, ca_file) : "no memory for TLS";
    if (why != NULL)
        goto done;
    SSL_CTX_set_min_proto_version(trust, TLS1_2_VERSION);
    SSL_CTX_set_verify(trust, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(trust, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    session = SSL_new(trust);
    if (session == NULL || !expect(session, host)) {
        why = "no memory for TLS";
        goto done;
    }
    if (redisInitiateSSL(context, session) == REDIS_OK) {
        *begun = session;
        session = NULL; /* the context's now */
    } else {
        why = "TLS with it can't begin";
    }
done:
    SSL_free(session);
    SSL_CTX_free(trust);
    return why;
}

int auth_wire_tls_awaits(const struct ssl_st *session) {
    if (SSL_is_init_finished(session))
        return 0;
    return SSL_want_write(session) ? POLLOUT : POLLIN;
}

#else

bool auth_wire_tls_is_here(void) {
    return false;
}

const char *auth_wire_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                struct ssl_st **session) {
    (void)context;
    (void)host;
    (void)ca_file;
    (void)session;
    return "this build has no TLS for Redis";
}

int auth_wire_tls_awaits(const struct ssl_st *session) {
    (void)session;
    return 0;
}

#endif

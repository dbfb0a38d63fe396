/* TLS of a connection to Redis; the contract is in the header. hiredis checks no names, so the session is
 * made here. SPDX-License-Identifier: MIT */
#include "redis/redis_tls.h"

#include <stddef.h>

#ifdef AUTH_REDIS_TLS

#include <hiredis.h>

#include <hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

bool auth_redis_tls_is_here(void) {
    return true;
}

bool auth_redis_tls_init(void) {
    return OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1;
}

static const char *load_trust(SSL_CTX *settings, const char *ca_file, const char *ca_path) {
    bool own = ca_file[0] == '\0' && ca_path[0] == '\0';
    const char *file = own ? X509_get_default_cert_file() : ca_file;
    const char *path = own ? X509_get_default_cert_dir() : ca_path;
    bool loaded = file[0] != '\0' && SSL_CTX_load_verify_locations(settings, file, NULL) == 1;
    loaded = (path[0] != '\0' && SSL_CTX_load_verify_locations(settings, NULL, path) == 1) || loaded;
    return loaded ? NULL : "the ca_file, or the system's trust store, cannot be used";
}

/* An address is compared with the addresses of the certificate, a name with its names. */
static bool expect(SSL *session, const char *host) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1)
        return true;
    return SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
}

const char *auth_redis_tls_problem(const struct ssl_st *session) {
    if (session == NULL)
        return NULL;
    long verdict = SSL_get_verify_result(session);
    return verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                                : ERR_reason_error_string(ERR_peek_last_error());
}

const char *auth_redis_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                 const char *ca_path, struct ssl_st **begun) {
    SSL *session = NULL;
    SSL_CTX *settings = SSL_CTX_new(TLS_client_method());
    const char *why = settings != NULL ? load_trust(settings, ca_file, ca_path) : "no memory";
    if (why != NULL)
        goto done;
    SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION);
    SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    session = SSL_new(settings);
    if (session == NULL || !expect(session, host)) {
        why = "no memory";
        goto done;
    }
    if (redisInitiateSSL(context, session) == REDIS_OK) {
        *begun = session;
        session = NULL; /* the context's now */
    } else {
        why = auth_redis_tls_problem(session); /* the server may have answered already */
        why = why != NULL ? why : "it closed the connection";
    }
done:
    SSL_free(session);
    SSL_CTX_free(settings);
    return why;
}

short auth_redis_tls_awaits(const struct ssl_st *session) {
    if (session == NULL || SSL_is_init_finished(session))
        return 0;
    return SSL_want_write(session) ? POLLOUT : POLLIN;
}

void auth_redis_tls_clear_errors(void) {
    ERR_clear_error();
}

#else

bool auth_redis_tls_is_here(void) {
    return false;
}

bool auth_redis_tls_init(void) {
    return true;
}

const char *auth_redis_tls_begin(struct redisContext *context, const char *host, const char *ca_file,
                                 const char *ca_path, struct ssl_st **session) {
    (void)context;
    (void)host;
    (void)ca_file;
    (void)ca_path;
    (void)session;
    return "this build has none for Redis";
}

short auth_redis_tls_awaits(const struct ssl_st *session) {
    (void)session;
    return 0;
}

const char *auth_redis_tls_problem(const struct ssl_st *session) {
    (void)session;
    return NULL;
}

void auth_redis_tls_clear_errors(void) {
}

#endif

/* TLS of a connection to Redis; the contract is in the header. SPDX-License-Identifier: MIT */
#include "redis/redis_tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>

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

const char *auth_redis_tls_begin(int fd, const char *host, const char *ca_file, const char *ca_path,
                                 struct ssl_st **session) {
    SSL_CTX *settings = SSL_CTX_new(TLS_client_method());
    const char *why = settings != NULL ? load_trust(settings, ca_file, ca_path) : "no memory";
    *session = NULL;
    if (why != NULL)
        goto done;
    SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION);
    SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *session = SSL_new(settings);
    if (*session == NULL || !expect(*session, host) || SSL_set_fd(*session, fd) != 1)
        why = "no memory";
    else
        SSL_set_connect_state(*session);
done:
    SSL_CTX_free(settings);
    ERR_clear_error();
    return why;
}

/* OpenSSL writes without MSG_NOSIGNAL, also when it reads: SIGPIPE of a broken connection must not end the
 * host. It keeps errors for each thread, and takes old ones for those of the next call. */
static ssize_t transfer(SSL *session, void *bytes, size_t size, bool writes) {
    sigset_t pipe;
    sigset_t before;
    sigset_t pending;
    int count = size < INT_MAX ? (int)size : INT_MAX;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ERR_clear_error();
    int done = writes ? SSL_write(session, bytes, count) : SSL_read(session, bytes, count);
    int error = SSL_get_error(session, done);
    if (done <= 0 && sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return done > 0 ? done : -1;
}

ssize_t auth_redis_tls_read(struct ssl_st *session, void *bytes, size_t size) {
    return transfer(session, bytes, size, false);
}

ssize_t auth_redis_tls_write(struct ssl_st *session, const void *bytes, size_t size) {
    return transfer(session, (void *)bytes, size, true); /* which writes nothing there */
}

short auth_redis_tls_awaits(const struct ssl_st *session) {
    if (session == NULL || SSL_is_init_finished(session))
        return 0;
    return SSL_want_write(session) ? POLLOUT : POLLIN;
}

const char *auth_redis_tls_problem(const struct ssl_st *session) {
    if (session == NULL)
        return NULL;
    long verdict = SSL_get_verify_result(session);
    return verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                                : ERR_reason_error_string(ERR_peek_last_error());
}

void auth_redis_tls_end(struct ssl_st *session) {
    SSL_free(session);
    ERR_clear_error();
}

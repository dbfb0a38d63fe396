/* A request, and what it needs of the environment: which proxy it uses, and where trust comes from. libcurl
 * would read that itself, on the thread that runs the transfer, while the host may change it. So it is read
 * here, and libcurl is given the result, also if there is no proxy. SPDX-License-Identifier: MIT */
#ifndef AUTH_REQUEST_H
#define AUTH_REQUEST_H

#include "base/secret.h"

/* NULL means "not set". Strings are copied by start; `body` and `authorization` are not: they stay the
 * caller's and must outlive the transfer. libcurl keeps a copy of both in its send buffer until the
 * connection is reused or closed; nothing can wipe that one. */
struct auth_request {
    const char *url;    /* https, or http to loopback: the caller has checked */
    const char *method; /* an upper-case token; else POST with a body, GET without */
    const char *user_agent;
    const char *headers; /* lines "Name: value" with "\n" between them; else the two of JSON as it is */
    /* With one of them in place of the system's trust store; else by auth_request_read_environment those of
     * the environment, SSL_CERT_FILE and SSL_CERT_DIR. */
    const char *ca_file; /* PEM */
    const char *ca_path; /* a folder of hashed certificates */
    const char *crl_file;
    const char *cert_file; /* PEM, for mutual TLS */
    const char *key_file;
    /* These two after auth_request_read_environment; NULL: none. */
    const char *proxy;              /* as set, else the environment's https_proxy */
    const char *proxy_exceptions;   /* no_proxy: hosts that are reached without it */
    const struct auth_secret *body; /* without data: none. Form-encoded, unless `headers` say otherwise */
    const struct auth_secret *authorization; /* the whole header line */
    long timeout_ms;                         /* over all: resolve, connect, send, receive; 1 to LONG_MAX */
    long connect_timeout_ms;                 /* resolve and connect and TLS */
    size_t body_max; /* of an API's reply, up to AUTH_SECRET_MAX, which is in plain memory; 0: of a reply with
                      * a token: AUTH_TRANSFER_BODY_MAX */
    /* The server must not receive the request twice: it uses a new connection, which is closed after it.
     * Otherwise libcurl repeats a request whose kept connection broke; and if a kept connection is silent for
     * a quarter of `timeout_ms`, the request is sent again on a new connection, and the first reply is used;
     * but no refusal of a second PUT or DELETE, as the first may be the reason for it. */
    bool no_repeat;
    bool trace; /* the reply has one */
    /* Only connects, and with https speaks TLS: the connection is for auth_transfer_send and _receive, and
     * stays until the next start, cancel or free. */
    bool connect_only;
    const char *socket_path; /* of a Unix socket, in place of host and port of the URL */
};

/* Reads what a request needs of the environment: the proxy and its exceptions, where `url` is to be asked
 * through one and `proxy` does not name another; and where OpenSSL's programs find trust. On a thread of the
 * host alone, for the host may change its environment while a worker reads it; nothing else here does. The
 * strings are the environment's: for a start at once. */
void auth_request_read_environment(struct auth_request *request);

/* The same, and replaces the strings of the request by copies. false: no memory; then all are NULL. */
bool auth_request_complete(struct auth_request *request);

/* Frees those copies. Safe to call again. */
void auth_request_free(struct auth_request *request);

#endif

/* One HTTPS request and its reply, a step at a time: start, step and wait until it is over; or cancel. The
 * only file that uses libcurl. It always verifies the server, follows no redirects, and limits all sizes and
 * times: see the constants. Each call is within the gate (worker/gate.h), but for its waits; while the
 * process exits requests fail, and what libcurl has is left as it is. SPDX-License-Identifier: MIT */
#ifndef AUTH_TRANSFER_H
#define AUTH_TRANSFER_H

#include "base/deadline.h"
#include "base/secret.h"

/* Bytes of a reply's body, as sent (no Content-Encoding is decoded), if the request sets no limit, and the
 * highest limit that it may set. */
#define AUTH_TRANSFER_BODY_MAX ((size_t)256 * 1024)
#define AUTH_TRANSFER_BODY_LIMIT ((size_t)16 * 1024 * 1024)
/* Bytes of all its header lines, those of 1xx replies and trailers too. */
#define AUTH_TRANSFER_HEADERS_MAX ((size_t)64 * 1024)

/* Why there is no reply: the error codes of the Lua layer; see auth_transfer_failure_name. */
enum auth_transfer_failure {
    AUTH_TRANSFER_OK,
    AUTH_TRANSFER_CONFIG, /* an option that libcurl can't use: a file it can't load, a URL it can't parse */
    AUTH_TRANSFER_RESOLVE,
    AUTH_TRANSFER_CONNECT, /* the server or the proxy refused the connection */
    AUTH_TRANSFER_TLS,
    AUTH_TRANSFER_TIMEOUT,
    AUTH_TRANSFER_NETWORK, /* the connection broke */
    AUTH_TRANSFER_REPLY,   /* over one of the limits */
    AUTH_TRANSFER_MEMORY
};

/* The last stage that a request passed. */
enum auth_transfer_reached {
    AUTH_TRANSFER_NOTHING,
    AUTH_TRANSFER_ADDRESS,    /* the name of the server, or of the proxy, was resolved */
    AUTH_TRANSFER_CONNECTION, /* TCP, to the server or the proxy */
    AUTH_TRANSFER_TUNNEL,     /* the HTTP proxy connected to the server */
    AUTH_TRANSFER_SERVER      /* and TLS if it is used: the request could be sent */
};

/* NULL means "not set". Strings are copied by start; `body` and `authorization` are not: they stay the
 * caller's and must outlive the transfer. libcurl keeps a copy of both in its send buffer until the
 * connection is reused or closed; nothing can wipe that one. */
struct auth_transfer_request {
    const char *url;    /* https, or http to loopback: the caller has checked */
    const char *method; /* an upper-case token; else POST with a body, GET without */
    const char *user_agent;
    const char *const *headers; /* lines "Name: value", the last NULL; else the two of JSON as it is */
    const char *ca_file;        /* PEM; with `ca_path` or alone, in place of the system's trust store */
    const char *ca_path;        /* a folder of hashed certificates */
    const char *crl_file;
    const char *cert_file; /* PEM, for mutual TLS */
    const char *key_file;
    /* These four after auth_transfer_complete_request; NULL: none, and the system's trust store. */
    const char *proxy;            /* as set, else the environment's https_proxy */
    const char *proxy_exceptions; /* no_proxy: hosts that are reached without it */
    const char *ssl_cert_file;    /* SSL_CERT_FILE and SSL_CERT_DIR: in place of the system's trust store */
    const char *ssl_cert_dir;
    const struct auth_secret *body; /* without data: none. Form-encoded, unless `headers` say otherwise */
    const struct auth_secret *authorization; /* the whole header line */
    long timeout_ms;                         /* over all: resolve, connect, send, receive; 1 to LONG_MAX */
    long connect_timeout_ms;                 /* resolve and connect and TLS */
    size_t body_max; /* of the reply, up to AUTH_TRANSFER_BODY_LIMIT; 0: AUTH_TRANSFER_BODY_MAX */
    /* The server must not receive the request twice: it uses a new connection, which is closed after it.
     * Otherwise libcurl repeats a request whose kept connection broke; and if a kept connection is silent for
     * a quarter of `timeout_ms`, the request is sent again on a new connection, and the first reply is used;
     * but no refusal of a second PUT or DELETE, as the first may be the reason for it. */
    bool no_repeat;
};

/* The result. `failure` OK: status and the rest are set. Otherwise `message` is libcurl's error message (with
 * host names and certificate names, without credentials), `reached` is the last stage that was passed, and
 * `proxy_status` may be the status of a proxy's refusal. */
struct auth_transfer_reply {
    enum auth_transfer_failure failure;
    char message[256];
    long status; /* HTTP, 100 to 999 */
    enum auth_transfer_reached reached;
    bool sent_twice;              /* because a kept connection was silent: the server may have acted twice */
    long proxy_status;            /* of a CONNECT request that was refused; else 0 */
    struct auth_instant sent;     /* before the request left: a token's life starts here */
    struct auth_instant received; /* when it was complete, or had failed */
    int64_t date_s;               /* the Date header, since 1970; -1 without */
    int64_t retry_after_s;        /* from now, both forms of RFC 9110, 10.2.3; 0 in the past; -1 without */
    char content_type[128];
    char content_encoding[32]; /* of the body, which is not decoded */
    char challenge[1024];      /* WWW-Authenticate: the field that has a Bearer challenge, else empty */
    char location_host[256];   /* of a redirect; the rest of its URL is not kept */
    struct auth_secret body;   /* the reply's own; zeroed by the next start or cancel */
};

struct auth_transfer;

/* Must succeed once before anything else; any number of times, from one thread at a time. */
bool auth_transfer_init(void);

/* libcurl's version and TLS library, for the User-Agent and for messages: "libcurl/7.88.1 OpenSSL/3.0.19". */
const char *auth_transfer_version(void);

/* NULL: no memory, or with EMFILE or ENFILE in errno no descriptor. The connection, its TLS session and the
 * loaded trust store stay for the next request, unless a file of trust or identity has changed by then. */
struct auth_transfer *auth_transfer_new(void);

/* Replaces the strings of a request, but for `method` and `headers`, by copies, and reads what it needs of
 * the environment: the proxy and its exceptions, where `url` is to be asked through one and `proxy` does not
 * name another; and where OpenSSL's programs find trust. On a thread of the host alone, for the host may
 * change its environment while a worker reads it; nothing else here does. false: no memory; then all are
 * NULL. */
bool auth_transfer_complete_request(struct auth_transfer_request *request);

/* Frees those copies. Safe to call again. */
void auth_transfer_free_request(struct auth_transfer_request *request);

/* Starts a request; does not block. Cancels a former one first. false: `auth_transfer_reply` says why. */
bool auth_transfer_start(struct auth_transfer *transfer, const struct auth_transfer_request *request,
                         const struct auth_clock *clock);

/* Continues as far as possible without waiting. true: it is over. */
bool auth_transfer_step(struct auth_transfer *transfer);

/* Waits until the next step can do something, `wait_ms` at most; less when a signal of the system arrives, or
 * when `cancel` is signalled, from any thread. NULL: it can't be cancelled. */
void auth_transfer_wait(struct auth_transfer *transfer, int wait_ms, const struct auth_notifier *cancel);

/* After a start: steps and waits until it is over, or the deadline is. A request that is cancelled has failed
 * as one that took too long, which auth_deadline_is_cancelled tells apart. Blocks. The reply as below. */
const struct auth_transfer_reply *auth_transfer_run(struct auth_transfer *transfer,
                                                    const struct auth_deadline *deadline);

/* Starts and runs a request, whose time-out is the deadline. */
const struct auth_transfer_reply *auth_transfer_perform(struct auth_transfer *transfer,
                                                        const struct auth_transfer_request *request,
                                                        const struct auth_deadline *deadline);

/* The reply, owned by the transfer until the next start or free. Once a request is over, or was not started.
 */
const struct auth_transfer_reply *auth_transfer_reply(const struct auth_transfer *transfer);

/* The header fields of the reply in their order, one a call: name and value, the transfer's until its next
 * start. `*place` is NULL at first and then what the last call left. false: there are no more. */
bool auth_transfer_next_header(struct auth_transfer *transfer, void **place, const char **name,
                               const char **value);

/* Cancels the request, wipes the reply; does not wait for a resolver. Safe to call without a request. */
void auth_transfer_cancel(struct auth_transfer *transfer);

/* Cancels, closes the connections, frees. NULL is fine. Not in a forked child: the connections are the
 * parent's, and closing TLS there would end them for the parent too. */
void auth_transfer_free(struct auth_transfer *transfer);

const char *auth_transfer_failure_name(enum auth_transfer_failure failure);

/* NULL for NOTHING. */
const char *auth_transfer_reached_name(enum auth_transfer_reached reached);

#endif

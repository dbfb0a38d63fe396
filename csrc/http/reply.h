/* What came of a request, in libcurl's words and in ours. SPDX-License-Identifier: MIT */
#ifndef AUTH_REPLY_H
#define AUTH_REPLY_H

#include "base/clock.h"
#include "base/secret.h"

#define AUTH_TRACE_MAX ((size_t)32 * 1024)

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

/* The result. `failure` OK: status and the rest are set. Otherwise `message` is libcurl's error message (with
 * host names and certificate names, without credentials), `reached` is the last stage that was passed, and
 * `proxy_status` may be the status of a proxy's refusal. */
struct auth_reply {
    enum auth_transfer_failure failure;
    char message[256];
    long status; /* HTTP, 100 to 999 */
    enum auth_transfer_reached reached;
    bool sent_twice;              /* because a kept connection was silent: the server may have acted twice */
    long proxy_status;            /* of a CONNECT request that was refused; else 0 */
    long os_error;                /* an errno: why there is no connection; 0: not known */
    struct auth_instant sent;     /* before the request left: a token's life starts here */
    struct auth_instant received; /* when it was complete, or had failed */
    int64_t date_s;               /* the Date header, since 1970; -1 without */
    int64_t retry_after_s;        /* from now, both forms of RFC 9110, 10.2.3; 0 in the past; -1 without */
    char content_type[128];
    char content_encoding[32]; /* of the body, which is not decoded */
    char challenge[1024];      /* WWW-Authenticate: the field that has a Bearer challenge, else empty */
    char location_host[256];   /* of a redirect; the rest of its URL is not kept */
    bool trace_is_cut; /* libcurl sends long header lines in parts: the rest of one is left out, and so is
                        * what a server has folded into further lines */
    bool in_header;    /* the next line is of it */
    /* The reply's own, until a reader takes body and trace; zeroed by the next start or cancel. */
    struct auth_secret headers; /* all its header fields as they came, a line each; plain */
    struct auth_secret body;
    /* Of a request with `trace`: libcurl's own words and the header lines of both sides. Each line begins
     * with "* ", "> " or "< ", as curl -v shows it. Values of header fields whose names say that they are
     * secret are left out, but the caller must redact what a server has sent back. Lines that would
     * make it longer than AUTH_TRACE_MAX bytes are left out. */
    struct auth_secret trace;
};

const char *auth_transfer_failure_name(enum auth_transfer_failure failure);

/* NULL for NOTHING. */
const char *auth_transfer_reached_name(enum auth_transfer_reached reached);

/* What a CURLcode means, with libcurl's message about it. */
enum auth_transfer_failure auth_reply_classify(int error, const char *message);

/* A Date header and what it means: libcurl takes long to read one, and most replies have that of the reply
 * before. */
struct auth_reply_date {
    char text[64];
    int64_t at_s;
};

/* Appends to the reply's trace; `kind` is libcurl's curl_infotype. */
void auth_reply_trace(struct auth_reply *reply, int kind, const char *text, size_t length);

/* Takes a line of the header, as libcurl passes them: the fields of the reply itself stay, not those of a
 * proxy's or a 1xx reply, nor of a trailer. false: memory is short. */
bool auth_reply_add_line(struct auth_reply *reply, const char *line, size_t length);

/* Takes what the fields say; `received` is set. `latest`: all zero at first, and then as the reply before has
 * left it. */
void auth_reply_read_headers(struct auth_reply *reply, struct auth_reply_date *latest);

#endif

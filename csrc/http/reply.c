/* Replies; the contract is in the header. SPDX-License-Identifier: MIT */
#include "http/reply.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- why there is none --- */

/* libcurl reports a connection that breaks during the handshake as a TLS error; it is the network's
 * failure. */
static bool broke_in_handshake(const char *message) {
    static const char *const signs[] = {"SSL_ERROR_SYSCALL", "unexpected eof", "Connection reset by peer",
                                        "Broken pipe"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strstr(message, signs[i]) != NULL)
            return true;
    return false;
}

enum auth_transfer_failure auth_reply_classify(int error, const char *message) {
    switch (error) {
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
        return AUTH_TRANSFER_CONFIG;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return AUTH_TRANSFER_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return AUTH_TRANSFER_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
        return broke_in_handshake(message) ? AUTH_TRANSFER_NETWORK : AUTH_TRANSFER_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CLIENTCERT:
        return AUTH_TRANSFER_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return AUTH_TRANSFER_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* the URL's scheme is checked: this is what answered */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING: /* newer versions refuse a packed body by it, though none is unpacked */
        return AUTH_TRANSFER_REPLY;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: /* TLS 1.3 turns a client certificate down after the handshake */
        return strstr(message, " alert ") != NULL ? AUTH_TRANSFER_TLS : AUTH_TRANSFER_NETWORK;
    case CURLE_OUT_OF_MEMORY:
        return AUTH_TRANSFER_MEMORY;
    default:
        return AUTH_TRANSFER_NETWORK;
    }
}

/* --- its header --- */

/* Seconds, a part of one as a whole one, or a date, which counts from the server's own Date: its clock made
 * both. */
#define DIGITS "0123456789"
static int64_t retry_after(const char *text, int64_t from_s) {
    if (text[0] == '\0')
        return -1;
    size_t digits = strspn(text, DIGITS);
    const char *rest = text + digits;
    if (digits > 0 && (*rest == '\0' || (*rest == '.' && rest[1 + strspn(rest + 1, DIGITS)] == '\0')))
        return digits > 9 ? INT32_MAX : strtol(text, NULL, 10) + (strpbrk(rest, "123456789") != NULL);
    int64_t until = isalpha((unsigned char)text[0]) ? (int64_t)curl_getdate(text, NULL) : -1;
    if (until < 0)
        return -1;
    return until > from_s ? until - from_s : 0;
}

static void take_location_host(const char *location, struct auth_reply *reply) {
    CURLU *url = curl_url();
    char *host = NULL;
    if (url != NULL && curl_url_set(url, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        (void)snprintf(reply->location_host, sizeof reply->location_host, "%s", host);
    curl_free(host);
    curl_url_cleanup(url);
}

static int64_t read_date(const char *text, struct auth_reply_date *latest) {
    if (text[0] == '\0' || strcmp(text, latest->text) != 0) {
        latest->at_s = (int64_t)curl_getdate(text, NULL);
        (void)snprintf(latest->text, sizeof latest->text, "%s", text);
    }
    return latest->at_s;
}

static bool is_blank(char letter) {
    return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n';
}

/* A line that begins with a blank goes on with the value of the line before. */
static bool add_field(struct auth_secret *out, const char *line, size_t length) {
    if (is_blank(line[0]) && out->length > 0)
        out->data[out->length - 1] = ' ';
    while (is_blank(line[0]))
        line++, length--;
    return auth_secret_append(out, line, length) && auth_secret_append(out, "\n", 1);
}

bool auth_reply_add_line(struct auth_reply *reply, const char *line, size_t length) {
    bool is_end = length > 0 && (line[0] == '\r' || line[0] == '\n');
    while (length > 0 && is_blank(line[length - 1]))
        length--;
    if (reply->in_header && !is_end)
        return length == 0 || add_field(&reply->headers, line, length);
    const char *status = memchr(line, ' ', length);
    bool is_interim = status != NULL && status[1] == '1';
    reply->in_header = length > 5 && memcmp(line, "HTTP/", 5) == 0 && !is_interim; /* else of a trailer */
    if (reply->in_header)
        auth_secret_truncate(&reply->headers, 0);
    return true;
}

/* Of the field with this name, in small letters; NULL: it has another. */
static const char *value_in(const char *line, const char *name) {
    size_t length = strlen(name);
    if ((line[0] | 0x20) != name[0] || strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + 1 + strspn(line + length + 1, " \t");
}

#define COPY(field, value) *stpncpy(field, value, sizeof(field) - 1) = '\0'

/* What comes last counts, but of challenges what came first: one of several fields may have it, or one among
 * other challenges. */
static void take_field(struct auth_reply *reply, struct auth_reply_date *latest, const char *line) {
    const char *value = NULL;
    if ((value = value_in(line, "date")) != NULL)
        reply->date_s = read_date(value, latest);
    else if ((value = value_in(line, "content-type")) != NULL)
        COPY(reply->content_type, value);
    else if ((value = value_in(line, "content-encoding")) != NULL)
        COPY(reply->content_encoding, value);
    else if ((value = value_in(line, "location")) != NULL)
        take_location_host(value, reply);
    else if ((value = value_in(line, "www-authenticate")) != NULL && reply->challenge[0] == '\0' &&
             strcasestr(value, "bearer") != NULL)
        COPY(reply->challenge, value);
}

void auth_reply_read_headers(struct auth_reply *reply, struct auth_reply_date *latest) {
    char *end = NULL;
    char *wait_end = NULL;
    const char *wait = NULL;
    for (char *line = (char *)reply->headers.data; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        take_field(reply, latest, line);
        const char *value = value_in(line, "retry-after");
        wait = value != NULL ? value : wait;
        wait_end = value != NULL ? end : wait_end;
        *end = '\n';
    }
    if (wait == NULL)
        return;
    *wait_end = '\0';
    reply->retry_after_s =
        retry_after(wait, reply->date_s >= 0 ? reply->date_s : reply->received.wall_ns / AUTH_NS_PER_S);
    *wait_end = '\n';
}

/* --- its trace --- */

/* Whether the name of a field says so. WWW-Authenticate and Proxy-Authenticate only say what is missing. */
static bool is_secret(const char *line, size_t length) {
    static const char *const words[] = {"auth",     "cookie", "token",   "secret",
                                        "password", "key",    "session", "credential"};
    const char *colon = memchr(line, ':', length);
    char name[128] = "";
    bool found = colon != NULL && colon - line >= (ptrdiff_t)sizeof name;
    if (colon != NULL && !found)
        memcpy(name, line, (size_t)(colon - line));
    for (size_t i = 0; i < sizeof words / sizeof *words && strcasestr(name, "Authenticate") == NULL; i++)
        found = found || strcasestr(name, words[i]) != NULL;
    return found;
}

static void trace_line(struct auth_secret *out, const char *sign, const char *line, size_t length) {
    static const char hidden[] = ": [hidden]";
    bool hides = *sign != '*' && is_secret(line, length);
    size_t shown = hides ? (size_t)((const char *)memchr(line, ':', length) - line) : length;
    if (out->length + shown + sizeof hidden + 3 <= AUTH_TRACE_MAX)
        (void)(auth_secret_append(out, sign, 2) && auth_secret_append(out, line, shown) &&
               auth_secret_append(out, hidden, hides ? sizeof hidden - 1 : 0) &&
               auth_secret_append(out, "\n", 1));
}

void auth_reply_trace(struct auth_reply *reply, int kind, const char *text, size_t length) {
    const char *sign = kind == CURLINFO_TEXT         ? "* "
                       : kind == CURLINFO_HEADER_OUT ? "> "
                       : kind == CURLINFO_HEADER_IN  ? "< "
                                                     : NULL;
    while (sign != NULL && length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t whole = end != NULL ? (size_t)(end - text) + 1 : length;
        size_t line = whole;
        bool is_rest = kind == CURLINFO_HEADER_OUT ? reply->trace_is_cut
                                                   : *sign == '<' && (*text == ' ' || *text == '\t');
        while (line > 0 && (text[line - 1] == '\n' || text[line - 1] == '\r'))
            line--;
        if (line > 0 && !is_rest)
            trace_line(&reply->trace, sign, text, line);
        if (kind == CURLINFO_HEADER_OUT)
            reply->trace_is_cut = end == NULL;
        text += whole;
        length -= whole;
    }
}

/* --- names --- */

const char *auth_transfer_failure_name(enum auth_transfer_failure failure) {
    static const char *const names[] = {"ok",      "config",  "resolve", "connect", "tls",
                                        "timeout", "network", "reply",   "memory"};
    return names[failure];
}

const char *auth_transfer_reached_name(enum auth_transfer_reached reached) {
    static const char *const names[] = {NULL, "address", "connection", "tunnel", "server"};
    return names[reached];
}

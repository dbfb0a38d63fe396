/* One HTTPS request on libcurl's multi interface; the contract is in the header. SPDX-License-Identifier: MIT
 */
#include "http/transfer.h"
#include "base/descriptor.h"
#include "http/trust.h"
#include "worker/gate.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#if LIBCURL_VERSION_NUM < 0x075700
#error "central-auth needs libcurl 7.87 or newer"
#endif

enum {
    STEP_MS = 1000, /* libcurl waits on a clock that stands still in suspend: so often the deadline is seen */
    SILENCE_PART = 4 /* of the time: so long a kept connection may be silent */
};

struct auth_transfer {
    CURLM *multi;         /* keeps connections and the trust store between requests … */
    CURL *easy;           /* … and TLS sessions */
    uint64_t fingerprint; /* of the files of trust and identity that the two have seen; 0: of none yet */
    bool key_encrypted;   /* of those files, the private key */
    bool under_way;
    bool is_clear;        /* nothing is left of a former request */
    CURL *second;         /* the same request on a new connection, as the kept one was silent; NULL: none */
    const CURL *heard;    /* the one of the two whose reply has begun */
    bool changes;         /* what it asks for: PUT or DELETE */
    bool connect_only;    /* it stays under way once it is connected, or libcurl would close the connection */
    int64_t second_at_ns; /* boot time at which to see whether a second one is needed; 0: never */
    struct auth_clock clock;
    bool partial_trust; /* see struct auth_trust */
    bool ready;         /* connected, through tunnel and TLS: the request can be sent */
    long timeout_ms;
    size_t body_max;
    enum auth_transfer_failure verdict; /* of our own callbacks, when one of them ended the transfer */
    size_t header_bytes;
    struct curl_slist
        authorization;          /* our own node: points into the caller's secret, which libcurl would copy */
    struct curl_slist *headers; /* all others */
    uint64_t options; /* fingerprint of the request that options and `headers` are set for; 0: of none */
    char error[CURL_ERROR_SIZE];
    struct auth_reply_date latest_date;
    struct auth_reply reply;
};

enum { WAKEUP_NEAR = 16 };

static char version[128];
static const char *own_bundle; /* where libcurl was built to look for authorities */
static const char *own_folder;
static bool has_too_large;   /* whether this libcurl knows TOO_LARGE */
static bool keeps_own_trust; /* … and looks into its own place, too, where CAINFO or CAPATH is set to NULL */

/* CURLE_TOO_LARGE and CURLMOPT_QUICK_EXIT, by number: the library may be newer than the headers that this is
 * compiled with. */
enum { TOO_LARGE = 100, TOO_LARGE_SINCE = 0x080600, KEEPS_TRUST_SINCE = 0x081500, MULTI_QUICK_EXIT = 21 };

bool auth_transfer_init(void) {
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    has_too_large = info->version_num >= TOO_LARGE_SINCE;
    keeps_own_trust = info->version_num >= KEEPS_TRUST_SINCE;
    own_bundle = info->cainfo;
    own_folder = info->capath;
    (void)snprintf(version, sizeof version, "libcurl/%s %s", info->version,
                   info->ssl_version ? info->ssl_version : "no TLS");
    return auth_secret_init() && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const char *auth_transfer_version(void) {
    return version;
}

static void close_handles(struct auth_transfer *transfer) {
    curl_easy_cleanup(transfer->easy);
    curl_multi_cleanup(transfer->multi);
    transfer->easy = NULL;
    transfer->multi = NULL;
    transfer->options = 0;
}

/* --- libcurl's descriptors: by itself it keeps them neither from other programs nor out of 0 to 2 --- */

static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)data, (void)purpose;
    int fd =
        auth_descriptor_keep(socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol));
    if (fd >= 0)
        auth_descriptor_withhold(fd);
    return fd;
}

static int close_socket(void *data, curl_socket_t fd) {
    (void)data;
    auth_descriptor_close(fd);
    return 0;
}

/* libcurl does not say which descriptor its wake-up has. It is one of those from `lowest` on: the one that
 * curl_multi_wakeup makes readable and curl_multi_poll reads empty. */
static void hide_wakeup(CURLM *multi, int lowest) {
    struct pollfd near[WAKEUP_NEAR];
    bool rang[WAKEUP_NEAR];
    nfds_t count = 0;
    for (int fd = lowest; fd < lowest + WAKEUP_NEAR; fd++)
        if (auth_descriptor_is_inherited(fd))
            near[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (count == 0)
        return;
    (void)curl_multi_wakeup(multi);
    (void)poll(near, count, 0);
    for (nfds_t i = 0; i < count; i++)
        rang[i] = (near[i].revents & POLLIN) != 0;
    (void)curl_multi_poll(multi, NULL, 0, 0, NULL);
    (void)poll(near, count, 0);
    for (nfds_t i = 0; i < count; i++)
        if (rang[i] && (near[i].revents & POLLIN) == 0)
            auth_descriptor_hide_pair(near[i].fd);
}

/* NULL where the pair of descriptors for the wake-up is not to be had, says errno: libcurl would go on
 * without a wake-up, for as long as the handle lives. */
static CURLM *new_multi(void) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return NULL;
    int lowest = auth_descriptor_keep(pair[0]);
    close(pair[1]);
    if (lowest < 0)
        return NULL;
    close(lowest);
    bool shielded = auth_descriptor_shield();
    CURLM *multi = curl_multi_init();
    if (multi != NULL) {
        hide_wakeup(multi, lowest);
        (void)curl_multi_setopt(multi, (CURLMoption)MULTI_QUICK_EXIT, 1L); /* from 8.20 on; see QUICK_EXIT */
    }
    if (shielded)
        auth_descriptor_unshield();
    return multi;
}

/* Hides the pair by which the thread of a resolver says that it is done. Whether libcurl waits for anything.
 */
static bool hide_resolver(CURLM *multi) {
    fd_set sets[3];
    int last = -1;
    for (int i = 0; i < 3; i++)
        FD_ZERO(&sets[i]);
    (void)curl_multi_fdset(multi, &sets[0], &sets[1], &sets[2], &last);
    for (int fd = 0; fd <= last; fd++)
        if (FD_ISSET(fd, &sets[0]) && auth_descriptor_is_inherited(fd))
            auth_descriptor_hide_pair(fd);
    return last >= 0;
}

static bool has_passed(CURL *easy, CURLINFO timer) {
    curl_off_t at_us = 0;
    return curl_easy_getinfo(easy, timer, &at_us) == CURLE_OK && at_us > 0;
}

/* libcurl 7.88 closes the connection to an address that refuses, and tries the next one only when it is
 * called again: as it waits for nothing then, at once. */
static CURLMcode perform(struct auth_transfer *transfer, int *running) {
    bool shielded = auth_descriptor_shield();
    CURLMcode error = curl_multi_perform(transfer->multi, running);
    bool connects = *running > 0 && (!transfer->ready || transfer->second != NULL);
    if (error == CURLM_OK && connects && !hide_resolver(transfer->multi))
        error = curl_multi_perform(transfer->multi, running);
    if (shielded)
        auth_descriptor_unshield();
    return error;
}

/* Replaces the handles, if there are any, by new ones. false: the former stay, and no descriptor is left
 * (EMFILE or ENFILE in errno) or no memory. */
static bool open_handles(struct auth_transfer *transfer) {
    errno = 0;
    struct auth_transfer fresh = {.multi = new_multi(), .easy = curl_easy_init()};
    int error = errno;
    if (fresh.multi == NULL || fresh.easy == NULL) {
        close_handles(&fresh);
        errno = error;
        return false;
    }
    close_handles(transfer);
    transfer->multi = fresh.multi;
    transfer->easy = fresh.easy;
    return true;
}

struct auth_transfer *auth_transfer_new(void) {
    struct auth_transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    transfer->reply.headers.plain = true;
    bool entered = auth_gate_enter(); /* while the process exits, without */
    bool opened = open_handles(transfer);
    if (entered)
        auth_gate_leave();
    if (!opened) {
        free(transfer);
        return NULL;
    }
    return transfer;
}

/* --- what libcurl calls --- */

static size_t take_body(char *bytes, size_t size, size_t count, void *data) {
    struct auth_transfer *transfer = data;
    size_t length = size * count;
    if (length > transfer->body_max - transfer->reply.body.length)
        transfer->verdict = AUTH_TRANSFER_REPLY;
    else if (!auth_secret_append(&transfer->reply.body, bytes, length))
        transfer->verdict = AUTH_TRANSFER_MEMORY;
    return transfer->verdict == AUTH_TRANSFER_OK ? length : 0;
}

/* Whether this refuses the second of two requests and the first may be the reason: the resource is being
 * changed or deleted. */
static bool is_refused_for_first(const struct auth_transfer *transfer, const CURL *easy, const char *line,
                                 size_t length) {
    const char *status = memchr(line, ' ', length);
    return transfer->changes && easy == transfer->second && transfer->heard == NULL && status != NULL &&
           status + 1 < line + length && status[1] >= '4';
}

/* The lines are counted, too, for libcurl keeps 300 kB of each reply and trailers without end. The first line
 * decides which of two requests is answered; the other one ends here. */
static size_t take_line(struct auth_transfer *transfer, const CURL *easy, const char *line, size_t length) {
    if (is_refused_for_first(transfer, easy, line, length))
        return 0;
    if (transfer->heard == NULL)
        transfer->heard = easy;
    if (transfer->heard != easy)
        return 0;
    transfer->header_bytes += length;
    if (transfer->header_bytes > AUTH_TRANSFER_HEADERS_MAX)
        transfer->verdict = AUTH_TRANSFER_REPLY;
    else if (transfer->ready && !auth_reply_add_line(&transfer->reply, line, length))
        transfer->verdict = AUTH_TRANSFER_MEMORY; /* before that they are a proxy's */
    return transfer->verdict == AUTH_TRANSFER_OK ? length : 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *data) {
    struct auth_transfer *transfer = data;
    return take_line(transfer, transfer->easy, line, size * count);
}

/* Of the second of two requests, which is the only one once the first is dropped. */
static size_t take_second_header(char *line, size_t size, size_t count, void *data) {
    struct auth_transfer *transfer = data;
    return take_line(transfer, transfer->second != NULL ? transfer->second : transfer->easy, line,
                     size * count);
}

/* The connection stands, TLS and tunnel included. No time that libcurl measures says so in every version. */
static int take_ready(void *data, char *address, char *local_address, int port, int local_port) {
    struct auth_transfer *transfer = data;
    (void)address, (void)local_address, (void)port, (void)local_port;
    transfer->ready = true;
    return CURL_PREREQFUNC_OK;
}

static int take_trace(CURL *easy, curl_infotype kind, char *text, size_t length, void *data) {
    struct auth_transfer *transfer = data;
    (void)easy;
    auth_reply_trace(&transfer->reply, (int)kind, text, length);
    return 0;
}

/* --- start --- */

#define SET(option, value)                                                                                   \
    if (error == CURLE_OK)                                                                                   \
    error = curl_easy_setopt(easy, option, value)

static CURLcode set_method(struct auth_transfer *transfer, const char *method) {
    CURL *easy = transfer->easy;
    CURLcode error = CURLE_OK;
    if (method != NULL && strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (method != NULL) {
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
    return error;
}

static bool add_header(struct auth_transfer *transfer, char *line) {
    struct curl_slist *longer = line != NULL ? curl_slist_append(transfer->headers, line) : NULL;
    free(line);
    if (longer != NULL)
        transfer->headers = longer;
    return longer != NULL;
}

/* As an option of libcurl it would be formatted twice for each request, a byte at a time. */
static bool add_user_agent(struct auth_transfer *transfer, const char *text) {
    char *line = NULL;
    return text == NULL || (asprintf(&line, "User-Agent: %s", text) >= 0 && add_header(transfer, line));
}

static bool make_headers(struct auth_transfer *transfer, const struct auth_request *request) {
    static const char usual[] = "Accept: application/json\nAccept-Encoding: identity";
    const char *rest = request->headers != NULL ? request->headers : usual;
    bool made = add_user_agent(transfer, request->user_agent);
    while (made && *rest != '\0') {
        size_t length = strcspn(rest, "\n");
        made = add_header(transfer, strndup(rest, length));
        rest += length + strspn(rest + length, "\n");
    }
    return made;
}

static void drop_headers(struct auth_transfer *transfer) {
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

/* With our own node before those. */
static struct curl_slist *all_headers(struct auth_transfer *transfer,
                                      const struct auth_secret *authorization) {
    if (authorization == NULL || authorization->length == 0)
        return transfer->headers;
    transfer->authorization =
        (struct curl_slist){.data = (char *)authorization->data, .next = transfer->headers};
    return &transfer->authorization;
}

static CURLcode set_transfer(struct auth_transfer *transfer, const struct auth_request *request) {
    CURL *easy = transfer->easy;
    CURLcode error = set_method(transfer, request->method);
    SET(CURLOPT_PROXY, request->proxy != NULL ? request->proxy : ""); /* NULL would read the environment */
    SET(CURLOPT_NOPROXY, request->proxy_exceptions != NULL ? request->proxy_exceptions : "");
    SET(CURLOPT_ERRORBUFFER, transfer->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_PROTOCOLS_STR, "https,http");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_FRESH_CONNECT, (long)request->no_repeat);
    SET(CURLOPT_FORBID_REUSE, (long)request->no_repeat);
    SET(CURLOPT_QUICK_EXIT, 1L); /* leaves a hung resolver's thread behind instead of waiting for it */
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, (void *)transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, (void *)transfer);
    SET(CURLOPT_PREREQFUNCTION, take_ready);
    SET(CURLOPT_PREREQDATA, (void *)transfer);
    if (request->trace) {
        SET(CURLOPT_VERBOSE, 1L);
        SET(CURLOPT_DEBUGFUNCTION, take_trace);
        SET(CURLOPT_DEBUGDATA, (void *)transfer);
    }
    if (request->connect_only) {
        SET(CURLOPT_CONNECT_ONLY, 1L);
        SET(CURLOPT_SSL_ENABLE_ALPN, 0L); /* it is not HTTP that will be spoken */
        SET(CURLOPT_UNIX_SOCKET_PATH, request->socket_path);
    }
    if (request->proxy != NULL) /* which is not sent our header lines */
        SET(CURLOPT_USERAGENT, request->user_agent);
    return error;
}

static bool has_body(const struct auth_request *request) {
    return request->body != NULL && request->body->data != NULL;
}

/* What differs from one call of a method to the next. */
static CURLcode set_call(struct auth_transfer *transfer, const struct auth_request *request) {
    CURL *easy = transfer->easy;
    CURLcode error = CURLE_OK;
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout_ms);
    SET(CURLOPT_HTTPHEADER, all_headers(transfer, request->authorization));
    if (has_body(request)) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body->length);
        SET(CURLOPT_POSTFIELDS, (const char *)request->body->data);
    }
    return error;
}

/* libcurl reads files of trust and identity when it connects, keeps authorities for a day, and a kept
 * connection or TLS session asks for none of them again. With new handles no authority, session or connection
 * outlives the file that it depends on. */
static bool follow_files(struct auth_transfer *transfer, const struct auth_request *request,
                         const struct auth_trust *trust) {
    bool own = trust->file == NULL && trust->path == NULL;
    const char *key = request->key_file != NULL ? request->key_file : request->cert_file;
    const char *const files[] = {own || trust->partial ? own_bundle : trust->file, request->crl_file,
                                 request->cert_file, request->key_file};
    uint64_t fingerprint =
        auth_trust_fingerprint(files, sizeof files / sizeof *files, own ? own_folder : trust->path);
    if (transfer->fingerprint == fingerprint)
        return true;
    if (transfer->fingerprint != 0 && !open_handles(transfer))
        return false;
    transfer->key_encrypted = key != NULL && auth_trust_is_encrypted(key);
    transfer->fingerprint = fingerprint;
    return true;
}

/* These two and nothing else. NULL takes back where libcurl itself would look; where it does not, the file is
 * one of the folder's, and the folder one that has none. */
static CURLcode set_trust(CURL *easy, const struct auth_trust *trust) {
    char found[PATH_MAX];
    const char *file = trust->file;
    const char *path = trust->path;
    CURLcode error = CURLE_OK;
    if (keeps_own_trust && file == NULL)
        file = auth_trust_find(path, found) ? found
                                            : path; /* which can't be read as a file: no server is trusted */
    if (keeps_own_trust && path == NULL)
        path = "/dev/null";
    SET(CURLOPT_CAINFO, file);
    SET(CURLOPT_CAPATH, path);
    SET(CURLOPT_PROXY_CAINFO, file);
    SET(CURLOPT_PROXY_CAPATH, path);
    return error;
}

static CURLcode set_tls(struct auth_transfer *transfer, const struct auth_request *request,
                        const struct auth_trust *trust) {
    CURL *easy = transfer->easy;
    CURLcode error = CURLE_OK;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (error == CURLE_OK && (trust->file != NULL || trust->path != NULL))
        error = set_trust(easy, trust);
    SET(CURLOPT_CRLFILE, request->crl_file);
    SET(CURLOPT_SSLCERT, request->cert_file);
    SET(CURLOPT_SSLKEY, request->key_file);
    SET(CURLOPT_KEYPASSWD, "no password"); /* without one OpenSSL would ask for it on the terminal */
    return error;
}

static uint64_t fingerprint(const struct auth_transfer *transfer, const struct auth_request *request,
                            const struct auth_trust *trust) {
    const char *const texts[] = {trust->file,
                                 request->method,
                                 request->headers,
                                 request->user_agent,
                                 request->proxy,
                                 request->proxy_exceptions,
                                 trust->partial ? "partial" : NULL,
                                 request->no_repeat ? "once" : NULL,
                                 request->trace ? "trace" : NULL,
                                 request->connect_only ? "connect" : NULL,
                                 request->socket_path,
                                 has_body(request) ? "body" : NULL}; /* which only a reset takes back */
    uint64_t hash = transfer->fingerprint;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] != NULL)
            hash = auth_secret_hash(hash + i, texts[i], strlen(texts[i]));
    return hash;
}

/* Thirty options, which most calls have in common with the call before. */
static CURLcode set_options(struct auth_transfer *transfer, const struct auth_request *request,
                            const struct auth_trust *trust) {
    uint64_t options = fingerprint(transfer, request, trust);
    if (options == transfer->options)
        return CURLE_OK;
    transfer->options = 0;
    curl_easy_reset(transfer->easy);
    drop_headers(transfer);
    CURLcode error = make_headers(transfer, request) ? set_transfer(transfer, request) : CURLE_OUT_OF_MEMORY;
    if (error == CURLE_OK)
        error = set_tls(transfer, request, trust);
    if (error == CURLE_OK)
        transfer->options = options;
    return error;
}

static bool fail(struct auth_transfer *transfer, CURLcode error) {
    struct auth_reply *reply = &transfer->reply;
    transfer->options = 0; /* a reset takes back what libcurl was in the middle of */
    const char *text = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(error);
    if (strncmp(text, "Unsupported proxy ", 18) == 0) { /* it goes on with the URL and the password in it */
        text = "the proxy (option proxy, or the environment's) is not a URL that libcurl understands";
        transfer->verdict = AUTH_TRANSFER_CONFIG;
    } else if (transfer->verdict == AUTH_TRANSFER_REPLY) {
        text = "the reply is larger than it may be";
    }
    reply->failure =
        transfer->verdict != AUTH_TRANSFER_OK ? transfer->verdict : auth_reply_classify((int)error, text);
    (void)snprintf(reply->message, sizeof reply->message, "%s", text);
    return false;
}

/* libcurl would only say that it could not use the key. */
static bool refuse_key(struct auth_transfer *transfer, const char *option) {
    (void)snprintf(
        transfer->error, sizeof transfer->error,
        "the private key in %s is encrypted and no password is ever asked for; write it without one: "
        "openssl pkey -in OLD -out NEW",
        option);
    return fail(transfer, CURLE_SSL_CERTPROBLEM);
}

static bool refuse_handles(struct auth_transfer *transfer) {
    if (errno != EMFILE && errno != ENFILE)
        return fail(transfer, CURLE_OUT_OF_MEMORY);
    (void)snprintf(transfer->error, sizeof transfer->error, "no descriptor is left for a connection");
    return fail(transfer, CURLE_BAD_FUNCTION_ARGUMENT);
}

static void clear(struct auth_transfer *transfer) {
    struct auth_reply *reply = &transfer->reply;
    auth_secret_empty(&reply->headers);
    auth_secret_empty(&reply->body);
    auth_secret_empty(&reply->trace);
    memset(reply, 0, offsetof(struct auth_reply, headers)); /* all but these three */
    reply->date_s = -1;
    reply->retry_after_s = -1;
    transfer->header_bytes = 0;
    transfer->heard = NULL;
    transfer->second_at_ns = 0;
    transfer->ready = false;
    transfer->verdict = AUTH_TRANSFER_OK;
    transfer->error[0] = '\0';
    transfer->is_clear = true;
}

static bool start(struct auth_transfer *transfer, const struct auth_request *request) {
    struct auth_trust trust = {.file = request->ca_file, .path = request->ca_path};
    if (!transfer->is_clear)
        auth_transfer_cancel(transfer);
    transfer->is_clear = false;
    auth_trust_complete(&trust);
    if (!follow_files(transfer, request, &trust))
        return refuse_handles(transfer);
    if (transfer->key_encrypted)
        return refuse_key(transfer, request->key_file != NULL ? "key_file" : "cert_file");
    transfer->changes = request->method != NULL &&
                        (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "DELETE") == 0);
    transfer->body_max = request->body_max > 0 ? request->body_max : AUTH_TRANSFER_BODY_MAX;
    if (transfer->reply.body.plain != (request->body_max > 0))
        auth_secret_wipe(&transfer->reply.body);
    transfer->reply.body.plain = request->body_max > 0;
    transfer->partial_trust = trust.partial;
    transfer->connect_only = request->connect_only;
    transfer->timeout_ms = request->timeout_ms;
    CURLcode error = set_options(transfer, request, &trust);
    if (error == CURLE_OK)
        error = set_call(transfer, request);
    if (error != CURLE_OK)
        return fail(transfer, error);
    transfer->reply.sent = auth_clock_now(&transfer->clock);
    if (!request->no_repeat)
        transfer->second_at_ns =
            transfer->reply.sent.boot_ns + (int64_t)request->timeout_ms * (AUTH_NS_PER_MS / SILENCE_PART);
    if (curl_multi_add_handle(transfer->multi, transfer->easy) != CURLM_OK)
        return fail(transfer, CURLE_OUT_OF_MEMORY);
    transfer->under_way = true;
    return true;
}

/* --- a second request where a kept connection is silent --- */

/* Whether the request went out on a connection that was there before, and nothing has come back. */
static bool is_silent(const struct auth_transfer *transfer) {
    long connections = 0;
    return transfer->ready && transfer->heard == NULL &&
           curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections) == CURLE_OK &&
           connections == 0;
}

/* The connection may be dead, or the server slow: both requests have the rest of the time. */
static void start_second(struct auth_transfer *transfer) {
    int64_t spent_ns = auth_clock_boot_ns(&transfer->clock) - transfer->reply.sent.boot_ns;
    long left_ms = transfer->timeout_ms - (long)(spent_ns / AUTH_NS_PER_MS);
    CURL *easy = left_ms > 0 ? curl_easy_duphandle(transfer->easy) : NULL;
    CURLcode error = easy == NULL ? CURLE_OUT_OF_MEMORY : CURLE_OK;
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's are no reply */
    SET(CURLOPT_HEADERFUNCTION, take_second_header);
    SET(CURLOPT_TIMEOUT_MS, left_ms);
    if (error == CURLE_OK && curl_multi_add_handle(transfer->multi, easy) == CURLM_OK)
        transfer->second = easy;
    else
        curl_easy_cleanup(easy);
    transfer->reply.sent_twice = transfer->second != NULL;
}
#undef SET

static void look_for_silence(struct auth_transfer *transfer) {
    if (transfer->second_at_ns == 0 || auth_clock_boot_ns(&transfer->clock) < transfer->second_at_ns)
        return;
    transfer->second_at_ns = 0;
    if (is_silent(transfer))
        start_second(transfer);
}

/* One of two requests; its connection is closed. */
static void drop(struct auth_transfer *transfer, CURL *easy) {
    if (easy == transfer->easy)
        transfer->easy = transfer->second;
    transfer->second = NULL;
    transfer->options = 0; /* the second has others */
    transfer->error[0] = '\0';
    curl_multi_remove_handle(transfer->multi, easy);
    curl_easy_cleanup(easy);
}

/* Nothing is under way any more. */
static void stop(struct auth_transfer *transfer) {
    if (transfer->second != NULL)
        drop(transfer, transfer->second);
    if (transfer->under_way)
        curl_multi_remove_handle(transfer->multi, transfer->easy);
    transfer->under_way = false;
}

/* Whether the request is over. Of two requests the one whose reply has begun decides; before that, one that
 * fails leaves the other under way. */
static bool is_over(struct auth_transfer *transfer, CURLcode *result) {
    int left = 0;
    const CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(transfer->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        *result = message->data.result;
        if (transfer->second == NULL)
            return true;
        if (transfer->heard == easy) {
            drop(transfer, easy == transfer->second ? transfer->easy : transfer->second);
            return true;
        }
        drop(transfer, easy);
    }
    return false;
}

/* --- its steps --- */

/* The system's folder does not know the server's authority; perhaps its bundle, libcurl's own default, does:
 * another connection with both. Nothing was sent yet. */
static bool try_bundle(struct auth_transfer *transfer) {
    CURL *easy = transfer->easy;
    char *bundle = NULL;
    curl_off_t spent_us = 0;
    curl_easy_getinfo(easy, CURLINFO_CAINFO, &bundle);
    curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &spent_us);
    long left_ms = transfer->timeout_ms - (long)(spent_us / 1000);
    transfer->partial_trust = false;
    transfer->options = 0;
    if (bundle == NULL || left_ms < 1 || curl_easy_setopt(easy, CURLOPT_CAINFO, bundle) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, bundle) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left_ms) != CURLE_OK)
        return false;
    curl_multi_remove_handle(transfer->multi, easy);
    transfer->error[0] = '\0';
    transfer->under_way = curl_multi_add_handle(transfer->multi, easy) == CURLM_OK;
    return transfer->under_way;
}

/* Whether there was a TCP connection is known from their number alone, in every version: the time may include
 * TLS, and the addresses may be missing where TLS failed. */
static void tell_way(struct auth_transfer *transfer) {
    struct auth_reply *reply = &transfer->reply;
    long connect_status = 0;
    long connections = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections);
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &reply->os_error);
    reply->proxy_status = connect_status >= 300 ? connect_status : 0;
    if (transfer->ready)
        reply->reached = AUTH_TRANSFER_SERVER;
    else if (connect_status >= 200 && connect_status < 300)
        reply->reached = AUTH_TRANSFER_TUNNEL;
    else if (connections > 0)
        reply->reached = AUTH_TRANSFER_CONNECTION;
    else if (has_passed(transfer->easy, CURLINFO_NAMELOOKUP_TIME_T))
        reply->reached = AUTH_TRANSFER_ADDRESS;
}

/* Whether a line of the reply is over libcurl's own limits. Before TOO_LARGE its word for that was lack of
 * memory, as code or, of a trailer, as text. */
static bool is_too_large(const struct auth_transfer *transfer, CURLcode error) {
    if (has_too_large || transfer->verdict != AUTH_TRANSFER_OK)
        return error == (CURLcode)TOO_LARGE;
    return (error == CURLE_OUT_OF_MEMORY && has_passed(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T)) ||
           (error == CURLE_RECV_ERROR && strcmp(transfer->error, "Out of memory in chunked-encoding") == 0);
}

static bool step(struct auth_transfer *transfer) {
    int running = 0;
    CURLcode result = CURLE_OUT_OF_MEMORY;
    CURLMcode error = perform(transfer, &running);
    if (!is_over(transfer, &result) && error == CURLM_OK && running > 0) {
        look_for_silence(transfer); /* after what has come meanwhile is read: the caller may have been away */
        return false;
    }
    if (result == CURLE_PEER_FAILED_VERIFICATION && transfer->partial_trust && try_bundle(transfer))
        return false;
    if (is_too_large(transfer, result))
        transfer->verdict = AUTH_TRANSFER_REPLY;
    if (result != CURLE_OK)
        fail(transfer, result);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->reply.status);
    tell_way(transfer);
    if (transfer->reply.failure == AUTH_TRANSFER_NETWORK && transfer->reply.proxy_status >= 400)
        transfer->reply.failure = AUTH_TRANSFER_CONNECT; /* the proxy said no */
    if (!transfer->connect_only || result != CURLE_OK)
        stop(transfer);
    return true;
}

void auth_transfer_wait(struct auth_transfer *transfer, int wait_ms, const struct auth_notifier *cancel) {
    struct curl_waitfd woken = {.fd = cancel != NULL ? cancel->fd : -1, .events = CURL_WAIT_POLLIN};
    if (transfer->second_at_ns > 0) {
        int64_t left_ns = transfer->second_at_ns - auth_clock_boot_ns(&transfer->clock);
        int64_t left_ms = left_ns > 0 ? left_ns / AUTH_NS_PER_MS + 1 : 0;
        wait_ms = left_ms < wait_ms ? (int)left_ms : wait_ms;
    }
    (void)curl_multi_poll(transfer->multi, &woken, woken.fd >= 0 ? 1 : 0, wait_ms, NULL);
}

static void finish(struct auth_transfer *transfer) {
    transfer->reply.received = auth_clock_now(&transfer->clock);
    auth_reply_read_headers(&transfer->reply, &transfer->latest_date);
}

/* --- all of that, within the gate --- */

/* The libraries must not be used any more. false. */
static bool say_exiting(struct auth_transfer *transfer) {
    clear(transfer);
    transfer->reply.failure = AUTH_TRANSFER_NETWORK;
    (void)snprintf(transfer->reply.message, sizeof transfer->reply.message, "the process is exiting");
    return false;
}

bool auth_transfer_start(struct auth_transfer *transfer, const struct auth_request *request,
                         const struct auth_clock *clock) {
    transfer->clock = *clock;
    if (!auth_gate_enter())
        return say_exiting(transfer);
    bool started = start(transfer, request);
    if (!started)
        finish(transfer);
    auth_gate_leave();
    return started;
}

bool auth_transfer_step(struct auth_transfer *transfer) {
    if (!transfer->under_way)
        return true;
    if (!auth_gate_enter())
        return !say_exiting(transfer);
    bool over = step(transfer);
    if (over)
        finish(transfer);
    auth_gate_leave();
    return over;
}

/* What libcurl would do at its own end of time. */
static void give_up(struct auth_transfer *transfer) {
    if (!auth_gate_enter()) {
        (void)say_exiting(transfer);
        return;
    }
    tell_way(transfer);
    stop(transfer);
    transfer->error[0] = '\0';
    fail(transfer, CURLE_OPERATION_TIMEDOUT);
    finish(transfer);
    auth_gate_leave();
}

struct auth_reply *auth_transfer_run(struct auth_transfer *transfer, const struct auth_deadline *deadline) {
    struct auth_deadline pause = *deadline;
    pause.at_ns = deadline->pause_at_ns > 0 ? deadline->pause_at_ns : INT64_MAX;
    while (!auth_transfer_step(transfer)) {
        if (auth_deadline_is_over(deadline)) {
            give_up(transfer);
            break;
        }
        int left_ms = auth_deadline_left_ms(&pause, STEP_MS);
        if (left_ms == 0)
            return NULL;
        auth_transfer_wait(transfer, auth_deadline_left_ms(deadline, left_ms), deadline->cancel);
    }
    return &transfer->reply;
}

struct auth_reply *auth_transfer_perform(struct auth_transfer *transfer, const struct auth_request *request,
                                         const struct auth_deadline *deadline) {
    if (request == NULL)
        return auth_transfer_run(transfer, deadline);
    struct auth_request limited = *request;
    bool in_time = !auth_deadline_is_over(deadline);
    limited.timeout_ms = in_time ? auth_deadline_left_ms(deadline, INT_MAX) : 1;
    bool started = auth_transfer_start(transfer, &limited, deadline->clock);
    if (started && in_time)
        return auth_transfer_run(transfer, deadline);
    if (started)
        give_up(transfer);
    return &transfer->reply;
}

const struct auth_reply *auth_transfer_reply(const struct auth_transfer *transfer) {
    return &transfer->reply;
}

/* --- the connection alone --- */

/* Whether it goes on. */
static bool moved(struct auth_transfer *transfer, CURLcode error, size_t *count) {
    if (error == CURLE_AGAIN)
        *count = 0;
    if (error == CURLE_AGAIN || (error == CURLE_OK && *count > 0))
        return true;
    return fail(transfer, error == CURLE_OK ? CURLE_GOT_NOTHING : error);
}

bool auth_transfer_send(struct auth_transfer *transfer, const void *bytes, size_t length, size_t *count) {
    return moved(transfer, curl_easy_send(transfer->easy, bytes, length, count), count);
}

bool auth_transfer_receive(struct auth_transfer *transfer, void *bytes, size_t size, size_t *count) {
    return moved(transfer, curl_easy_recv(transfer->easy, bytes, size, count), count);
}

int auth_transfer_descriptor(const struct auth_transfer *transfer) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
    return fd;
}

/* --- the end --- */

void auth_transfer_cancel(struct auth_transfer *transfer) {
    if (!auth_gate_enter())
        return;
    stop(transfer);
    clear(transfer);
    auth_gate_leave();
}

void auth_transfer_free(struct auth_transfer *transfer) {
    if (transfer == NULL || !auth_gate_enter())
        return;
    auth_transfer_cancel(transfer);
    close_handles(transfer); /* first: libcurl may have to say something */
    auth_secret_wipe(&transfer->reply.headers);
    auth_secret_wipe(&transfer->reply.body);
    auth_secret_wipe(&transfer->reply.trace);
    drop_headers(transfer);
    free(transfer);
    auth_gate_leave();
}

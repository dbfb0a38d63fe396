/* Against a child process that answers one connection after the other with fixed bytes, over plain HTTP on
 * the loopback address. TLS, proxies and rude servers are the business of the Lua specs.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "http/transfer.h"
#include "server.h"
#include "worker/gate.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOMENT_NS = 5 * MS };

static struct auth_clock wall;
static struct auth_secret body;
static struct auth_notifier cancel;

/* The allocation that fails, counted from 1, and all after it; 0: none. One count for libcurl, one for us. */
static long curl_fails_at;
static long secret_fails_at;

static bool fails(long *at) {
    return *at > 0 && (*at == 1 || --*at == 0);
}

static void *scarce_malloc(size_t size) {
    return fails(&curl_fails_at) ? NULL : malloc(size);
}

static void *scarce_calloc(size_t count, size_t size) {
    return fails(&curl_fails_at) ? NULL : calloc(count, size);
}

static void *scarce_realloc(void *old, size_t size) {
    return fails(&curl_fails_at) ? NULL : realloc(old, size);
}

static char *scarce_strdup(const char *text) {
    return fails(&curl_fails_at) ? NULL : strdup(text);
}

/* In place of libsodium's, for all that is linked into this test. */
void *sodium_malloc(size_t size) {
    void *(*real)(size_t) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "sodium_malloc");
    return fails(&secret_fails_at) ? NULL : real(size);
}

static struct auth_request request_to(const char *url) {
    return (struct auth_request){
        .url = url, .user_agent = "test", .body = &body, .timeout_ms = 10000, .connect_timeout_ms = 10000};
}

static const struct auth_reply *fetch(struct auth_transfer *transfer, const struct auth_request *request) {
    if (auth_transfer_start(transfer, request, &wall))
        while (!auth_transfer_step(transfer))
            auth_transfer_wait(transfer, 1000, NULL);
    return auth_transfer_reply(transfer);
}

static void brings_status_headers_and_body(void **state) {
    (void)state;
    struct server server =
        serve("HTTP/1.1 429 Slow down\r\nContent-Type:  application/json \r\n"
              "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n"
              "Location: https://elsewhere.example/x?secret=1\r\nContent-Length: 4\r\n\r\nbody",
              0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    int64_t before = auth_clock_boot_ns(&wall);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->status, 429);
    assert_int_equal(reply->date_s, 784111777);
    assert_int_equal(reply->retry_after_s, 60);
    assert_string_equal(reply->content_type, "application/json");
    assert_string_equal(reply->location_host, "elsewhere.example");
    assert_content(reply->body, "body");
    assert_true(reply->sent.boot_ns >= before && reply->received.boot_ns >= reply->sent.boot_ns);
    auth_transfer_cancel(transfer);
    assert_int_equal(reply->body.length, 0);
    assert_memory_equal(reply->body.data, "\0\0\0\0", 4);
    auth_transfer_free(transfer);
    stop(server);
}

/* --- the environment --- */

/* So that libcurl finds it. */
#define EXPORTED __attribute__((visibility("default")))

static const char *const variables[] = {"http_proxy", "https_proxy",   "all_proxy",
                                        "ALL_PROXY",  "HTTPS_PROXY",   "no_proxy",
                                        "NO_PROXY",   "SSL_CERT_FILE", "SSL_CERT_DIR"};

static void clear_environment(void) {
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
}

/* As texts; "" is NULL. */
static void check_environment(const char *url, const char *proxy, const char *expected,
                              const char *expected_exceptions) {
    struct auth_request request = {.url = url, .proxy = proxy};
    assert_true(auth_request_complete(&request));
    assert_string_equal(request.proxy != NULL ? request.proxy : "", expected);
    assert_string_equal(request.proxy_exceptions != NULL ? request.proxy_exceptions : "",
                        expected_exceptions);
    auth_request_free(&request);
    assert_null(request.proxy);
    assert_null(request.proxy_exceptions);
    auth_request_free(&request);
}

static void reads_the_proxy_from_the_environment(void **state) {
    (void)state;
    check_environment("https://a.example/", NULL, "", "");
    setenv("ALL_PROXY", "http://all", 1);
    setenv("https_proxy", "", 1);
    setenv("NO_PROXY", "b.example", 1);
    check_environment("https://a.example/", NULL, "http://all", "b.example");
    setenv("https_proxy", "http://small", 1);
    check_environment("https://a.example/", NULL, "http://small", "b.example");
    check_environment("https://a.example/", "http://given", "http://given", "b.example");
    check_environment("https://a.example/", "", "", "b.example");
    check_environment("https://127.0.0.1:8080/", NULL, "", "*");
    check_environment("https://localhost/", "http://given", "http://given", "b.example");
    check_environment("http://127.0.0.1/", "http://given", "", "*"); /* loopback is asked itself */
    clear_environment();
}

static void reads_where_openssl_finds_trust(void **state) {
    (void)state;
    struct auth_request request = {.url = "https://a.example/"};
    setenv("SSL_CERT_FILE", "/a/file", 1);
    setenv("SSL_CERT_DIR", "", 1);
    assert_true(auth_request_complete(&request));
    assert_string_equal(request.ca_file, "/a/file");
    assert_null(request.ca_path);
    auth_request_free(&request);
    setenv("SSL_CERT_DIR", "/a/folder", 1);
    request.url = "https://a.example/";
    assert_true(auth_request_complete(&request));
    assert_string_equal(request.ca_path, "/a/folder");
    auth_request_free(&request);
    clear_environment();
}

static atomic_bool watched;
static atomic_int lookups; /* of variables of ours */

/* In place of the C library's, for all that is linked into this test, libcurl included. */
EXPORTED char *getenv(const char *name) { /* NOLINT: the name is the system's */
    extern char **environ;                /* NOLINT: the system's */
    size_t length = strlen(name);
    if (atomic_load(&watched))
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
            if (strcmp(name, variables[i]) == 0)
                atomic_fetch_add(&lookups, 1);
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

/* The environment changes while the request is under way, and is read by nobody. */
static void reads_the_environment_nowhere_else(void **state) {
    (void)state;
    struct server server =
        serve("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 0); /* a proxy that refuses */
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to("https://192.0.2.1/");
    setenv("https_proxy", server.url, 1);
    atomic_store(&watched, true);
    assert_true(auth_request_complete(&request));
    assert_true(atomic_load(&lookups) > 0);
    atomic_store(&lookups, 0);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("SSL_CERT_FILE", "/no/such/file", 1);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_CONNECT);
    assert_int_equal(reply->proxy_status, 403);
    auth_request_free(&request);
    request = request_to("https://192.0.2.1/"); /* not completed: without proxy */
    reply = fetch(transfer, &request);
    assert_int_equal(reply->proxy_status, 0);
    atomic_store(&watched, false);
    assert_int_equal(atomic_load(&lookups), 0);
    clear_environment();
    auth_transfer_free(transfer);
    stop(server);
}

static void takes_trust_from_what_was_read(void **state) {
    (void)state;
    struct server server = serve("", HANG);
    char secure[72];
    (void)snprintf(secure, sizeof secure, "https%s", server.url + 4);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(secure);
    setenv("SSL_CERT_FILE", "/no/such/file", 1);
    assert_true(auth_request_complete(&request));
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_CONFIG);
    auth_request_free(&request);
    request = request_to(secure);
    request.timeout_ms = 50;
    request.ca_path = "/etc/ssl/certs"; /* given, and alone */
    assert_true(auth_request_complete(&request));
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_TIMEOUT);
    auth_request_free(&request);
    clear_environment();
    auth_transfer_free(transfer);
    stop(server);
}

static void takes_only_the_last_replys_headers(void **state) {
    (void)state;
    struct server server =
        serve("HTTP/1.1 103 Early Hints\r\nRetry-After: 3600\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
              "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nX-Long: a \r\n\t "
              "b\r\nno colon\r\n\r\n4\r\nbody\r\n0\r\nRetry-After: 7\r\n\r\n",
              0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->status, 503);
    assert_int_equal(reply->retry_after_s, -1);
    assert_int_equal(reply->date_s, -1);
    assert_content(reply->headers, "Transfer-Encoding: chunked\nX-Long: a b\n");
    auth_transfer_free(transfer);
    stop(server);
}

static int64_t wait_told(const char *value) {
    char head[128];
    (void)snprintf(head, sizeof head, "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\n\r\n", value);
    struct server server = serve(head, 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    int64_t seconds = fetch(transfer, &request)->retry_after_s;
    auth_transfer_free(transfer);
    stop(server);
    return seconds;
}

/* The connection breaks before the reply. */
static void takes_no_headers_of_a_proxy_or_of_an_interim_reply(void **state) {
    (void)state;
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\nRetry-After: 3600\r\n\r\n",
                                        "HTTP/1.1 103 Early Hints\r\nRetry-After: 3600\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        struct server server = serve(heads[i], 0);
        struct auth_transfer *transfer = auth_transfer_new();
        struct auth_request request = request_to(i == 0 ? "https://server.test/token" : server.url);
        request.proxy = i == 0 ? server.url : NULL;
        const struct auth_reply *reply = fetch(transfer, &request);
        assert_int_equal(reply->failure, AUTH_TRANSFER_NETWORK);
        assert_int_equal(reply->retry_after_s, -1);
        assert_int_equal(reply->headers.length, 0);
        auth_transfer_free(transfer);
        stop(server);
    }
}

static void takes_a_wait_in_seconds(void **state) {
    (void)state;
    assert_int_equal(wait_told("2"), 2);
    assert_int_equal(wait_told("2.0"), 2);
    assert_int_equal(wait_told("2.01"), 3);
    assert_int_equal(wait_told("7200"), 7200);
    assert_int_equal(wait_told("99999999999"), INT32_MAX);
    assert_int_equal(wait_told("99999999999.5"), INT32_MAX);
    static const char *const none[] = {"-2", ".5", "2.0.0", "2,0", "2e3", "0x2", "soon"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(wait_told(none[i]), -1);
}

static void finds_the_bearer_challenge(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\n"
                                 "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
                                 "WWW-Authenticate: Negotiate\r\n\r\n",
                                 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    assert_string_equal(fetch(transfer, &request)->challenge, "Bearer error=\"invalid_token\"");
    auth_transfer_free(transfer);
    stop(server);
}

static void says_what_was_not_there(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 204 Nothing\r\n\r\n", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->status, 204);
    assert_int_equal(reply->date_s, -1);
    assert_int_equal(reply->retry_after_s, -1);
    assert_string_equal(reply->content_type, "");
    assert_int_equal(reply->body.length, 0);
    auth_transfer_free(transfer);
    stop(server);
}

static void check_failure(const char *head, long filler, enum auth_transfer_failure expected) {
    struct server server = serve(head, filler);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, expected);
    assert_true(reply->message[0] != '\0');
    auth_transfer_free(transfer);
    stop(server);
}

static void bounds_body_and_headers(void **state) {
    (void)state;
    check_failure("HTTP/1.1 200 OK\r\n\r\n", 10 * AUTH_TRANSFER_BODY_MAX, AUTH_TRANSFER_REPLY);
    check_failure("HTTP/1.1 200 OK\r\nX: ", 10 * AUTH_TRANSFER_HEADERS_MAX, AUTH_TRANSFER_REPLY);
    check_failure("HTTP/1.1 200 ", 10 * AUTH_TRANSFER_HEADERS_MAX, AUTH_TRANSFER_REPLY);
    check_failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ",
                  10 * AUTH_TRANSFER_HEADERS_MAX, AUTH_TRANSFER_REPLY);
    struct server server = serve("HTTP/1.1 200 OK\r\n\r\n", AUTH_TRANSFER_BODY_MAX);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->body.length, AUTH_TRANSFER_BODY_MAX);
    auth_transfer_free(transfer);
    stop(server);
}

static void tells_lack_of_memory_from_a_large_reply(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nX: y\r\n\r\n", AUTH_TRANSFER_BODY_MAX);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    secret_fails_at = 3;
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_MEMORY);
    secret_fails_at = 0;
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_OK);
    auth_transfer_free(transfer);
    stop(server);
}

static void tells_lack_of_memory_in_libcurl(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n{}", 0);
    int counts[AUTH_TRANSFER_MEMORY + 1] = {0};
    for (long at = 1; counts[AUTH_TRANSFER_OK] == 0; at++) {
        struct auth_transfer *transfer = auth_transfer_new();
        struct auth_request request = request_to(server.url);
        curl_fails_at = at;
        counts[fetch(transfer, &request)->failure]++;
        curl_fails_at = 0;
        assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_OK);
        auth_transfer_free(transfer);
    }
    assert_true(counts[AUTH_TRANSFER_MEMORY] > 10);
    assert_int_equal(counts[AUTH_TRANSFER_NETWORK], 0);
    if (curl_version_info(CURLVERSION_NOW)->version_num >= 0x080600)
        assert_int_equal(counts[AUTH_TRANSFER_REPLY], 0);
    else /* has one code for both once the reply has begun */
        assert_true(counts[AUTH_TRANSFER_REPLY] < 10);
    stop(server);
}

/* What the server got for it, as text. */
static const char *echo(struct auth_transfer *transfer, const struct auth_request *request) {
    const struct auth_reply *reply = fetch(transfer, request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    return (const char *)reply->body.data;
}

static void sends_method_headers_and_body(void **state) {
    (void)state;
    struct auth_secret line = {0};
    struct server server = serve(NULL, 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    assert_true(auth_secret_append(&line, "Authorization: Bearer t", 23));
    const char *sent = echo(transfer, &request);
    assert_non_null(strstr(sent, "POST /token HTTP/1.1\r\n"));
    assert_non_null(strstr(sent, "\r\nAccept: application/json\r\n"));
    assert_non_null(strstr(sent, "\r\nAccept-Encoding: identity\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    request.method = "PATCH";
    request.headers = "Accept: text/plain\nX-Empty;\nContent-Type:";
    request.authorization = &line;
    sent = echo(transfer, &request);
    assert_non_null(strstr(sent, "PATCH /token HTTP/1.1\r\n"));
    assert_non_null(strstr(sent, "\r\nAccept: text/plain\r\n"));
    assert_non_null(strstr(sent, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(sent, "\r\nAuthorization: Bearer t\r\n"));
    assert_null(strstr(sent, "Content-Type"));
    assert_non_null(strstr(sent, "grant_type=client_credentials"));
    request.body = NULL;
    request.method = "DELETE";
    sent = echo(transfer, &request);
    assert_non_null(strstr(sent, "DELETE /token HTTP/1.1\r\n"));
    assert_null(strstr(sent, "Content-Length"));
    request.method = NULL;
    assert_non_null(strstr(echo(transfer, &request), "GET /token HTTP/1.1\r\n"));
    auth_transfer_free(transfer);
    auth_secret_wipe(&line);
    stop(server);
}

/* Options stay on the handle from one request to the next. */
static void sends_of_each_request_what_it_has(void **state) {
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "GET", "PUT", "GET"};
    struct auth_secret line = {0};
    struct server server = serve(NULL, 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_secret *form = request.body;
    request.authorization = &line;
    for (int i = 0; i < 20; i++) {
        const char *method = methods[i % 5];
        char expected[64];
        auth_secret_truncate(&line, 0);
        (void)snprintf(expected, sizeof expected, "Authorization: Bearer t%d", i);
        assert_true(auth_secret_append(&line, expected, strlen(expected)));
        request.method = method;
        request.body = i % 5 == 3 ? form : NULL;
        request.headers = i % 3 == 0 ? "X-Own: 1" : NULL;
        request.user_agent = i % 4 == 0 ? "one" : "two";
        request.no_repeat = i % 7 == 0;
        if (strcmp(method, "HEAD") == 0) {
            assert_int_equal(fetch(transfer, &request)->body.length, 0);
            continue;
        }
        const char *sent = echo(transfer, &request);
        assert_memory_equal(sent, method, strlen(method));
        assert_non_null(strstr(sent, expected));
        assert_int_equal(strstr(sent, "X-Own: 1") != NULL, i % 3 == 0);
        assert_int_equal(strstr(sent, "Accept: application/json") != NULL, i % 3 != 0);
        assert_non_null(strstr(sent, i % 4 == 0 ? "User-Agent: one\r\n" : "User-Agent: two\r\n"));
        assert_int_equal(strstr(sent, "grant_type=client_credentials") != NULL, i % 5 == 3);
    }
    auth_transfer_free(transfer);
    auth_secret_wipe(&line);
    stop(server);
}

static void traces_without_secrets(void **state) {
    (void)state;
    static const char *const expected[] = {"* ",
                                           "> POST /token HTTP/1.1\n",
                                           "> Authorization: [hidden]\n",
                                           "> X-Api-Key: [hidden]\n",
                                           "> X-Own: 1\n",
                                           "> X-Auth: [hidden]\n",
                                           "< HTTP/1.1 401 No\n",
                                           "< WWW-Authenticate: Bearer\n",
                                           "< Set-Cookie: [hidden]\n",
                                           "< X-Last: z\n"};
    struct auth_secret line = {0};
    struct server server =
        serve("HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: hush\r\n\thush\r\nX-Last: "
              "z\r\nContent-Length: 4\r\n\r\nhush",
              0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    assert_true(auth_secret_append(&line, "Authorization: Bearer hush", 26));
    request.authorization = &line;
    request.headers = "X-Api-Key: hush\nX-Auth: hush\nX-Own: 1";
    assert_int_equal(fetch(transfer, &request)->trace.length, 0);
    request.trace = true;
    for (int i = 0; i < 2; i++) {
        const char *trace = (const char *)fetch(transfer, &request)->trace.data;
        for (size_t j = 0; j < sizeof expected / sizeof *expected; j++)
            assert_non_null(strstr(trace, expected[j]));
        assert_null(strstr(trace, "hush"));
        assert_null(strstr(trace, "grant_type"));
    }
    request.trace = false;
    assert_int_equal(fetch(transfer, &request)->trace.length, 0);
    auth_transfer_free(transfer);
    auth_secret_wipe(&line);
    stop(server);
}

static void traces_no_rest_of_a_line_that_was_sent_in_parts(void **state) {
    (void)state;
    static const char *const parts[] = {"A: b\r\nAuthorization: Bearer hu", "sh", "hush\r\nC: d\r\n\r\n"};
    struct auth_reply reply = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        auth_reply_trace(&reply, CURLINFO_HEADER_OUT, parts[i], strlen(parts[i]));
        auth_reply_trace(&reply, CURLINFO_TEXT, "t", 1);
    }
    assert_string_equal(reply.trace.data, "> A: b\n> Authorization: [hidden]\n* t\n* t\n> C: d\n* t\n");
    auth_secret_wipe(&reply.trace);
}

static void bounds_a_trace(void **state) {
    (void)state;
    static char text[2 * AUTH_TRACE_MAX];
    struct auth_reply reply = {0};
    memset(text, 'x', sizeof text);
    auth_reply_trace(&reply, CURLINFO_HEADER_IN, text, sizeof text);
    auth_reply_trace(&reply, CURLINFO_DATA_IN, "a body\n", 7);
    auth_reply_trace(&reply, CURLINFO_SSL_DATA_OUT, "a record\n", 9);
    assert_int_equal(reply.trace.length, 0);
    memset(text, ':', 1);       /* an empty name */
    memset(text + 200, ':', 1); /* one that is too long to be read */
    auth_reply_trace(&reply, CURLINFO_HEADER_OUT, "a: b\r\n\r\nc\r\n\n", 12);
    auth_reply_trace(&reply, CURLINFO_HEADER_OUT, text + 1, 300);
    assert_memory_equal(reply.trace.data, "> a: b\n> c\n> xxx", 16);
    assert_string_equal(reply.trace.data + reply.trace.length - 13, "xx: [hidden]\n");
    for (int i = 0; i < 1000; i++)
        auth_reply_trace(&reply, CURLINFO_TEXT, text, 500);
    assert_true(reply.trace.length <= AUTH_TRACE_MAX && reply.trace.length > AUTH_TRACE_MAX - 510);
    auth_secret_wipe(&reply.trace);
}

static void asks_for_the_head_alone(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    request.body = NULL;
    request.method = "HEAD";
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->body.length, 0);
    auth_transfer_free(transfer);
    stop(server);
}

static void hands_out_the_replys_headers(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-One:  a \r\n"
                                 "x-one: b\r\nContent-Length: 0\r\n\r\n",
                                 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_content(reply->headers, "X-One:  a\nx-one: b\nContent-Length: 0\n");
    auth_transfer_cancel(transfer);
    assert_int_equal(reply->headers.length, 0);
    auth_transfer_free(transfer);
    stop(server);
}

static void takes_a_larger_body_where_that_is_asked_for(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\n\r\n", 3 * AUTH_TRANSFER_BODY_MAX);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    request.body_max = 3 * AUTH_TRANSFER_BODY_MAX;
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->body.length, 3 * AUTH_TRANSFER_BODY_MAX);
    request.body_max--;
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_REPLY);
    auth_transfer_cancel(transfer);
    assert_null(reply->body.data); /* so much is not kept */
    auth_transfer_free(transfer);
    stop(server);
}

static void guards_the_memory_of_tokens_alone(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\n\r\nbody", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    for (int i = 0; i < 4; i++) {
        request.body_max = i % 2 == 0 ? 0 : 100;
        const struct auth_reply *reply = fetch(transfer, &request);
        assert_content(reply->body, "body");
        assert_int_equal(reply->body.plain, i % 2);
        auth_transfer_cancel(transfer);
        assert_int_equal(reply->body.data[0], 0);
    }
    auth_transfer_free(transfer);
    stop(server);
}

static void tells_failures_apart(void **state) {
    (void)state;
    check_failure("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut", 0, AUTH_TRANSFER_NETWORK);
    check_failure("", 0, AUTH_TRANSFER_NETWORK);
    check_failure("SSH-2.0-OpenSSH_9.2\r\n", 0, AUTH_TRANSFER_REPLY);
    struct auth_transfer *transfer = auth_transfer_new();
    char url[64];
    int bound = listen_somewhere(url, sizeof url); /* nobody listens there while it is bound */
    struct auth_request request = request_to(url);
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_CONNECT);
    close(bound);
    request.url = "gopher://127.0.0.1/";
    assert_int_not_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_OK);
    auth_transfer_free(transfer);
}

/* A request to `url` in 200 ms: how far it comes. */
static void check_reached(const char *url, const char *proxy, enum auth_transfer_reached expected) {
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(url);
    request.proxy = proxy;
    request.timeout_ms = 200;
    const struct auth_reply *reply = fetch(transfer, &request);
    assert_int_not_equal(reply->failure, AUTH_TRANSFER_OK);
    assert_int_equal(reply->reached, expected);
    auth_transfer_free(transfer);
}

static void tells_how_far_it_came(void **state) {
    (void)state;
    char url[64];
    char secure[72];
    int bound = listen_somewhere(url, sizeof url);
    check_reached(url, NULL, AUTH_TRANSFER_ADDRESS);
    check_reached("https://192.0.2.1/", url, AUTH_TRANSFER_ADDRESS);
    close(bound);
    struct server silent = serve("", HANG);
    struct server closing = serve("", 0);
    struct server opening = serve("HTTP/1.1 200 OK\r\n\r\n", HANG);
    (void)snprintf(secure, sizeof secure, "https%s", silent.url + 4);
    check_reached(secure, NULL, AUTH_TRANSFER_CONNECTION);
    check_reached("https://192.0.2.1/", silent.url, AUTH_TRANSFER_CONNECTION);
    check_reached("https://192.0.2.1/", opening.url, AUTH_TRANSFER_TUNNEL);
    check_reached(silent.url, NULL, AUTH_TRANSFER_SERVER);
    (void)snprintf(secure, sizeof secure, "https%s", closing.url + 4);
    check_reached(secure, NULL, AUTH_TRANSFER_CONNECTION);
    check_reached("https://192.0.2.1/", closing.url, AUTH_TRANSFER_CONNECTION);
    stop(silent);
    stop(closing);
    stop(opening);
}

static void keeps_a_proxys_password_out_of_messages(void **state) {
    (void)state;
    static const char *const odd[] = {"htp://u:hunter2@127.0.0.1", "http://u:hunter2@127.0.0.1:1:2",
                                      "http://u:hunter2@[::1", "http://u:hunter2@127.0.0.1:99999"};
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to("https://127.0.0.1:1/");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        request.proxy = odd[i];
        const struct auth_reply *reply = fetch(transfer, &request);
        assert_int_equal(reply->failure, AUTH_TRANSFER_CONFIG);
        assert_null(strstr(reply->message, "hunter2"));
        assert_non_null(strstr(reply->message, "proxy"));
    }
    auth_transfer_free(transfer);
}

static void gives_up_in_time(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", HANG);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    request.timeout_ms = 50;
    int64_t before = auth_clock_boot_ns(&wall);
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_TIMEOUT);
    assert_true(auth_clock_boot_ns(&wall) - before < 5 * AUTH_NS_PER_S);
    auth_transfer_free(transfer);
    stop(server);
}

static void cancels_and_starts_anew(void **state) {
    (void)state;
    struct server silent = serve("", HANG);
    struct server good = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(silent.url);
    assert_true(auth_transfer_start(transfer, &request, &wall));
    assert_false(auth_transfer_step(transfer));
    auth_notifier_signal(&cancel);
    auth_transfer_wait(transfer, 60000, &cancel);
    auth_notifier_clear(&cancel);
    auth_transfer_cancel(transfer);
    auth_transfer_cancel(transfer);
    assert_true(auth_transfer_step(transfer)); /* nothing under way */
    assert_true(auth_transfer_start(transfer, &request, &wall));
    request.url = good.url; /* starting again gives the former one up */
    for (int i = 0; i < 3; i++)
        assert_content(fetch(transfer, &request)->body, "ok");
    auth_transfer_free(transfer);
    auth_transfer_free(NULL);
    stop(silent);
    stop(good);
}

/* --- performing --- */

static struct auth_deadline in_ns(int64_t left_ns) {
    return (struct auth_deadline){
        .clock = &wall, .at_ns = auth_clock_boot_ns(&wall) + left_ns, .cancel = &cancel};
}

static void performs_one_request_after_the_other(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbody", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    request.timeout_ms = 0; /* it is the deadline's */
    struct auth_deadline deadline = in_ns(10 * AUTH_NS_PER_S);
    for (int i = 0; i < 3; i++) {
        const struct auth_reply *reply = auth_transfer_perform(transfer, &request, &deadline);
        assert_int_equal(reply->failure, AUTH_TRANSFER_OK);
        assert_int_equal(reply->status, 429);
        assert_int_equal(reply->retry_after_s, 7);
        assert_content(reply->body, "body");
    }
    deadline = in_ns(0);
    const struct auth_reply *reply = auth_transfer_perform(transfer, &request, &deadline);
    assert_int_equal(reply->failure, AUTH_TRANSFER_TIMEOUT);
    assert_true(reply->message[0] != '\0');
    assert_int_equal(reply->retry_after_s, -1); /* that was another reply's */
    assert_int_equal(reply->body.length, 0);
    auth_transfer_free(transfer);
    stop(server);
}

static void pauses_and_goes_on(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", HANG);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    int64_t before = auth_clock_boot_ns(&wall);
    struct auth_deadline deadline = in_ns(500 * AUTH_NS_PER_MS);
    deadline.pause_at_ns = before + 20 * AUTH_NS_PER_MS;
    assert_null(auth_transfer_perform(transfer, &request, &deadline));
    assert_null(auth_transfer_perform(transfer, NULL, &deadline));
    assert_in_range(auth_clock_boot_ns(&wall) - before, 20 * AUTH_NS_PER_MS, 500 * AUTH_NS_PER_MS);
    deadline.pause_at_ns = 0;
    assert_int_equal(auth_transfer_perform(transfer, NULL, &deadline)->failure, AUTH_TRANSFER_TIMEOUT);
    assert_true(auth_clock_boot_ns(&wall) - before >= 490 * AUTH_NS_PER_MS); /* libcurl counts whole ms */
    auth_transfer_free(transfer);
    stop(server);
}

/* A peer whose backlog is full answers no connection. */
static int listen_in_vain(char *url, size_t capacity, int fillers[4]) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = listen_somewhere(url, capacity);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (const struct sockaddr *)&address, sizeof address);
    }
    return listener;
}

static atomic_bool resolver_hangs;
static atomic_int resolving; /* at the moment */
static atomic_int resolved;  /* names, in all */

/* In place of the C library's, for libcurl. */
EXPORTED int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                         struct addrinfo **result) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    atomic_fetch_add(&resolving, 1);
    while (atomic_load(&resolver_hangs) && strstr(name, ".example") != NULL)
        auth_clock_sleep(MS / 10);
    int error = strstr(name, ".example") != NULL ? EAI_NONAME : real(name, service, hints, result);
    atomic_fetch_add(&resolved, 1);
    atomic_fetch_sub(&resolving, 1);
    return error;
}

/* Time for a request to come to where it hangs; longer once it was too short, on a busy machine. */
static int64_t hang_ns = INT64_C(30) * MS;
static int64_t cancelled_ns;

static void *cancels_soon(void *data) {
    auth_clock_sleep(hang_ns);
    cancelled_ns = auth_clock_boot_ns(&wall);
    auth_notifier_signal(&cancel);
    return data;
}

/* How long it took to end after it was cancelled. */
static int64_t cancel_soon(struct auth_transfer *transfer, const struct auth_request *request) {
    pthread_t thread;
    struct auth_deadline deadline = in_ns(60 * AUTH_NS_PER_S);
    assert_int_equal(pthread_create(&thread, NULL, cancels_soon, NULL), 0);
    (void)auth_transfer_perform(transfer, request, &deadline);
    int64_t ended_ns = auth_clock_boot_ns(&wall);
    pthread_join(thread, NULL);
    assert_true(auth_deadline_is_cancelled(&deadline));
    auth_notifier_clear(&cancel);
    return ended_ns - cancelled_ns;
}

/* How long it took to end after its deadline. */
static int64_t run_out_of_time(struct auth_transfer *transfer, const struct auth_request *request) {
    struct auth_deadline deadline = in_ns(hang_ns);
    (void)auth_transfer_perform(transfer, request, &deadline);
    return auth_clock_boot_ns(&wall) - deadline.at_ns;
}

/* Where a request to `url` hangs, it ends a moment after its deadline, or after it is cancelled. */
static void check_hanging(const char *url, const char *proxy, enum auth_transfer_reached expected) {
    int64_t (*const ends[])(struct auth_transfer *, const struct auth_request *) = {run_out_of_time,
                                                                                    cancel_soon};
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(url);
    request.connect_timeout_ms = 60000;
    request.proxy = proxy;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int64_t took_ns = MOMENT_NS + 1;
        for (int j = 0; j < 20 && took_ns > MOMENT_NS; j++) { /* other programs may have the processor */
            took_ns = ends[i](transfer, &request);
            const struct auth_reply *reply = auth_transfer_reply(transfer);
            assert_int_equal(reply->failure, AUTH_TRANSFER_TIMEOUT);
            assert_true(took_ns > -2 * MS);
            if (reply->reached != expected && hang_ns < 2 * AUTH_NS_PER_S) {
                hang_ns *= 2;
                took_ns = MOMENT_NS + 1;
            } else {
                assert_int_equal(reply->reached, expected);
            }
        }
        assert_true(took_ns <= MOMENT_NS || getenv("UNDER_VALGRIND") != NULL);
    }
    auth_transfer_free(transfer);
}

static void ends_wherever_it_hangs(void **state) {
    (void)state;
    char url[64];
    char secure[72];
    int fillers[4];
    int listener = listen_in_vain(url, sizeof url, fillers);
    check_hanging(url, NULL, AUTH_TRANSFER_ADDRESS);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(listener);
    struct server silent = serve("", HANG);
    struct server slow = serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", HANG);
    struct server opening = serve("HTTP/1.1 200 OK\r\n\r\n", HANG);
    (void)snprintf(secure, sizeof secure, "https%s", silent.url + 4);
    check_hanging(secure, NULL, AUTH_TRANSFER_CONNECTION);
    check_hanging("https://192.0.2.1/", silent.url, AUTH_TRANSFER_CONNECTION);
    check_hanging("https://192.0.2.1/", opening.url, AUTH_TRANSFER_TUNNEL);
    check_hanging(silent.url, NULL, AUTH_TRANSFER_SERVER);
    check_hanging(slow.url, NULL, AUTH_TRANSFER_SERVER);
    stop(silent);
    stop(slow);
    stop(opening);
}

static void ends_while_a_resolver_hangs(void **state) {
    (void)state;
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to("https://hangs.example/");
    assert_int_equal(fetch(transfer, &request)->failure, AUTH_TRANSFER_RESOLVE);
    auth_transfer_free(transfer);
    if (atomic_load(&resolved) == 0)
        SKIP("this libcurl has a resolver of its own");
    atomic_store(&resolver_hangs, true);
    check_hanging("https://hangs.example/", NULL, AUTH_TRANSFER_NOTHING);
    assert_true(atomic_load(&resolving) > 0);
    atomic_store(&resolver_hangs, false);
    while (atomic_load(&resolving) > 0)
        auth_clock_sleep(MS);
}

static void asks_nobody_once_it_is_cancelled(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(server.url);
    struct auth_deadline deadline = in_ns(10 * AUTH_NS_PER_S);
    auth_notifier_signal(&cancel);
    const struct auth_reply *reply = auth_transfer_perform(transfer, &request, &deadline);
    assert_int_equal(reply->failure, AUTH_TRANSFER_TIMEOUT);
    assert_int_equal(reply->reached, AUTH_TRANSFER_NOTHING);
    auth_notifier_clear(&cancel);
    assert_content(auth_transfer_perform(transfer, &request, &deadline)->body, "ok");
    deadline.cancel = NULL;
    assert_content(auth_transfer_perform(transfer, &request, &deadline)->body, "ok");
    auth_transfer_free(transfer);
    stop(server);
}

static void *forks_meanwhile(void *data) {
    auth_clock_sleep(INT64_C(10) * MS);
    int64_t begun_ns = auth_clock_boot_ns(&wall);
    pid_t child = fork();
    if (child == 0)
        end_child(auth_gate_enter());
    assert_true(auth_clock_boot_ns(&wall) - begun_ns < AUTH_GATE_WAIT_NS);
    assert_int_equal(waitpid(child, data, 0), child);
    auth_notifier_signal(&cancel);
    return NULL;
}

static void does_not_hold_the_gate_while_it_waits(void **state) {
    (void)state;
    struct server silent = serve("", HANG);
    struct auth_transfer *transfer = auth_transfer_new();
    struct auth_request request = request_to(silent.url);
    struct auth_deadline deadline = in_ns(60 * AUTH_NS_PER_S);
    pthread_t thread;
    int status = -1;
    assert_int_equal(pthread_create(&thread, NULL, forks_meanwhile, &status), 0);
    assert_int_equal(auth_transfer_perform(transfer, &request, &deadline)->failure, AUTH_TRANSFER_TIMEOUT);
    pthread_join(thread, NULL);
    assert_int_equal(status, 0);
    auth_notifier_clear(&cancel);
    auth_transfer_free(transfer);
    stop(silent);
}

static void needs_both_descriptors_of_its_wake_up(void **state) {
    (void)state;
    enum { LIMIT = 64 };
    struct rlimit former;
    int taken[LIMIT];
    size_t count = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
    struct rlimit limit = {.rlim_cur = LIMIT, .rlim_max = former.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int fd = dup(0); fd >= 0; fd = dup(0))
        taken[count++] = fd;
    for (int left = 0; left < 3; left++) {
        errno = 0;
        struct auth_transfer *transfer = auth_transfer_new();
        assert_int_equal(errno == EMFILE, left < 2);
        assert_int_equal(transfer == NULL, left < 2);
        auth_transfer_free(transfer);
        close(taken[--count]);
    }
    while (count > 0)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
}

static void names_its_failures(void **state) {
    (void)state;
    assert_string_equal(auth_transfer_failure_name(AUTH_TRANSFER_OK), "ok");
    assert_string_equal(auth_transfer_failure_name(AUTH_TRANSFER_TLS), "tls");
    assert_string_equal(auth_transfer_failure_name(AUTH_TRANSFER_MEMORY), "memory");
    assert_non_null(strstr(auth_transfer_version(), "libcurl/"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_status_headers_and_body),
        cmocka_unit_test(reads_the_proxy_from_the_environment),
        cmocka_unit_test(reads_where_openssl_finds_trust),
        cmocka_unit_test(reads_the_environment_nowhere_else),
        cmocka_unit_test(takes_trust_from_what_was_read),
        cmocka_unit_test(takes_only_the_last_replys_headers),
        cmocka_unit_test(takes_no_headers_of_a_proxy_or_of_an_interim_reply),
        cmocka_unit_test(takes_a_wait_in_seconds),
        cmocka_unit_test(finds_the_bearer_challenge),
        cmocka_unit_test(says_what_was_not_there),
        cmocka_unit_test(bounds_body_and_headers),
        cmocka_unit_test(tells_lack_of_memory_from_a_large_reply),
        cmocka_unit_test(tells_lack_of_memory_in_libcurl),
        cmocka_unit_test(sends_method_headers_and_body),
        cmocka_unit_test(sends_of_each_request_what_it_has),
        cmocka_unit_test(traces_without_secrets),
        cmocka_unit_test(traces_no_rest_of_a_line_that_was_sent_in_parts),
        cmocka_unit_test(bounds_a_trace),
        cmocka_unit_test(asks_for_the_head_alone),
        cmocka_unit_test(hands_out_the_replys_headers),
        cmocka_unit_test(takes_a_larger_body_where_that_is_asked_for),
        cmocka_unit_test(guards_the_memory_of_tokens_alone),
        cmocka_unit_test(tells_failures_apart),
        cmocka_unit_test(tells_how_far_it_came),
        cmocka_unit_test(keeps_a_proxys_password_out_of_messages),
        cmocka_unit_test(gives_up_in_time),
        cmocka_unit_test(pauses_and_goes_on),
        cmocka_unit_test(cancels_and_starts_anew),
        cmocka_unit_test(performs_one_request_after_the_other),
        cmocka_unit_test(ends_wherever_it_hangs),
        cmocka_unit_test(ends_while_a_resolver_hangs),
        cmocka_unit_test(asks_nobody_once_it_is_cancelled),
        cmocka_unit_test(does_not_hold_the_gate_while_it_waits),
        cmocka_unit_test(needs_both_descriptors_of_its_wake_up),
        cmocka_unit_test(names_its_failures),
    };
    clear_environment();
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, scarce_malloc, free, scarce_realloc, scarce_strdup,
                             scarce_calloc) != CURLE_OK ||
        !auth_transfer_init() || !auth_transfer_init() || !auth_gate_init() || !auth_notifier_open(&cancel) ||
        !auth_secret_append(&body, "grant_type=client_credentials", 29))
        return 1;
    int failed = RUN(tests);
    auth_secret_wipe(&body);
    auth_notifier_close(&cancel);
    return failed;
}

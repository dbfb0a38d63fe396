/* Requests; the contract is in the header. SPDX-License-Identifier: MIT */
#include "http/request.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const char *url) {
    static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host != NULL && i < sizeof hosts / sizeof *hosts; i++) {
        size_t length = strlen(hosts[i]);
        if (strncasecmp(host + 3, hosts[i], length) == 0 && strchr(":/?", host[3 + length]) != NULL)
            return true;
    }
    return false;
}

/* The first that is set, and not empty. */
static const char *from_environment(const char *const *names) {
    for (; *names != NULL; names++) {
        const char *value = getenv(*names);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return "";
}

/* None for http, which is for the loopback interface only; for https to that interface only one that was
 * given. */
static void choose_proxy(struct auth_request *request) {
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
    static const char *const exceptions[] = {"no_proxy", "NO_PROXY", NULL};
    if (strncasecmp(request->url, "http:", 5) == 0 || (request->proxy == NULL && is_loopback(request->url))) {
        request->proxy = "";
        request->proxy_exceptions = "*";
        return;
    }
    if (request->proxy == NULL)
        request->proxy = from_environment(proxies);
    request->proxy_exceptions = from_environment(exceptions);
}

#define STRING(name) offsetof(struct auth_request, name)
static const size_t strings[] = {STRING(url),        STRING(method),           STRING(headers),
                                 STRING(user_agent), STRING(ca_file),          STRING(ca_path),
                                 STRING(crl_file),   STRING(cert_file),        STRING(key_file),
                                 STRING(proxy),      STRING(proxy_exceptions), STRING(socket_path)};
enum { STRINGS = sizeof strings / sizeof *strings };

static char **string_at(struct auth_request *request, size_t i) {
    return (char **)(void *)((char *)request + strings[i]);
}

void auth_request_read_environment(struct auth_request *request) {
    choose_proxy(request);
    if (request->ca_file == NULL && request->ca_path == NULL) {
        request->ca_file = getenv("SSL_CERT_FILE");
        request->ca_path = getenv("SSL_CERT_DIR");
    }
    for (size_t i = 0; i < STRINGS; i++) {
        char **string = string_at(request, i);
        if (*string != NULL && **string == '\0')
            *string = NULL;
    }
}

bool auth_request_complete(struct auth_request *request) {
    bool ok = true;
    auth_request_read_environment(request);
    for (size_t i = 0; i < STRINGS; i++) {
        char **string = string_at(request, i);
        bool is_set = *string != NULL;
        *string = is_set ? strdup(*string) : NULL;
        ok = ok && (*string != NULL || !is_set);
    }
    if (!ok)
        auth_request_free(request);
    return ok;
}

void auth_request_free(struct auth_request *request) {
    for (size_t i = 0; i < STRINGS; i++) {
        free(*string_at(request, i));
        *string_at(request, i) = NULL;
    }
}

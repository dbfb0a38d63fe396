/* The proxy of a request; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "http/proxy.h"

#include <stdbool.h>
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

struct auth_proxy auth_proxy_of(const char *url, const char *option) {
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
    static const char *const exceptions[] = {"no_proxy", "NO_PROXY", NULL};
    if (strncasecmp(url, "http:", 5) == 0 || (option == NULL && is_loopback(url)))
        return (struct auth_proxy){.url = "", .exceptions = "*"};
    return (struct auth_proxy){.url = option != NULL ? option : from_environment(proxies),
                               .exceptions = from_environment(exceptions)};
}

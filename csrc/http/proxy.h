/* Which proxy a request uses. libcurl would read the environment itself, on the thread that runs the
 * transfer, while the host may change it. So it is read here, and libcurl is given the result, also if
 * there is no proxy. SPDX-License-Identifier: MIT */
#ifndef AUTH_PROXY_H
#define AUTH_PROXY_H

/* As libcurl's options of these names take them; neither is NULL. Valid while what was given is, and until
 * the environment changes. */
struct auth_proxy {
    const char *url;        /* empty: none */
    const char *exceptions; /* hosts that are reached without it; "*": all */
};

/* The proxy of a request to `url`: `option` if that is not NULL, else the environment's. None for http,
 * which is for the loopback interface only; and for https to the loopback interface only that of `option`.
 * Only on the caller's thread, as it reads the environment. */
struct auth_proxy auth_proxy_of(const char *url, const char *option);

#endif

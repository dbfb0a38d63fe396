/* Which proxy a request goes through. libcurl would ask the environment itself, on the thread that runs the
 * transfer, while the host may change it: so it is asked here, and libcurl is told all of it, also that there
 * is no proxy. SPDX-License-Identifier: MIT */
#ifndef AUTH_PROXY_H
#define AUTH_PROXY_H

/* As libcurl's options of these names take them; neither is NULL. Valid while what was given is, and until
 * the environment changes. */
struct auth_proxy {
    const char *url;        /* empty: none */
    const char *exceptions; /* hosts that are asked without it; "*": all */
};

/* For the URL of a request: `option` where that is not NULL, else the environment's. None over http, which is
 * safe on the loopback interface and nowhere else; nor do the environment's lead to the loopback interface.
 * On the caller's thread alone. */
struct auth_proxy auth_proxy_of(const char *url, const char *option);

#endif

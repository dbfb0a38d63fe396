/* Expiry tracking: when a token was asked for and how long it lives -> fresh, stale or expired. Arithmetic
 * only: no clock, no memory, no failure. SPDX-License-Identifier: MIT */
#ifndef AUTH_LIFETIME_H
#define AUTH_LIFETIME_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>

#define AUTH_LIFETIME_DEFAULT_S 300.0  /* of a token whose server does not say how long it lives */
#define AUTH_LIFETIME_MAX_S 86400.0    /* a longer life is cut: no token is trusted for a year */
#define AUTH_LIFETIME_READY_MADE_S 1e9 /* of a ready-made token without a known end; and its longest life */
#define AUTH_LIFETIME_MARGIN_S 30.0    /* not returned in its last seconds: a request takes time to arrive */
#define AUTH_LIFETIME_WINDOW_S 600.0   /* before expiry, when renewal begins; or a quarter of a short life */
#define AUTH_LIFETIME_REFRESH_S 60.0   /* whatever the server advises, no token is renewed sooner */

enum auth_lifetime_state {
    AUTH_LIFETIME_NONE,
    AUTH_LIFETIME_FRESH,
    AUTH_LIFETIME_STALE, /* usable, and due for renewal */
    AUTH_LIFETIME_EXPIRED
};

/* The times that server and user set, in seconds. Zero, negative, infinite and NaN mean "not set". */
struct auth_lifetime_terms {
    double expires_in_s;   /* RFC 6749, 5.1 */
    double refresh_in_s;   /* the server's advice when to renew; used if it is within the life, but not
                              before AUTH_LIFETIME_REFRESH_S, or a quarter of a short life */
    double renew_before_s; /* the user's window; cut to half the life, or a token would be born stale */
    double jitter;         /* 0 to 1: how much of the extra quarter of the window counts */
    double took_s;         /* to get this token: the next must begin in time, in half the life at most */
    bool ready_made;       /* no request renews it: it has no window, and its life is not cut */
};

/* All zero is "no token". Spans count from `sent`: 0 < fresh_ns <= usable_ns < life_ns. */
struct auth_lifetime {
    struct auth_instant sent; /* taken before the request left */
    int64_t life_ns;
    int64_t usable_ns; /* age at which it must not be handed out any more */
    int64_t fresh_ns;  /* age at which renewal is due */
};

/* The jitter of a token, from 0 to below 1: tokens are renewed at different times, and all
 * processes that hold one token agree on its time. */
double auth_lifetime_jitter(const void *token, size_t length);

struct auth_lifetime auth_lifetime_begin(struct auth_instant sent, struct auth_lifetime_terms terms);

/* The larger of the two clocks' answers, never negative: a suspended or paused machine, or a wall clock that
 * was wrong, ages the token rather than keeping it young. */
int64_t auth_lifetime_age_ns(const struct auth_lifetime *lifetime, struct auth_instant now);

enum auth_lifetime_state auth_lifetime_state_at(const struct auth_lifetime *lifetime, int64_t age_ns);

/* Converts `sent` from the clocks of another process of this machine to those of this one: the age is the
 * larger one of the two clocks. The boot clock counts only in the same boot. false: by one of them it is in
 * the future, so neither can be trusted. */
bool auth_lifetime_rebase(struct auth_instant *sent, struct auth_instant now, bool same_boot);

/* The same for a time of another machine, where either wall clock may be wrong: the age is the largest of
 * that by its wall clock, that by the token server's (`date_s`; -1: none) and `kept_ns`, for which the store
 * has had it. The last one is always right, so a time in the future is no failure. `boot_ns` may become
 * negative: sent before this boot. false: a wall clock is before 1970. */
bool auth_lifetime_receive(struct auth_instant *sent, struct auth_instant now, int64_t date_s,
                           int64_t kept_ns);

#endif

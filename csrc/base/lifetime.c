/* Expiry tracking; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/lifetime.h"
#include "base/secret.h"

#include <math.h>

/* Of finite numbers. Those of libm would make the loader look there, too, for each symbol of libcurl's
 * libraries. */
static double smaller(double a, double b) {
    return a < b ? a : b;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static bool is_set(double seconds) {
    return isfinite(seconds) && seconds > 0.0;
}

static int64_t to_ns(double seconds) { /* at most AUTH_LIFETIME_MAX_S, so it fits by far */
    return (int64_t)(seconds * (double)AUTH_NS_PER_S);
}

double auth_lifetime_jitter(const void *token, size_t length) {
    return (double)(auth_secret_hash(0, token, length) >> 11) * 0x1p-53; /* as many bits as a double holds */
}

struct auth_lifetime auth_lifetime_begin(struct auth_instant sent, struct auth_lifetime_terms terms) {
    double unknown = terms.ready_made ? AUTH_LIFETIME_READY_MADE_S : AUTH_LIFETIME_DEFAULT_S;
    double life = is_set(terms.expires_in_s) ? terms.expires_in_s : unknown;
    life = larger(smaller(life, terms.ready_made ? AUTH_LIFETIME_READY_MADE_S : AUTH_LIFETIME_MAX_S), 1e-6);
    double margin = smaller(AUTH_LIFETIME_MARGIN_S, life / 10.0);
    double jitter = is_set(terms.jitter) ? smaller(terms.jitter, 1.0) : 0.0;
    double window = is_set(terms.renew_before_s) ? smaller(terms.renew_before_s, life / 2.0)
                                                 : smaller(AUTH_LIFETIME_WINDOW_S, life / 4.0);
    double ahead = window * (1.0 + jitter / 4.0);
    if (is_set(terms.took_s))
        ahead = larger(ahead, smaller(margin + 2 * terms.took_s, life / 2.0));
    double fresh = terms.ready_made ? life : life - ahead;
    if (is_set(terms.refresh_in_s) && terms.refresh_in_s < life)
        fresh = larger(terms.refresh_in_s, smaller(AUTH_LIFETIME_REFRESH_S, life / 4.0));
    return (struct auth_lifetime){.sent = sent,
                                  .life_ns = to_ns(life),
                                  .usable_ns = to_ns(life - margin),
                                  .fresh_ns = to_ns(smaller(fresh, life - margin))};
}

int64_t auth_lifetime_age_ns(const struct auth_lifetime *lifetime, struct auth_instant now) {
    int64_t boot = now.boot_ns - lifetime->sent.boot_ns;
    int64_t wall = now.wall_ns - lifetime->sent.wall_ns;
    int64_t age = boot > wall ? boot : wall;
    return age > 0 ? age : 0;
}

enum auth_lifetime_state auth_lifetime_state_at(const struct auth_lifetime *lifetime, int64_t age_ns) {
    if (lifetime->life_ns == 0)
        return AUTH_LIFETIME_NONE;
    if (age_ns < lifetime->fresh_ns)
        return AUTH_LIFETIME_FRESH;
    return age_ns < lifetime->usable_ns ? AUTH_LIFETIME_STALE : AUTH_LIFETIME_EXPIRED;
}

static struct auth_instant ago(struct auth_instant now, int64_t age_ns) {
    age_ns = age_ns > 0 ? age_ns : 0;
    return (struct auth_instant){.boot_ns = now.boot_ns - age_ns, .wall_ns = now.wall_ns - age_ns};
}

/* A step this size is the clocks' reading one after the other, or a slewed clock; it is no future. */
static const int64_t tolerance_ns = AUTH_NS_PER_S / 10;

bool auth_lifetime_rebase(struct auth_instant *sent, struct auth_instant now, bool same_boot) {
    /* Before 1970 no request was sent; this keeps the sums in range. Before this boot there may have been
     * one, by another machine: see auth_lifetime_receive. */
    if (sent->wall_ns < 0 || now.wall_ns < 0 || sent->boot_ns < -now.wall_ns)
        return false;
    int64_t wall_ns = now.wall_ns - sent->wall_ns;
    int64_t boot_ns = same_boot ? now.boot_ns - sent->boot_ns : wall_ns;
    if (wall_ns < -tolerance_ns || boot_ns < -tolerance_ns)
        return false;
    *sent = ago(now, boot_ns > wall_ns ? boot_ns : wall_ns);
    return true;
}

bool auth_lifetime_receive(struct auth_instant *sent, struct auth_instant now, int64_t date_s,
                           int64_t kept_ns) {
    if (sent->wall_ns < 0 || now.wall_ns < 0)
        return false;
    int64_t age_ns = now.wall_ns - sent->wall_ns;
    if (date_s >= 0 && date_s < INT64_MAX / AUTH_NS_PER_S && now.wall_ns - date_s * AUTH_NS_PER_S > age_ns)
        age_ns = now.wall_ns - date_s * AUTH_NS_PER_S;
    *sent = ago(now, age_ns > kept_ns ? age_ns : kept_ns);
    return true;
}

/* How many token requests the processes of one machine may make with one credential, however they misbehave:
 * AUTH_BUDGET_BURST at once, then one in AUTH_BUDGET_REFILL_NS. Kept in the note of the folder's lock, which
 * the holder of the lock reads and writes; without a folder each process counts for itself.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_BUDGET_H
#define AUTH_BUDGET_H

#include "base/clock.h"
#include "cache/store.h"

#define AUTH_BUDGET_BURST 10
#define AUTH_BUDGET_REFILL_NS (2 * AUTH_NS_PER_S)

/* All zero: a full budget. */
struct auth_budget {
    int64_t spent_ns;   /* of requests so far, AUTH_BUDGET_REFILL_NS each, less what has been refilled */
    int64_t at_wall_ns; /* when that was true */
    int64_t replaced_wall_ns; /* when a token that an API refused was last given up for another; 0: never */
};

/* Takes over what the last holder of `lock` left, unless it is nonsense (a time in the future counts as now).
 */
void auth_budget_load(struct auth_budget *budget, const struct auth_lock *lock);
void auth_budget_save(const struct auth_budget *budget, const struct auth_lock *lock);

/* Takes one request from the budget and returns 0; or how long until there is one, and takes nothing. */
int64_t auth_budget_take(struct auth_budget *budget, int64_t now_wall_ns);

/* Whether a token that an API refused may cost all processes that share it another one, and if so, notes that
 * it does. `sent_wall_ns`: when it was asked for; `proven`: the same call succeeded with it before. A token
 * that replaced a refused one may not be replaced in its first AUTH_BUDGET_REPLACE_INTERVAL_NS, unless it is
 * proven; a proven one may, as long as half of the budget is left. One that was asked for before the last
 * replacement may. */
#define AUTH_BUDGET_REPLACE_INTERVAL_NS (60 * AUTH_NS_PER_S)
bool auth_budget_may_replace(struct auth_budget *budget, int64_t sent_wall_ns, bool proven,
                             int64_t now_wall_ns);

#endif

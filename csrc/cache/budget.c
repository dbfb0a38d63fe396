/* The budget of token requests; the contract is in the header. SPDX-License-Identifier: MIT */
#include "cache/budget.h"
#include "cache/folder_store.h"

#define FULL_NS (AUTH_BUDGET_BURST * AUTH_BUDGET_REFILL_NS)

void auth_budget_load(struct auth_budget *budget, const struct auth_lock *lock) {
    struct auth_budget left = {0};
    if (auth_folder_read_note(lock, &left, sizeof left) && left.spent_ns >= 0 && left.spent_ns <= FULL_NS &&
        left.at_wall_ns >= 0 && left.replaced_wall_ns >= 0)
        *budget = left;
}

void auth_budget_save(const struct auth_budget *budget, const struct auth_lock *lock) {
    auth_folder_write_note(lock, budget, sizeof *budget);
}

/* Adds what the time since the last call refills. A clock that was set back refills nothing. */
static void refill(struct auth_budget *budget, int64_t now_ns) {
    int64_t passed_ns = now_ns > budget->at_wall_ns ? now_ns - budget->at_wall_ns : 0;
    budget->spent_ns = budget->spent_ns > passed_ns ? budget->spent_ns - passed_ns : 0;
    budget->at_wall_ns = now_ns;
    if (budget->replaced_wall_ns > now_ns)
        budget->replaced_wall_ns = now_ns;
}

int64_t auth_budget_take(struct auth_budget *budget, int64_t now_wall_ns) {
    refill(budget, now_wall_ns);
    int64_t over_ns = budget->spent_ns + AUTH_BUDGET_REFILL_NS - FULL_NS;
    if (over_ns > 0)
        return over_ns;
    budget->spent_ns += AUTH_BUDGET_REFILL_NS;
    return 0;
}

bool auth_budget_may_replace(struct auth_budget *budget, int64_t sent_wall_ns, bool proven,
                             int64_t now_wall_ns) {
    refill(budget, now_wall_ns);
    if (sent_wall_ns < budget->replaced_wall_ns)
        return true; /* another process was refused with it, too */
    bool is_young = now_wall_ns - sent_wall_ns < AUTH_BUDGET_REPLACE_INTERVAL_NS;
    bool was_replaced = now_wall_ns - budget->replaced_wall_ns < AUTH_BUDGET_REPLACE_INTERVAL_NS;
    if (is_young && (proven ? budget->spent_ns > FULL_NS / 2 : was_replaced))
        return false;
    budget->replaced_wall_ns = now_wall_ns;
    return true;
}

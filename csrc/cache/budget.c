/* The budget of token requests; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "cache/budget.h"
#include "cache/folder_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FULL_NS (AUTH_BUDGET_BURST * AUTH_BUDGET_REFILL_NS)

/* --- the note: three numbers --- */

/* A number of digits alone, and `end` behind it. */
static bool read_number(const char **at, char end, int64_t *number) {
    char *rest = NULL;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *number = strtoll(*at, &rest, 10);
    *at = rest + 1;
    return errno == 0 && *rest == end;
}

void auth_budget_load(struct auth_budget *budget, const struct auth_lock *lock) {
    char note[AUTH_FOLDER_NOTE_MAX + 1];
    struct auth_budget left = {0};
    const char *at = note;
    note[auth_folder_read_note(lock, note)] = '\0';
    if (read_number(&at, ' ', &left.spent_ns) && read_number(&at, ' ', &left.at_wall_ns) &&
        read_number(&at, '\0', &left.replaced_wall_ns) && left.spent_ns <= FULL_NS)
        *budget = left;
}

void auth_budget_save(const struct auth_budget *budget, const struct auth_lock *lock) {
    char note[AUTH_FOLDER_NOTE_MAX + 1];
    int length = snprintf(note, sizeof note, "%" PRId64 " %" PRId64 " %" PRId64, budget->spent_ns,
                          budget->at_wall_ns, budget->replaced_wall_ns);
    if (length > 0)
        auth_folder_write_note(lock, note, (size_t)length);
}

/* --- what it allows --- */

/* What has been refilled meanwhile. A clock that was set back refills nothing, and stops nobody. */
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
    bool is_young = now_wall_ns - sent_wall_ns < AUTH_BUDGET_PEACE_NS;
    bool was_replaced = now_wall_ns - budget->replaced_wall_ns < AUTH_BUDGET_PEACE_NS;
    if (is_young && (proven ? budget->spent_ns > FULL_NS / 2 : was_replaced))
        return false;
    budget->replaced_wall_ns = now_wall_ns;
    return true;
}

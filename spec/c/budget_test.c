/* The budget, with clocks that move, and whatever a note may say. SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cache/budget.h"
#include "cache/folder_store.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW (INT64_C(1795484800) * S)

static void takes_a_burst_and_then_one_in_a_while(void **state) {
    (void)state;
    struct auth_budget budget = {0};
    for (int i = 0; i < AUTH_BUDGET_BURST; i++)
        assert_int_equal(auth_budget_take(&budget, NOW), 0);
    assert_int_equal(auth_budget_take(&budget, NOW), AUTH_BUDGET_REFILL_NS);
    assert_int_equal(auth_budget_take(&budget, NOW + S), S);
    assert_int_equal(auth_budget_take(&budget, NOW + 2 * S - 1), 1);
    assert_int_equal(auth_budget_take(&budget, NOW + 2 * S), 0);
    assert_int_equal(auth_budget_take(&budget, NOW + 2 * S), 2 * S);
    assert_int_equal(auth_budget_take(&budget, NOW + 7 * S), 0);
    assert_int_equal(auth_budget_take(&budget, NOW + 7 * S), 0);
    assert_int_equal(auth_budget_take(&budget, NOW + 7 * S), S);
    int64_t later = NOW + 3600 * S;
    for (int i = 0; i < AUTH_BUDGET_BURST; i++)
        assert_int_equal(auth_budget_take(&budget, later), 0);
    assert_int_equal(auth_budget_take(&budget, later), 2 * S); /* no more than a burst was saved up */
}

static void allows_no_more_in_any_minute(void **state) {
    (void)state;
    struct auth_budget budget = {0};
    int taken = 0;
    for (int64_t at = 0; at < 60 * S; at += S / 100)
        taken += auth_budget_take(&budget, NOW + at) == 0;
    assert_int_equal(taken, AUTH_BUDGET_BURST + 29);
}

static void waits_no_longer_though_the_clock_steps_back(void **state) {
    (void)state;
    struct auth_budget budget = {0};
    for (int i = 0; i < AUTH_BUDGET_BURST; i++)
        assert_int_equal(auth_budget_take(&budget, NOW), 0);
    assert_int_equal(auth_budget_take(&budget, NOW - 86400 * S), 2 * S);
    assert_int_equal(auth_budget_take(&budget, NOW - 86398 * S), 0);
    assert_int_equal(auth_budget_take(&budget, NOW), 0); /* and forward: a full budget */
}

static bool may_replace(struct auth_budget *budget, int64_t sent, bool proven, int64_t now) {
    return auth_budget_may_replace(budget, sent, proven, now);
}

static void replaces_a_refused_token_once_a_minute(void **state) {
    (void)state;
    struct auth_budget budget = {0};
    assert_true(may_replace(&budget, NOW - S, false, NOW)); /* the first, however young */
    assert_int_equal(budget.replaced_wall_ns, NOW);
    assert_true(may_replace(&budget, NOW - S, false, NOW + S)); /* the same one, by another process */
    assert_int_equal(budget.replaced_wall_ns, NOW);
    assert_false(may_replace(&budget, NOW, false, NOW + S));
    assert_false(may_replace(&budget, NOW + S, false, NOW + 59 * S));
    assert_true(may_replace(&budget, NOW + S, false, NOW + 61 * S));
    assert_int_equal(budget.replaced_wall_ns, NOW + 61 * S);
}

static void replaces_a_proven_token_while_half_the_budget_is_left(void **state) {
    (void)state;
    struct auth_budget budget = {0};
    int replaced = 0;
    for (int i = 0; i < AUTH_BUDGET_BURST; i++) {
        bool may = may_replace(&budget, NOW, true, NOW);
        replaced += may;
        assert_int_equal(auth_budget_take(&budget, NOW), 0); /* spent by this process or by another one */
        assert_int_equal(may, i <= AUTH_BUDGET_BURST / 2);
    }
    assert_int_equal(replaced, AUTH_BUDGET_BURST / 2 + 1);
    assert_false(may_replace(&budget, NOW, true, NOW + S));
    assert_true(may_replace(&budget, NOW, true, NOW + 60 * S)); /* an old one anyway */
    assert_true(may_replace(&budget, NOW - S, false, NOW));
}

static void recovers_from_a_replacement_in_the_future(void **state) {
    (void)state;
    struct auth_budget budget = {.replaced_wall_ns = NOW + 3600 * S};
    assert_true(may_replace(&budget, NOW - S, false, NOW));
    assert_false(may_replace(&budget, NOW, false, NOW + S));
    assert_true(may_replace(&budget, NOW, false, NOW + 60 * S));
}

/* --- the note --- */

static char root[] = "/tmp/central-auth-XXXXXX";
static struct auth_store *store;
static struct auth_lock held;

static void lock(void) {
    struct auth_store_call call = {.why = NULL};
    assert_int_equal(store->kind->lock(store, "x.lock", 0, &held, &call), AUTH_STORE_OK);
}

static void hands_the_budget_to_the_next_holder(void **state) {
    (void)state;
    struct auth_budget first = {0};
    struct auth_budget next = {0};
    lock();
    auth_budget_load(&first, &held);
    assert_int_equal(first.at_wall_ns, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(auth_budget_take(&first, NOW), 0);
    assert_true(may_replace(&first, NOW, true, NOW));
    auth_budget_save(&first, &held);
    store->kind->unlock(store, &held);
    auth_budget_save(&next, &held); /* not held any more */
    lock();
    auth_budget_load(&next, &held);
    assert_memory_equal(&next, &first, sizeof next);
    struct auth_budget largest = {.spent_ns = 20 * S, .at_wall_ns = INT64_MAX, .replaced_wall_ns = INT64_MAX};
    auth_budget_save(&largest, &held);
    auth_budget_load(&next, &held);
    assert_memory_equal(&next, &largest, sizeof next);
    assert_int_equal(auth_budget_take(&next, NOW), 2 * S);
    store->kind->unlock(store, &held);
}

static void takes_nonsense_in_the_note_for_none(void **state) {
    (void)state;
    static const struct auth_budget notes[] = {{.spent_ns = -1, .at_wall_ns = 2, .replaced_wall_ns = 3},
                                               {.spent_ns = 20 * S + 1, .at_wall_ns = 2},
                                               {.spent_ns = 1, .at_wall_ns = -1},
                                               {.spent_ns = 1, .at_wall_ns = 2, .replaced_wall_ns = -1}};
    struct auth_budget before = {.spent_ns = 6 * S, .at_wall_ns = NOW, .replaced_wall_ns = 7};
    struct auth_budget budget = before;
    lock();
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        auth_budget_save(&notes[i], &held);
        auth_budget_load(&budget, &held);
        assert_memory_equal(&budget, &before, sizeof budget);
    }
    assert_int_equal(ftruncate(held.fd, sizeof budget - 1), 0);
    auth_budget_load(&budget, &held);
    assert_memory_equal(&budget, &before, sizeof budget);
    store->kind->unlock(store, &held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_burst_and_then_one_in_a_while),
        cmocka_unit_test(allows_no_more_in_any_minute),
        cmocka_unit_test(waits_no_longer_though_the_clock_steps_back),
        cmocka_unit_test(replaces_a_refused_token_once_a_minute),
        cmocka_unit_test(replaces_a_proven_token_while_half_the_budget_is_left),
        cmocka_unit_test(recovers_from_a_replacement_in_the_future),
        cmocka_unit_test(hands_the_budget_to_the_next_holder),
        cmocka_unit_test(takes_nonsense_in_the_note_for_none),
    };
    if (!auth_secret_init() || mkdtemp(root) == NULL)
        return 1;
    store = auth_folder_store_new(root);
    int failed = RUN(tests);
    store->kind->free(store);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    return system(command) != 0 || failed;
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/lifetime.h"

#include <math.h>

static const struct auth_instant sent = {.boot_ns = 1000 * AUTH_NS_PER_S, .wall_ns = 5000 * AUTH_NS_PER_S};

static int64_t s(double seconds) {
    return (int64_t)(seconds * (double)AUTH_NS_PER_S);
}

static struct auth_lifetime of(double expires_in_s) {
    return auth_lifetime_begin(sent, (struct auth_lifetime_terms){.expires_in_s = expires_in_s});
}

static void is_none_before_it_begins(void **state) {
    (void)state;
    struct auth_lifetime none = {0};
    assert_int_equal(auth_lifetime_state_at(&none, 0), AUTH_LIFETIME_NONE);
    assert_int_equal(auth_lifetime_state_at(&none, INT64_MAX), AUTH_LIFETIME_NONE);
}

static void passes_through_its_states(void **state) {
    (void)state;
    struct auth_lifetime life = of(7200);
    assert_int_equal(life.life_ns, s(7200));
    assert_int_equal(life.fresh_ns, s(6600));
    assert_int_equal(life.usable_ns, s(7170));
    assert_int_equal(auth_lifetime_state_at(&life, 0), AUTH_LIFETIME_FRESH);
    assert_int_equal(auth_lifetime_state_at(&life, s(6600) - 1), AUTH_LIFETIME_FRESH);
    assert_int_equal(auth_lifetime_state_at(&life, s(6600)), AUTH_LIFETIME_STALE);
    assert_int_equal(auth_lifetime_state_at(&life, s(7170) - 1), AUTH_LIFETIME_STALE);
    assert_int_equal(auth_lifetime_state_at(&life, s(7170)), AUTH_LIFETIME_EXPIRED);
    assert_int_equal(auth_lifetime_state_at(&life, INT64_MAX), AUTH_LIFETIME_EXPIRED);
}

static void scales_with_short_lives(void **state) {
    (void)state;
    struct auth_lifetime life = of(100);
    assert_int_equal(life.fresh_ns, s(75));
    assert_int_equal(life.usable_ns, s(90));
}

static void takes_odd_lives_as_not_said(void **state) {
    (void)state;
    const double odd[] = {0.0, -0.0, -1.0, -1e300, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(of(odd[i]).life_ns, s(AUTH_LIFETIME_DEFAULT_S));
}

static void caps_absurd_lives_before_any_multiplication(void **state) {
    (void)state;
    const double absurd[] = {86401, 7200000, 1e18, 1e300};
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++)
        assert_int_equal(of(absurd[i]).life_ns, s(AUTH_LIFETIME_MAX_S));
}

static void lets_a_ready_made_token_live_on_without_a_window(void **state) {
    (void)state;
    struct auth_lifetime_terms terms = {.expires_in_s = 864000, .renew_before_s = 600, .ready_made = true};
    struct auth_lifetime life = auth_lifetime_begin(sent, terms);
    assert_int_equal(life.life_ns, s(864000));
    assert_int_equal(life.fresh_ns, s(864000 - 30));
    assert_int_equal(life.usable_ns, life.fresh_ns);
    terms.refresh_in_s = 60; /* then its source is read again */
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(60));
    terms.expires_in_s = (double)NAN;
    assert_int_equal(auth_lifetime_begin(sent, terms).life_ns, s(AUTH_LIFETIME_READY_MADE_S));
    terms.expires_in_s = 1e300;
    assert_int_equal(auth_lifetime_begin(sent, terms).life_ns, s(AUTH_LIFETIME_READY_MADE_S));
}

static void keeps_its_order_for_the_shortest_life(void **state) {
    (void)state;
    const double lives[] = {1e-300, 1e-9, 1e-6, 0.001, 1, 59.9, 86400};
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        for (double renew_before = 0; renew_before < 200000; renew_before = renew_before * 10 + 1) {
            struct auth_lifetime life = auth_lifetime_begin(
                sent, (struct auth_lifetime_terms){
                          .expires_in_s = lives[i], .renew_before_s = renew_before, .jitter = 1});
            assert_true(life.fresh_ns > 0);
            assert_true(life.fresh_ns <= life.usable_ns);
            assert_true(life.usable_ns < life.life_ns);
        }
    }
}

static void begins_in_time_for_a_slow_server(void **state) {
    (void)state;
    struct auth_lifetime_terms terms = {.expires_in_s = 100, .took_s = 20}; /* margin 10, window 25 */
    assert_int_equal(auth_lifetime_begin((struct auth_instant){0}, terms).fresh_ns, 50 * AUTH_NS_PER_S);
    terms.took_s = 300;
    assert_int_equal(auth_lifetime_begin((struct auth_instant){0}, terms).fresh_ns, 50 * AUTH_NS_PER_S);
    terms.took_s = 1;
    assert_int_equal(auth_lifetime_begin((struct auth_instant){0}, terms).fresh_ns, 75 * AUTH_NS_PER_S);
    terms.took_s = (double)NAN;
    assert_int_equal(auth_lifetime_begin((struct auth_instant){0}, terms).fresh_ns, 75 * AUTH_NS_PER_S);
}

static void jitter_widens_the_window_by_up_to_a_quarter(void **state) {
    (void)state;
    struct auth_lifetime_terms terms = {.expires_in_s = 7200, .jitter = 1};
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7200 - 750));
    terms.jitter = 17;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7200 - 750));
    terms.jitter = (double)NAN;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7200 - 600));
}

static void obeys_the_user_up_to_half_the_life(void **state) {
    (void)state;
    struct auth_lifetime_terms terms = {.expires_in_s = 7200, .renew_before_s = 60};
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7140));
    terms.renew_before_s = 80000;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(3600));
}

static void obeys_the_server_within_the_life(void **state) {
    (void)state;
    struct auth_lifetime_terms terms = {.expires_in_s = 7200, .refresh_in_s = 1800, .renew_before_s = 60};
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(1800));
    terms.refresh_in_s = 7199; /* within the margin: it must be renewed while still usable */
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7170));
    terms.refresh_in_s = 9000;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7140));
    terms.refresh_in_s = -5;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(7140));
    terms.refresh_in_s = 1; /* would be one request after the other */
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(60));
    terms.expires_in_s = 100;
    assert_int_equal(auth_lifetime_begin(sent, terms).fresh_ns, s(25));
}

static int64_t age_after(int64_t boot_ns, int64_t wall_ns) {
    struct auth_lifetime life = of(7200);
    return auth_lifetime_age_ns(
        &life, (struct auth_instant){.boot_ns = sent.boot_ns + boot_ns, .wall_ns = sent.wall_ns + wall_ns});
}

static void ages_by_the_clock_that_saw_more(void **state) {
    (void)state;
    assert_int_equal(age_after(s(10), s(10)), s(10));
    assert_int_equal(age_after(s(0), s(3600)), s(3600));  /* a paused machine whose boot clock stood still */
    assert_int_equal(age_after(s(60), s(-86400)), s(60)); /* the wall clock was set back */
    assert_int_equal(age_after(s(-5), s(-5)), 0);
}

static bool rebase(int64_t boot_age_ns, int64_t wall_age_ns, bool same_boot, int64_t *age_ns) {
    struct auth_instant now = {.boot_ns = 2000 * AUTH_NS_PER_S, .wall_ns = 9000 * AUTH_NS_PER_S};
    struct auth_instant then = {.boot_ns = now.boot_ns - boot_age_ns, .wall_ns = now.wall_ns - wall_age_ns};
    bool ok = auth_lifetime_rebase(&then, now, same_boot);
    if (ok) {
        assert_int_equal(now.boot_ns - then.boot_ns, now.wall_ns - then.wall_ns);
        *age_ns = now.boot_ns - then.boot_ns;
    }
    return ok;
}

static void takes_over_what_another_process_noted(void **state) {
    (void)state;
    int64_t age = 0;
    assert_true(rebase(s(60), s(60), true, &age));
    assert_int_equal(age, s(60));
    assert_true(rebase(s(60), s(3600), true, &age)); /* paused, or the wall clock was set on */
    assert_int_equal(age, s(3600));
    assert_true(rebase(s(60), s(10), true, &age)); /* the wall clock was set back a little */
    assert_int_equal(age, s(60));
    assert_true(rebase(s(-500), s(100), false, &age)); /* another boot: its boot clock says nothing */
    assert_int_equal(age, s(100));
    assert_true(rebase(s(-0.05), s(-0.05), true, &age)); /* less than a step */
    assert_int_equal(age, 0);
    assert_true(rebase(s(2500), s(2500), true, &age)); /* from another machine, sent before this one booted */
    assert_int_equal(age, s(2500));
}

static void trusts_nothing_from_the_future(void **state) {
    (void)state;
    int64_t age = 0;
    assert_false(rebase(s(60), s(-1), true, &age));
    assert_false(rebase(s(-1), s(60), true, &age)); /* another time namespace */
    assert_false(rebase(s(60), s(-1), false, &age));
    struct auth_instant absurd = {.boot_ns = INT64_MIN, .wall_ns = INT64_MIN};
    assert_false(auth_lifetime_rebase(&absurd, sent, true));
    absurd = (struct auth_instant){.boot_ns = INT64_MAX, .wall_ns = INT64_MAX};
    assert_false(auth_lifetime_rebase(&absurd, sent, true));
}

static void ages_by_the_oldest_of_three_where_another_machine_wrote(void **state) {
    (void)state;
    const struct auth_instant now = {.boot_ns = 50 * AUTH_NS_PER_S, .wall_ns = 1000 * AUTH_NS_PER_S};
    static const struct {
        int64_t sent_s;
        int64_t date_s;
        int64_t kept_s;
        int64_t age_s;
    } cases[] = {{900, -1, 10, 100},   {1300, -1, 10, 10},  {1300, 880, 10, 120},   {900, 1290, 10, 100},
                 {900, 950, 500, 500}, {2000, 2000, -5, 0}, {990, INT64_MAX, 1, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_instant told = {.boot_ns = 7, .wall_ns = cases[i].sent_s * AUTH_NS_PER_S};
        assert_true(auth_lifetime_receive(&told, now, cases[i].date_s, cases[i].kept_s * AUTH_NS_PER_S));
        assert_int_equal(now.wall_ns - told.wall_ns, cases[i].age_s * AUTH_NS_PER_S);
        assert_int_equal(now.boot_ns - told.boot_ns, cases[i].age_s * AUTH_NS_PER_S);
    }
    struct auth_instant nobodys = {.wall_ns = -1};
    assert_false(auth_lifetime_receive(&nobodys, now, -1, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_none_before_it_begins),
        cmocka_unit_test(passes_through_its_states),
        cmocka_unit_test(scales_with_short_lives),
        cmocka_unit_test(takes_odd_lives_as_not_said),
        cmocka_unit_test(caps_absurd_lives_before_any_multiplication),
        cmocka_unit_test(lets_a_ready_made_token_live_on_without_a_window),
        cmocka_unit_test(keeps_its_order_for_the_shortest_life),
        cmocka_unit_test(begins_in_time_for_a_slow_server),
        cmocka_unit_test(jitter_widens_the_window_by_up_to_a_quarter),
        cmocka_unit_test(obeys_the_user_up_to_half_the_life),
        cmocka_unit_test(obeys_the_server_within_the_life),
        cmocka_unit_test(ages_by_the_clock_that_saw_more),
        cmocka_unit_test(takes_over_what_another_process_noted),
        cmocka_unit_test(trusts_nothing_from_the_future),
        cmocka_unit_test(ages_by_the_oldest_of_three_where_another_machine_wrote),
    };
    return RUN(tests);
}

/* Each branch of a fetch, with a clock that moves instead of waits. SPDX-License-Identifier: MIT */
#include "fetch_world.h"

static const struct auth_fetch_shared *shared(enum auth_record_kind kind) {
    return &world.result->records[kind];
}

static void check_shared(enum auth_record_kind kind, uint64_t id, const char *body) {
    assert_true(shared(kind)->present);
    assert_true(shared(kind)->record.id == id);
    assert_int_equal(shared(kind)->record.body_length, strlen(body));
    assert_memory_equal(shared(kind)->record.body, body, strlen(body));
}

static void check_near(int64_t is_ns, int64_t expected_ns) {
    assert_true(is_ns > expected_ns - 3 * S / 4 && is_ns < expected_ns + 3 * S / 4);
}

/* --- a request --- */

static void makes_a_request_and_shares_the_reply(void **state) {
    (void)state;
    struct auth_record record;
    char body[64];
    world.script[0] = (struct answer){.status = 200, .body = TOKEN, .took_ns = 3 * S, .retry_after_s = 9};
    new_fetch()->failures = 4;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.result->count, 1);
    assert_int_equal(world.answered, 1);
    assert_string_equal(world.bodies[0], "grant_type=client_credentials&client_id=me&client_secret=" SECRET);
    assert_string_equal(world.headers[0], "");
    assert_content(world.result->attempts[0].reply.body, TOKEN);
    assert_int_equal(world.result->attempts[0].reply.status, 200);
    assert_content(world.result->secret, SECRET);
    assert_true(world.result->secret_was_read);
    uint64_t id = read_record(false, AUTH_RECORD_LAST, &record, body, sizeof body);
    assert_true(id != 0 && id == world.result->attempts[0].id);
    assert_string_equal(body, TOKEN);
    assert_int_equal(record.status, 200);
    assert_int_equal(record.failures, 5);
    assert_int_equal(record.retry_after_s, 9);
    check_near(record.took_ns, 3 * S);
    check_near(world_now_ns() - record.sent.boot_ns, 3 * S);
    assert_int_equal(local_id(AUTH_RECORD_TOKEN), 0);
    assert_string_equal(world.result->local_problem, "");
    assert_string_equal(world.result->lock_problem, "");
    assert_true(locks_are_free());
}

static void gives_a_try_all_the_time_that_is_left(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 503, .took_ns = 10 * S};
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    check_near(world.left_ns[0], 30 * S);
    check_near(world.left_ns[1], 20 * S);
}

static void authenticates_in_each_style(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_fetch();
    order->style = AUTH_FETCH_BASIC;
    set_text(&order->secret.value, "a/b 0123456789abcdef");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.bodies[0], "grant_type=client_credentials");
    assert_string_equal(world.headers[0], "Authorization: Basic bWU6YSUyRmIrMDEyMzQ1Njc4OWFiY2RlZg==");
    order = new_fetch();
    order->style = AUTH_FETCH_BASIC_RAW;
    set_text(&order->secret.value, "a/b 0123456789abcdeg");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.headers[0], "Authorization: Basic bWU6YS9iIDAxMjM0NTY3ODlhYmNkZWc=");
    order = new_fetch(); /* a public client */
    order->style = AUTH_FETCH_BASIC;
    order->secret.kind = AUTH_SECRET_NONE;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.bodies[0], "grant_type=client_credentials&client_id=me");
    assert_string_equal(world.headers[0], "");
    assert_int_equal(world.result->secret.length, 0);
    assert_false(world.result->secret_was_read);
    order = new_fetch(); /* a token exchange */
    free(order->client_id);
    order->client_id = NULL;
    order->assertion.kind = AUTH_SECRET_COMMAND;
    order->assertion.text = strdup("exit 1");
    set_text(&order->form, "subject_token=x");
    set_text(&order->identity, "exchange");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.bodies[0], "subject_token=x");
    assert_int_equal(world.result->assertion.length, 0);
}

static void obtains_an_assertion_for_each_try(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "echo x >>%s/count; wc -l <%s/count", world_root, world_root);
    struct auth_fetch_order *order = new_fetch();
    assert_int_equal(mkdir(world_folder, 0700), 0);
    order->style = AUTH_FETCH_BASIC;
    order->assertion.kind = AUTH_SECRET_COMMAND;
    order->assertion.text = strdup(command);
    world.script[0].status = 503;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
#define ASSERTION                                                                                            \
    "grant_type=client_credentials&client_id=me&client_assertion_type="                                      \
    "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="
    assert_string_equal(world.bodies[0], ASSERTION "1");
    assert_string_equal(world.bodies[1], ASSERTION "2");
    assert_string_equal(world.headers[0], "");
    assert_content(world.result->assertion, "2");
    order = new_fetch();
    order->assertion.kind = AUTH_SECRET_COMMAND;
    order->assertion.text = strdup("exit 3");
    order->good = order->seen[0] = local_id(AUTH_RECORD_LAST);
    assert_int_equal(run_fetch(), AUTH_FETCH_CONFIG);
    assert_string_equal(world.result->option, "client_assertion");
    assert_string_equal(world.result->problem, "the command ended with status 3");
    assert_int_equal(world.answered, 0);
    assert_true(locks_are_free());
}

/* --- the secret --- */

static void reads_the_secret_unless_it_is_known(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_fetch();
    set_text(&order->current, "current 0123456789");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_content(world.result->secret, "current 0123456789");
    assert_false(world.result->secret_was_read);
    order = new_fetch();
    order->secret.kind = AUTH_SECRET_COMMAND;
    order->secret.text = strdup("echo printed-0123456789");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_content(world.result->secret, "printed-0123456789");
    assert_true(world.result->secret_was_read);
}

static void reads_it_again_after_a_refusal(void **state) {
    (void)state;
    static const struct {
        const char *current, *former, *source;
        enum auth_fetch_outcome outcome;
    } cases[] = {{"old 0123456789abcd", "", SECRET, AUTH_FETCH_REPLY},
                 {SECRET, "", SECRET, AUTH_FETCH_UNCHANGED},
                 {"new 0123456789abcd", SECRET, SECRET, AUTH_FETCH_UNCHANGED},
                 {"new 0123456789abcd", "older 0123456789ab", SECRET, AUTH_FETCH_REPLY},
                 {SECRET, "", NULL, AUTH_FETCH_UNCHANGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_fetch_order *order = new_fetch();
        order->reread = true;
        order->secret.kind = cases[i].source != NULL ? AUTH_SECRET_VALUE : AUTH_SECRET_NONE;
        set_text(&order->current, cases[i].current);
        set_text(&order->former, cases[i].former);
        set_text(&order->identity, cases[i].current);
        assert_int_equal(run_fetch(), cases[i].outcome);
        assert_int_equal(world.answered, cases[i].outcome == AUTH_FETCH_REPLY);
        assert_content(world.result->secret, SECRET);
    }
}

static void says_what_is_wrong_with_the_secret(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_fetch();
    order->secret.kind = AUTH_SECRET_FILE;
    order->secret.text = strdup("/nonexistent/secret");
    assert_int_equal(run_fetch(), AUTH_FETCH_CONFIG);
    assert_string_equal(world.result->option, "client_secret");
    assert_string_equal(world.result->problem, "/nonexistent/secret: No such file or directory");
    assert_int_equal(world.result->secret.length, 0);
    assert_int_equal(world.answered, 0);
}

static void shares_nothing_under_a_short_secret(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_remote_fetch();
    set_text(&order->secret.value, "0123456789abcde");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.result->attempts[0].id, 0);
    assert_int_equal(access(world_folder, F_OK), -1);
    assert_int_equal(world.remote.calls, 0);
    order = new_remote_fetch();
    auth_secret_wipe(&order->identity);
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(access(world_folder, F_OK), -1);
}

/* --- records --- */

static void takes_a_record_it_has_not_seen(void **state) {
    (void)state;
    uint64_t last = write_record(false, AUTH_RECORD_LAST, "last", 401, S, -1);
    uint64_t token = write_record(false, AUTH_RECORD_TOKEN, "token", 200, S, -1);
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, last, "last");
    check_shared(AUTH_RECORD_TOKEN, token, "token");
    assert_int_equal(shared(AUTH_RECORD_LAST)->record.status, 401);
    assert_int_equal(world.answered, 0);
    assert_int_equal(world.result->count, 0);
    assert_true(locks_are_free());
    new_fetch()->seen[7] = last;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_false(shared(AUTH_RECORD_LAST)->present);
    check_shared(AUTH_RECORD_TOKEN, token, "token");
    struct auth_fetch_order *order = new_fetch();
    order->seen[0] = token;
    order->good = last;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_false(shared(AUTH_RECORD_LAST)->present || shared(AUTH_RECORD_TOKEN)->present);
}

static void takes_it_though_nobody_waits_and_the_lock_is_held(void **state) {
    (void)state;
    uint64_t last = write_record(false, AUTH_RECORD_LAST, TOKEN, 200, S, -1);
    assert_true(other_locks());
    new_fetch()->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, last, TOKEN);
}

/* Its Retry-After counts from when it came. */
static void tells_how_long_a_shared_reply_took(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 429, .retry_after_s = 60, .took_ns = 20 * S};
    new_fetch()->waits = false;
    world.order->tries = 1;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    move_clock(59 * S);
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_int_equal(shared(AUTH_RECORD_LAST)->record.status, 429);
    check_near(shared(AUTH_RECORD_LAST)->record.took_ns, 20 * S);
}

static void promotes_what_the_caller_holds(void **state) {
    (void)state;
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    uint64_t first = world.result->attempts[0].id;
    struct auth_fetch_order *order = new_fetch();
    order->good = order->seen[0] = first;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(local_id(AUTH_RECORD_TOKEN) == first);
    assert_true(local_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
    uint64_t second = world.result->attempts[0].id;
    new_fetch()->seen[0] = first; /* whose token is not known to be good */
    world.order->seen[1] = second;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(local_id(AUTH_RECORD_TOKEN) == first);
    assert_true(local_id(AUTH_RECORD_LAST) != second);
}

static void no_hostile_reply_replaces_a_promoted_token(void **state) {
    (void)state;
    static char huge[AUTH_SEAL_BODY_MAX + 2];
    memset(huge, 'x', sizeof huge - 1);
    const struct answer replies[] = {{.status = 200, .body = "{\"access_token\":\"t\""},
                                     {.status = 200, .body = "<html>"},
                                     {.status = 200, .body = "\0\xff\r\n", .body_length = 4},
                                     {.status = 200, .body = ""},
                                     {.status = 401, .body = "{\"error\":\"invalid_client\"}"},
                                     {.status = 999, .body = TOKEN},
                                     {.status = 200, .body = huge, .body_length = AUTH_SEAL_BODY_MAX},
                                     {.status = 200, .body = huge, .body_length = AUTH_SEAL_BODY_MAX + 1},
                                     {.status = 0, .failure = AUTH_TRANSFER_REPLY}};
    new_remote_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    uint64_t good = world.result->attempts[0].id;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        world.script[0] = replies[i];
        struct auth_fetch_order *order = new_remote_fetch();
        order->good = good;
        order->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), replies[i].status != 0 ? AUTH_FETCH_REPLY : AUTH_FETCH_FAILED);
        assert_true(local_id(AUTH_RECORD_TOKEN) == good);
        assert_true(remote_id(AUTH_RECORD_TOKEN) == good);
        bool is_too_large = replies[i].body_length > AUTH_SEAL_BODY_MAX;
        assert_int_equal(world.result->local_problem[0] != '\0', is_too_large);
        assert_int_equal(world.result->attempts[0].id != 0, replies[i].status != 0 && !is_too_large);
        assert_true(locks_are_free());
        move_clock(60 * S);
    }
}

static void forgets_records_first(void **state) {
    (void)state;
    uint64_t token = write_record(false, AUTH_RECORD_TOKEN, "token", 200, S, -1);
    uint64_t last = write_record(false, AUTH_RECORD_LAST, "last", 200, S, -1);
    uint64_t far = write_record(true, AUTH_RECORD_LAST, "far", 200, S, -1);
    struct auth_fetch_order *order = new_remote_fetch();
    order->forget[3] = token;
    order->forget[5] = far;
    order->look_only = true;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, last, "last");
    assert_false(shared(AUTH_RECORD_TOKEN)->present);
    assert_int_equal(local_id(AUTH_RECORD_TOKEN), 0);
    assert_int_equal(remote_id(AUTH_RECORD_LAST), 0);
    order = new_remote_fetch();
    order->forget[0] = last;
    order->look_only = true;
    assert_int_equal(run_fetch(), AUTH_FETCH_NOTHING);
    assert_int_equal(local_id(AUTH_RECORD_LAST), 0);
}

static void forgets_all_without_the_lock_too(void **state) {
    (void)state;
    for (int remote = 0; remote < 2; remote++)
        for (int kind = 0; kind < AUTH_RECORD_KINDS; kind++)
            (void)write_record(remote, (enum auth_record_kind)kind, "x", 200, S, -1);
    assert_true(other_locks());
    struct auth_fetch_order *order = new_remote_fetch();
    order->forget_all = order->look_only = true;
    assert_int_equal(run_fetch(), AUTH_FETCH_NOTHING);
    for (int kind = 0; kind < AUTH_RECORD_KINDS; kind++)
        assert_true(local_id((enum auth_record_kind)kind) == 0 &&
                    remote_id((enum auth_record_kind)kind) == 0);
    assert_true(world.result->remote_wrote);
}

static void write_the_forgotten(void) {
    (void)write_record(false, AUTH_RECORD_LAST, "dead", 200, 0, -1);
    other_unlocks();
}

static void does_not_take_what_it_forgot_from_a_late_writer(void **state) {
    (void)state;
    assert_true(other_locks());
    world.next_id = write_record(false, AUTH_RECORD_LAST, "dead", 200, S, -1);
    new_fetch()->forget[2] = world.next_id;
    world.acts_at = 2;
    world.act = write_the_forgotten;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.naps, 2);
}

static void looks_and_asks_nobody(void **state) {
    (void)state;
    new_fetch()->look_only = true;
    assert_int_equal(run_fetch(), AUTH_FETCH_NOTHING);
    assert_int_equal(world.answered, 0);
    assert_int_equal(world.naps, 0);
    uint64_t far = write_record(true, AUTH_RECORD_LAST, "far", 200, S, -1);
    new_remote_fetch()->look_only = true;
    assert_true(other_locks());
    assert_int_equal(run_fetch(),
                     AUTH_FETCH_NOTHING); /* the holder of the machine's lock asks the remote store */
    assert_int_equal(world.remote.calls, 0);
    other_unlocks();
    new_remote_fetch()->look_only = true;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, far, "far");
    assert_true(local_id(AUTH_RECORD_LAST) == far);
    assert_true(locks_are_free());
    assert_int_equal(world.answered, 0);
}

static void does_without_a_folder_that_can_not_be_used(void **state) {
    (void)state;
    assert_int_equal(mkdir(world_folder, 0755), 0);
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.result->attempts[0].id, 0);
    assert_non_null(strstr(world.result->local_problem, "chmod 700"));
    assert_string_equal(world.result->lock_problem, "");
    assert_int_equal(chmod(world_folder, 0700), 0);
    char lock[128];
    (void)snprintf(lock, sizeof lock, "%s/%s.lock", world_folder, world_name);
    assert_int_equal(mkdir(lock, 0700), 0);
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(world.result->attempts[0].id != 0);
    assert_string_equal(world.result->local_problem, "");
    assert_string_not_equal(world.result->lock_problem, "");
    assert_int_equal(rmdir(lock), 0);
}

/* --- waiting for another process --- */

static void is_busy_where_nobody_waits(void **state) {
    (void)state;
    assert_true(other_locks());
    new_fetch()->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_BUSY);
    assert_int_equal(world.naps + (int)world.answered, 0);
}

static void write_at_the_fifth_nap(void) {
    (void)write_record(false, AUTH_RECORD_LAST, TOKEN, 200, 0, -1);
}

static void waits_for_the_holders_record(void **state) {
    (void)state;
    assert_true(other_locks());
    new_fetch();
    world.acts_at = 5;
    world.act = write_at_the_fifth_nap;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_int_equal(world.naps, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(world.naps_ns[i] / MS, 9); /* 20 ms, with jitter */
    assert_true(shared(AUTH_RECORD_LAST)->present);
}

static void asks_once_the_holder_has_gone(void **state) {
    (void)state;
    assert_true(other_locks());
    new_fetch();
    world.acts_at = 3;
    world.act = other_unlocks;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.naps, 3);
}

/* The request was sent after this part of the time. */
static void check_part(int64_t began_ns, double part) {
    int64_t after_ns = world.sent_at_ns[0] - began_ns - (int64_t)(part * HUGE_DEADLINE_S * (double)S);
    assert_in_range(after_ns + S / 50, 0, S);
}

static void overtakes_a_holder_that_hangs(void **state) {
    (void)state;
    static const struct {
        double random, part;
        bool has_remote;
    } cases[] = {
        {0, 0.5, false}, {0.5, 0.625, false}, {0.99, 0.7475, false}, {0, 0.9, true}, {0.5, 0.94, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(other_locks());
        struct auth_fetch_order *order = cases[i].has_remote ? new_remote_fetch() : new_fetch();
        order->seen[0] = local_id(AUTH_RECORD_LAST);
        world.random = cases[i].random;
        int64_t began_ns = world_now_ns();
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        check_part(began_ns, cases[i].part);
        assert_true(local_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
        other_unlocks();
        move_clock(60 * S);
    }
}

/* --- tries --- */

static void tries_again_what_may_pass(void **state) {
    (void)state;
    static const long statuses[] = {408, 425, 429, 502, 503, 504, 520, 524};
    static const enum auth_transfer_failure failures[] = {AUTH_TRANSFER_RESOLVE, AUTH_TRANSFER_CONNECT,
                                                          AUTH_TRANSFER_NETWORK, AUTH_TRANSFER_TIMEOUT};
    size_t count = sizeof statuses / sizeof *statuses;
    for (size_t i = 0; i < count + sizeof failures / sizeof *failures; i++) {
        world.script[0] = i < count ? (struct answer){.status = statuses[i]}
                                    : (struct answer){.failure = failures[i - count]};
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        assert_int_equal(world.result->count, 2);
        assert_int_equal(world.result->attempts[0].reply.status, i < count ? statuses[i] : 0);
        assert_int_equal(world.result->attempts[0].id != 0, i < count);
        assert_int_equal(world.result->attempts[1].reply.status, 200);
        assert_true(world.result->attempts[1].id == local_id(AUTH_RECORD_LAST));
        move_clock(60 * S);
    }
}

static void leaves_what_will_not_pass(void **state) {
    (void)state;
    static const struct answer answers[] = {{.status = 200, .body = "{}"},
                                            {.status = 302},
                                            {.status = 400},
                                            {.status = 401},
                                            {.status = 501},
                                            {.status = 519},
                                            {.failure = AUTH_TRANSFER_TLS},
                                            {.failure = AUTH_TRANSFER_CONFIG},
                                            {.failure = AUTH_TRANSFER_REPLY},
                                            {.failure = AUTH_TRANSFER_CONNECT, .proxy_status = 407}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        world.script[0] = answers[i];
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), answers[i].status != 0 ? AUTH_FETCH_REPLY : AUTH_FETCH_FAILED);
        assert_int_equal(world.result->count, 1);
        assert_int_equal(world.result->attempts[0].reply.failure, answers[i].failure);
        move_clock(60 * S);
    }
}

static void ends_where_the_transfer_has_no_memory(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 503};
    world.script[1] = (struct answer){.failure = AUTH_TRANSFER_MEMORY};
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_MEMORY);
    assert_int_equal(world.result->count, 1);
}

static void makes_no_more_tries_than_it_may(void **state) {
    (void)state;
    for (unsigned tries = 1; tries <= AUTH_FETCH_TRIES_MAX + 1; tries++) {
        for (size_t i = 0; i < SCRIPT_MAX; i++)
            world.script[i] = (struct answer){.status = 503};
        new_fetch()->tries = tries;
        world.order->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        size_t count = tries < AUTH_FETCH_TRIES_MAX ? tries : AUTH_FETCH_TRIES_MAX;
        assert_int_equal(world.result->count, count);
        struct auth_record record;
        assert_true(read_record(false, AUTH_RECORD_LAST, &record, NULL, 0) ==
                    world.result->attempts[count - 1].id);
        assert_int_equal(record.failures, count);
        move_clock(60 * S);
    }
}

static void backs_off_by_the_failures_so_far(void **state) {
    (void)state;
    static const struct {
        uint32_t failures;
        int64_t waits_ns[3];
    } cases[] = {{0, {500 * MS, 1000 * MS, 2000 * MS}},
                 {3, {4000 * MS, 8000 * MS, 16000 * MS}},
                 {100, {60 * S, 60 * S, 60 * S}},
                 {UINT32_MAX, {60 * S, 60 * S, 60 * S}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < 3; k++)
            world.script[k] = (struct answer){.status = 503};
        world.random = 0.999;
        struct auth_fetch_order *order = new_fetch();
        order->failures = cases[i].failures;
        order->seen[0] = local_id(AUTH_RECORD_LAST);
        order->deadline_ns = world_now_ns() + 300 * S;
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        for (size_t k = 0; k < 3; k++)
            check_near(world.sent_at_ns[k + 1] - world.sent_at_ns[k],
                       (int64_t)((double)cases[i].waits_ns[k] * 0.999));
        world.random = 0;
        move_clock(60 * S);
    }
}

static void waits_as_long_as_the_server_says(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 429, .retry_after_s = 7};
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    check_near(world.sent_at_ns[1] - world.sent_at_ns[0], 7 * S);
    assert_int_equal(world.naps, 7); /* and looks each second */
    static const int64_t long_ones[] = {30, 3600, INT64_MAX};
    for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
        move_clock(60 * S);
        world.script[0] = (struct answer){.status = 429, .retry_after_s = long_ones[i]};
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        assert_int_equal(world.result->count, 1);
        assert_int_equal(world.naps, 0);
    }
}

static void makes_no_try_that_has_no_time(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 503, .took_ns = HUGE_DEADLINE_S * S - 900 * MS};
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.result->count, 2);
    move_clock(60 * S);
    world.script[0].took_ns = HUGE_DEADLINE_S * S - 80 * MS;
    new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_int_equal(world.result->count, 1);
}

static void lock_by_other(void) {
    assert_true(other_locks());
}

static uint64_t late_id;

static void write_late(void) {
    late_id = write_record(false, AUTH_RECORD_LAST, "late", 200, 0, -1);
}

static void finds_another_processs_reply_in_a_pause(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 429, .retry_after_s = 20};
    new_fetch();
    world.acts_at = 4; /* the request and two naps before it */
    world.act = write_late;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_int_equal(world.naps, 3);
    assert_int_equal(world.result->count, 1);
    check_shared(AUTH_RECORD_LAST, late_id, "late");
}

static void pauses_without_the_lock(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 503, .retry_after_s = 5};
    new_fetch();
    world.acts_at = 3;
    world.act = other_unlocks;
    other_unlocks();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
    world.acts_at = 3;
    world.act = lock_by_other;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(other_lock.held); /* it could be taken in the pause, and was overtaken */
    assert_int_equal(world.result->count, 2);
}

static void makes_no_request_before_it_may(void **state) {
    (void)state;
    int64_t due_ns = world_now_ns() + 5 * S;
    new_fetch()->not_before_ns = due_ns;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    check_near(world.sent_at_ns[0], due_ns);
    assert_int_equal(world.naps, 5);
    struct auth_fetch_order *order = new_fetch();
    order->not_before_ns = world_now_ns() + 20 * S;
    order->seen[0] = local_id(AUTH_RECORD_LAST);
    world.acts_at = 2;
    world.act = write_late;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_int_equal(world.naps, 2);
    order = new_fetch();
    order->not_before_ns = world_now_ns() + 20 * S;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED); /* at once */
    assert_int_equal(world.naps, 0);
    order = new_fetch();
    order->not_before_ns = world_now_ns() + 60 * S;
    order->seen[0] = local_id(AUTH_RECORD_LAST);
    world.acts_at = 0;
    assert_int_equal(run_fetch(), AUTH_FETCH_TIMEOUT);
    check_near(world.slept_ns, 30 * S);
}

/* --- the budget --- */

static struct auth_budget spent_budget(void) {
    return (struct auth_budget){.spent_ns = AUTH_BUDGET_BURST * AUTH_BUDGET_REFILL_NS,
                                .at_wall_ns = auth_clock_wall_ns(&world.order->clock)};
}

/* A fetch after the machine's other processes have used the budget up. */
static struct auth_fetch_order *new_limited_fetch(void) {
    new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
    struct auth_budget budget = spent_budget();
    assert_true(other_locks());
    auth_budget_save(&budget, &other_lock);
    other_unlocks();
    return world.order;
}

static void keeps_the_budget_of_the_machine(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    }
    assert_true(world.result->budget.spent_ns > 2 * S); /* by fetches that knew nothing of each other */
    new_limited_fetch()->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_LIMITED);
    assert_int_equal(world.answered, 0);
    assert_in_range(world.result->retry_after_ns, 1, AUTH_BUDGET_REFILL_NS);
    assert_true(locks_are_free());
    new_limited_fetch()->deadline_ns = world_now_ns() + S / 2;
    assert_int_equal(run_fetch(), AUTH_FETCH_LIMITED);
    assert_int_equal(world.naps, 0);
    int64_t began_ns = world_now_ns();
    new_limited_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(world.sent_at_ns[0] - began_ns >= AUTH_BUDGET_REFILL_NS);
}

static void waits_for_the_budget_without_the_lock(void **state) {
    (void)state;
    new_limited_fetch();
    world.acts_at = 1;
    world.act = write_late;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, late_id, "late");
    assert_int_equal(world.naps, 1);
    new_limited_fetch();
    world.acts_at = 1;
    world.act = lock_by_other;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(other_lock.held); /* it could be taken meanwhile, and was overtaken */
}

static void keeps_its_own_budget_without_a_folder(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct auth_fetch_order *order = new_fetch();
        order->local->kind->free(order->local);
        order->local = NULL;
        order->waits = false;
        if (i > 0)
            order->budget = spent_budget();
        assert_int_equal(run_fetch(), i == 0 ? AUTH_FETCH_REPLY : AUTH_FETCH_LIMITED);
        assert_true(world.result->budget.spent_ns > (i == 0 ? S : 18 * S));
    }
}

/* --- the remote store --- */

static void shares_the_reply_with_all_machines(void **state) {
    (void)state;
    world.random = 0.3;
    new_remote_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(remote_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
    assert_true(local_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
    check_near(world.remote.lease_ns, 15 * S);
    assert_true(world.result->remote_wrote);
    assert_string_equal(world.result->remote_problem, "");
    assert_false(world.remote.is_locked || world.remote.is_open);
    uint64_t good = world.result->attempts[0].id;
    new_remote_fetch()->good = good;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(remote_id(AUTH_RECORD_TOKEN) == good && local_id(AUTH_RECORD_TOKEN) == good);
}

static void brings_home_what_another_machine_got(void **state) {
    (void)state;
    struct auth_record record;
    char body[16];
    uint64_t far = write_record(true, AUTH_RECORD_LAST, "far", 200, 5 * S, -1);
    uint64_t token = write_record(true, AUTH_RECORD_TOKEN, "token", 200, 9 * S, -1);
    new_remote_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, far, "far");
    check_shared(AUTH_RECORD_TOKEN, token, "token");
    assert_true(read_record(false, AUTH_RECORD_LAST, &record, body, sizeof body) == far);
    assert_string_equal(body, "far");
    check_near(world_now_ns() - record.sent.boot_ns, 5 * S);
    assert_true(local_id(AUTH_RECORD_TOKEN) == token);
    assert_true(locks_are_free());
    assert_int_equal(world.answered, 0);
    new_remote_fetch()->seen[0] = far;
    world.order->seen[1] = token;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY); /* the same in both stores */
}

/* As on a machine that was started for a job: other processes must not have to ask Redis for it again. */
static void brings_home_a_reply_from_before_this_boot(void **state) {
    (void)state;
    world.clock.boot_shift_ns -= world_now_ns() - 2 * S;
    uint64_t far = write_record(true, AUTH_RECORD_LAST, "far", 200, 60 * S, -1);
    new_remote_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_true(local_id(AUTH_RECORD_LAST) == far);
}

static void keeps_the_machines_newer_record(void **state) {
    (void)state;
    uint64_t far = write_record(true, AUTH_RECORD_LAST, "far", 200, 60 * S, -1);
    uint64_t near = write_record(false, AUTH_RECORD_LAST, "near", 503, 10 * S, -1);
    new_remote_fetch()->seen[0] = near;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, far, "far");
    assert_true(local_id(AUTH_RECORD_LAST) == near);
}

static void a_refusal_from_elsewhere_leaves_the_token_that_is_held(void **state) {
    (void)state;
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    uint64_t good = world.result->attempts[0].id;
    move_clock(60 * S);
    uint64_t refusal = write_record(true, AUTH_RECORD_LAST, "{\"error\":\"x\"}", 401, S, -1);
    new_remote_fetch()->good = good;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    assert_true(local_id(AUTH_RECORD_LAST) == refusal);
    assert_true(local_id(AUTH_RECORD_TOKEN) == good);
}

static void leaves_the_remote_store_to_the_holder_of_the_machines_lock(void **state) {
    (void)state;
    assert_true(other_locks());
    (void)write_record(true, AUTH_RECORD_LAST, "far", 200, S, -1);
    new_remote_fetch()->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_BUSY);
    assert_int_equal(world.remote.calls, 0);
}

static void write_far(void) {
    late_id = write_record(true, AUTH_RECORD_LAST, "late", 200, 0, -1);
}

static void waits_for_another_machine_with_the_machines_lock(void **state) {
    (void)state;
    world.remote.is_locked = true;
    world.random = 0.5;
    new_remote_fetch();
    world.acts_at = 18; /* three calls, a nap, three calls … */
    world.act = write_far;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, late_id, "late");
    assert_true(local_id(AUTH_RECORD_LAST) == late_id);
    static const int64_t pauses_ms[] = {50, 100, 200, 400};
    for (size_t i = 0; i < 4; i++)
        assert_in_range(world.naps_ns[i] / MS, pauses_ms[i] - 5, pauses_ms[i]);
    assert_true(world.remote.is_locked);
    assert_true(locks_are_free());
}

static void is_busy_while_another_machine_asks_and_nobody_waits(void **state) {
    (void)state;
    world.remote.is_locked = true;
    new_remote_fetch()->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_BUSY);
    assert_true(world.result->remote_wrote); /* it answers, and can be written to */
    assert_true(locks_are_free());
}

static void overtakes_another_machine_that_hangs(void **state) {
    (void)state;
    static const struct { double random, part; } cases[] = {{0, 0.75}, {0.5, 0.825}, {0.99, 0.8985}};
    world.remote.is_locked = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world.random = cases[i].random;
        new_remote_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        int64_t began_ns = world_now_ns();
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        check_part(began_ns, cases[i].part);
        assert_in_range(world.naps, 20, 70); /* each second in the end */
        assert_true(remote_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
        assert_true(world.remote.is_locked);
        move_clock(60 * S);
    }
}

static bool nap_and_write_far_in_the_end(const struct auth_deadline *deadline, int64_t duration_ns) {
    bool in_time = nap(deadline, duration_ns);
    bool patience_is_over = auth_deadline_left_ns(deadline) <= HUGE_DEADLINE_S * S / 4;
    if (patience_is_over && remote_id(AUTH_RECORD_LAST) == 0)
        write_far();
    return in_time;
}

static void looks_once_more_before_it_overtakes_another_machine(void **state) {
    (void)state;
    world.remote.is_locked = true;
    new_remote_fetch()->sleep = nap_and_write_far_in_the_end;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, late_id, "late");
}

static void looks_at_other_machines_in_a_pause(void **state) {
    (void)state;
    world.script[0] = (struct answer){.status = 503, .retry_after_s = 20, .meanwhile = NULL};
    new_remote_fetch();
    world.acts_at = 12;
    world.act = write_far;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    check_shared(AUTH_RECORD_LAST, late_id, "late");
    assert_true(world.naps < 6);
    assert_true(locks_are_free());
}

/* Forgets, looks, promotes, writes: with good records in both stores. */
static void fetch_with_all_calls(void) {
    move_clock(60 * S);
    uint64_t good = write_record(true, AUTH_RECORD_LAST, "good", 200, S, -1);
    struct auth_fetch_order *order = new_remote_fetch();
    order->good = good;
    order->seen[0] = local_id(AUTH_RECORD_LAST);
    order->seen[1] = remote_id(AUTH_RECORD_TOKEN);
    order->forget[0] = 1;
}

static void goes_on_alone_after_any_fault_of_the_remote_store(void **state) {
    (void)state;
    fetch_with_all_calls();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.result->remote_problem, "");
    int calls = world.remote.calls;
    assert_int_equal(calls, 2 + 1 + 1 + 1 + 1);
    for (int i = 0; i < 2 * calls; i++) {
        bool hangs = i >= calls;
        world.remote.fails_at = hangs ? 0 : i + 1;
        world.remote.hangs_at = hangs ? i - calls + 1 : 0;
        fetch_with_all_calls();
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        assert_int_equal(world.result->count, 1);
        assert_true(local_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
        assert_int_equal(world.remote.calls, i % calls + 1);
        assert_string_equal(world.result->remote_problem,
                            hangs ? "it does not answer in time" : "the connection was cut");
        assert_false(world.result->remote_wrote);
        assert_false(world.remote.is_open || world.remote.by_us);
        assert_true(world.remote.waited_ns <= 2 * S + MS);
        assert_true(locks_are_free());
    }
}

static void gives_the_remote_store_no_more_than_its_time(void **state) {
    (void)state;
    static const struct {
        int64_t left_ns, slow_ns, most_ns;
        bool has_problem;
    } cases[] = {{30 * S, 100 * MS, 2 * S, false},     {30 * S, 900 * MS, 2 * S + MS, true},
                 {30 * S, 510 * MS, 2 * S + MS, true}, {30 * S, 20 * S, 2 * S + MS, true},
                 {30 * S, 500 * MS, 2 * S, true},      {S, 20 * S, S / 2 + MS, true},
                 {S, 150 * MS, S / 2 + MS, true},      {190 * MS, 20 * S, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world.remote.slow_ns = cases[i].slow_ns;
        new_remote_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        world.order->seen[1] = remote_id(AUTH_RECORD_LAST);
        world.order->deadline_ns = world_now_ns() + cases[i].left_ns;
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        assert_true(world.remote.waited_ns <= cases[i].most_ns);
        assert_int_equal(world.result->remote_problem[0] != '\0', cases[i].has_problem);
        move_clock(60 * S);
    }
}

static void gives_it_its_password(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_remote_fetch();
    order->remote_password.kind = AUTH_SECRET_COMMAND;
    order->remote_password.text = strdup("echo hush");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_content(world.remote.password, "hush");
    order = new_remote_fetch();
    order->seen[0] = local_id(AUTH_RECORD_LAST);
    order->remote_password.kind = AUTH_SECRET_FILE;
    order->remote_password.text = strdup("/nonexistent/password");
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_string_equal(world.result->remote_problem,
                        "cache_password: /nonexistent/password: No such file or directory");
    assert_int_equal(world.remote.calls, 0);
}

static void keeps_the_reason_behind_a_long_path(void **state) {
    char path[151];
    (void)state;
    memset(path, 'x', sizeof path - 1);
    memcpy(path, "/nonexistent/", strlen("/nonexistent/"));
    path[sizeof path - 1] = '\0';
    struct auth_fetch_order *order = new_remote_fetch();
    order->remote_password.kind = AUTH_SECRET_FILE;
    order->remote_password.text = strdup(path);
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_non_null(strstr(world.result->remote_problem, "xxx: No such file or directory"));
}

static void uses_a_remote_store_without_a_folder(void **state) {
    (void)state;
    struct auth_fetch_order *order = new_remote_fetch();
    order->local->kind->free(order->local);
    order->local = NULL;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(remote_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
    order = new_remote_fetch();
    order->local->kind->free(order->local);
    order->local = NULL;
    assert_int_equal(run_fetch(), AUTH_FETCH_SHARED);
    world.remote.is_locked = true;
    order = new_remote_fetch();
    order->local->kind->free(order->local);
    order->local = NULL;
    order->seen[0] = remote_id(AUTH_RECORD_LAST);
    order->waits = false;
    assert_int_equal(run_fetch(), AUTH_FETCH_BUSY);
}

static void says_nothing_of_a_store_where_it_is_cancelled(void **state) {
    (void)state;
    for (int cancels = 0; cancels < 2; cancels++) {
        new_remote_fetch()->look_only = true;
        world.remote.hangs_at = cancels ? 0 : 1;
        world.acts_at = cancels ? 1 : 0;
        world.act = cancel_fetch;
        if (!cancels)
            world.order->deadline_ns = world_now_ns() + 900 * MS;
        assert_int_equal(run_fetch(), cancels ? AUTH_FETCH_CANCELLED : AUTH_FETCH_NOTHING);
        assert_int_equal(world.result->remote_problem[0] != '\0', !cancels);
        assert_false(world.remote.is_open);
    }
}

/* --- cancelled, or out of time, at each point --- */

/* A long fetch with all there is: forgets, waits, finds nothing, waits for another machine, is limited, tries
 * twice. */
static void long_fetch(void) {
    world.remote.is_locked = false;
    world.remote.fails_at = 0;
    world.script[0] = (struct answer){.status = 503, .retry_after_s = 3};
    struct auth_fetch_order *order = new_remote_fetch();
    order->not_before_ns = world_now_ns() + 3 * S / 2;
    order->forget[0] = 1;
    order->seen[0] = local_id(AUTH_RECORD_LAST);
    order->seen[1] = local_id(AUTH_RECORD_TOKEN);
    order->seen[2] = remote_id(AUTH_RECORD_LAST);
    order->seen[3] = remote_id(AUTH_RECORD_TOKEN);
    order->good = order->seen[0];
    world.random = 0.5;
}

static void ends_when_it_is_cancelled_at_any_point(void **state) {
    (void)state;
    long_fetch();
    world.acts_at = 0;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    int points = world.points;
    assert_true(points > 25);
    for (int i = 1; i <= points; i++) {
        move_clock(120 * S);
        long_fetch();
        world.acts_at = i;
        world.act = cancel_fetch;
        enum auth_fetch_outcome outcome = run_fetch();
        bool was_last = world.result->count == 2; /* the reply was there, and was being shared */
        assert_int_equal(outcome, was_last ? AUTH_FETCH_REPLY : AUTH_FETCH_CANCELLED);
        assert_true(world.points <= i + (was_last ? 3 : 1));
        assert_string_equal(world.result->remote_problem, "");
        assert_false(world.remote.by_us || world.remote.is_open);
        assert_true(locks_are_free());
    }
}

static void ends_when_its_time_is_over_at_any_point(void **state) {
    (void)state;
    long_fetch();
    world.acts_at = 0;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    int points = world.points;
    for (int i = 1; i <= points; i++) {
        move_clock(120 * S);
        long_fetch();
        world.acts_at = i;
        world.act = end_the_time;
        enum auth_fetch_outcome outcome = run_fetch();
        if (world.result->count > 0)
            assert_true(outcome == AUTH_FETCH_REPLY || outcome == AUTH_FETCH_FAILED ||
                        outcome == AUTH_FETCH_TIMEOUT);
        else
            assert_int_equal(outcome, AUTH_FETCH_TIMEOUT);
        assert_true(world.points <= i + 1);
        assert_false(world.remote.by_us || world.remote.is_open);
        assert_true(locks_are_free());
    }
}

/* A fetch that waits for another process, and one that waits for another machine. */
static void start_waiting(bool far) {
    world.remote.is_locked = far;
    if (far)
        new_remote_fetch();
    else if (new_fetch() != NULL)
        assert_true(other_locks());
}

static void ends_at_any_point_of_a_wait_for_others(void **state) {
    (void)state;
    void (*const acts[])(void) = {cancel_fetch, end_the_time};
    static const enum auth_fetch_outcome outcomes[] = {AUTH_FETCH_CANCELLED, AUTH_FETCH_TIMEOUT};
    for (int i = 0; i < 4 * 10; i++) {
        start_waiting(i % 2 == 0);
        world.acts_at = i / 4 + 1;
        world.act = acts[i / 2 % 2];
        assert_int_equal(run_fetch(), outcomes[i / 2 % 2]);
        assert_in_range(world.points, world.acts_at, world.acts_at + 1);
        assert_int_equal(world.answered, 0);
        other_unlocks();
        assert_true(locks_are_free());
    }
}

static void ends_at_once_where_it_was_cancelled_before(void **state) {
    (void)state;
    new_remote_fetch();
    cancel_fetch();
    cancel_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_CANCELLED);
    assert_int_equal(world.answered + (size_t)world.remote.calls, 0);
    new_fetch()->deadline_ns = world_now_ns() - S;
    assert_int_equal(run_fetch(), AUTH_FETCH_TIMEOUT);
    assert_int_equal(world.answered, 0);
    new_fetch()->look_only = true;
    cancel_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_CANCELLED);
    auth_fetch_free(NULL);
}

/* --- pauses --- */

static const struct auth_request *on_its_way;
static int pauses;

/* Pauses twice before it answers. */
static struct auth_reply *perform_with_pauses(struct auth_transfer *transfer,
                                              const struct auth_request *request,
                                              const struct auth_deadline *deadline) {
    assert_true((request == NULL) == (on_its_way != NULL));
    assert_true(deadline->pause_at_ns > 0);
    on_its_way = request != NULL ? request : on_its_way;
    if (++pauses % 3 != 0)
        return NULL;
    request = on_its_way;
    on_its_way = NULL;
    assert_false(world.remote.by_us || other_locks()); /* the lock is held meanwhile */
    other_unlocks();
    return perform_script(transfer, request, deadline);
}

static void runs_in_pieces_as_it_does_at_once(void **state) {
    (void)state;
    int64_t sent_after_ns[2][2];
    for (int i = 0; i < 2; i++) {
        world.script[0] = (struct answer){.status = 503, .retry_after_s = 2};
        assert_true(other_locks());
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        world.order->not_before_ns = world_now_ns() + 100 * MS;
        int64_t began_ns = world_now_ns();
        world.acts_at = 20;
        world.act = other_unlocks;
        if (i == 0) {
            assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
        } else {
            world.order->perform = perform_with_pauses;
            while (!auth_fetch_run(world.fetch, NULL, world_now_ns() + 15 * MS))
                assert_in_range(world_now_ns() - began_ns, 0, HUGE_DEADLINE_S * S);
            assert_int_equal(pauses, 6);
        }
        assert_int_equal(world.result->outcome, AUTH_FETCH_REPLY);
        assert_int_equal(world.result->count, 2);
        assert_int_equal(world.answered, 2);
        assert_string_equal(world.bodies[1], world.bodies[0]);
        assert_true(world.result->attempts[1].id == local_id(AUTH_RECORD_LAST));
        assert_true(locks_are_free());
        for (int j = 0; j < 2; j++)
            sent_after_ns[i][j] = world.sent_at_ns[j] - began_ns;
        move_clock(60 * S);
    }
    for (int j = 0; j < 2; j++)
        assert_in_range(sent_after_ns[1][j] - sent_after_ns[0][j] + 200 * MS, 0, 400 * MS);
}

static void leaves_no_lock_behind_a_pause(void **state) {
    (void)state;
    new_fetch()->perform = perform_with_pauses;
    assert_false(auth_fetch_run(world.fetch, NULL, world_now_ns() + S));
    assert_false(locks_are_free());
    on_its_way = NULL;
    pauses = 0;
    auth_fetch_clear(world.fetch);
    assert_true(locks_are_free());
}

static void says_what_takes_long_before_it_can_pause(void **state) {
    (void)state;
    new_fetch();
    assert_false(auth_fetch_is_long(world.fetch));
    world.order->secret.kind = AUTH_SECRET_COMMAND;
    assert_true(auth_fetch_is_long(world.fetch));
    set_text(&world.order->current, SECRET);
    assert_false(auth_fetch_is_long(world.fetch));
    world.order->reread = true;
    assert_true(auth_fetch_is_long(world.fetch));
    world.order->reread = false;
    world.order->assertion.kind = AUTH_SECRET_COMMAND;
    assert_true(auth_fetch_is_long(world.fetch));
    new_remote_fetch();
    assert_true(auth_fetch_is_long(world.fetch));
}

static void keeps_memory_and_no_secret_for_the_next_one(void **state) {
    (void)state;
    new_fetch();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    const struct auth_secret body = world.result->attempts[0].reply.body;
    const struct auth_secret secret = world.result->secret;
    auth_fetch_clear(world.fetch);
    assert_null(world.order->client_id);
    assert_null(world.order->local);
    assert_int_equal(world.result->count, 0);
    assert_ptr_equal(world.result->attempts[0].reply.body.data, body.data);
    for (size_t i = 0; i < sizeof TOKEN; i++)
        assert_int_equal(body.data[i], 0);
    for (size_t i = 0; i < sizeof SECRET; i++)
        assert_int_equal(secret.data[i], 0);
    auth_fetch_clear(world.fetch);
    auth_fetch_clear(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(makes_a_request_and_shares_the_reply),
        TEST(gives_a_try_all_the_time_that_is_left),
        TEST(authenticates_in_each_style),
        TEST(obtains_an_assertion_for_each_try),
        TEST(reads_the_secret_unless_it_is_known),
        TEST(reads_it_again_after_a_refusal),
        TEST(says_what_is_wrong_with_the_secret),
        TEST(shares_nothing_under_a_short_secret),
        TEST(takes_a_record_it_has_not_seen),
        TEST(takes_it_though_nobody_waits_and_the_lock_is_held),
        TEST(tells_how_long_a_shared_reply_took),
        TEST(promotes_what_the_caller_holds),
        TEST(no_hostile_reply_replaces_a_promoted_token),
        TEST(forgets_records_first),
        TEST(forgets_all_without_the_lock_too),
        TEST(does_not_take_what_it_forgot_from_a_late_writer),
        TEST(looks_and_asks_nobody),
        TEST(does_without_a_folder_that_can_not_be_used),
        TEST(is_busy_where_nobody_waits),
        TEST(waits_for_the_holders_record),
        TEST(asks_once_the_holder_has_gone),
        TEST(overtakes_a_holder_that_hangs),
        TEST(tries_again_what_may_pass),
        TEST(leaves_what_will_not_pass),
        TEST(ends_where_the_transfer_has_no_memory),
        TEST(makes_no_more_tries_than_it_may),
        TEST(backs_off_by_the_failures_so_far),
        TEST(waits_as_long_as_the_server_says),
        TEST(makes_no_try_that_has_no_time),
        TEST(finds_another_processs_reply_in_a_pause),
        TEST(pauses_without_the_lock),
        TEST(makes_no_request_before_it_may),
        TEST(keeps_the_budget_of_the_machine),
        TEST(waits_for_the_budget_without_the_lock),
        TEST(keeps_its_own_budget_without_a_folder),
        TEST(shares_the_reply_with_all_machines),
        TEST(brings_home_what_another_machine_got),
        TEST(brings_home_a_reply_from_before_this_boot),
        TEST(keeps_the_machines_newer_record),
        TEST(a_refusal_from_elsewhere_leaves_the_token_that_is_held),
        TEST(leaves_the_remote_store_to_the_holder_of_the_machines_lock),
        TEST(waits_for_another_machine_with_the_machines_lock),
        TEST(is_busy_while_another_machine_asks_and_nobody_waits),
        TEST(overtakes_another_machine_that_hangs),
        TEST(looks_once_more_before_it_overtakes_another_machine),
        TEST(looks_at_other_machines_in_a_pause),
        TEST(goes_on_alone_after_any_fault_of_the_remote_store),
        TEST(gives_the_remote_store_no_more_than_its_time),
        TEST(gives_it_its_password),
        TEST(keeps_the_reason_behind_a_long_path),
        TEST(uses_a_remote_store_without_a_folder),
        TEST(says_nothing_of_a_store_where_it_is_cancelled),
        TEST(ends_when_it_is_cancelled_at_any_point),
        TEST(ends_when_its_time_is_over_at_any_point),
        TEST(ends_at_any_point_of_a_wait_for_others),
        TEST(ends_at_once_where_it_was_cancelled_before),
        TEST(runs_in_pieces_as_it_does_at_once),
        TEST(leaves_no_lock_behind_a_pause),
        TEST(says_what_takes_long_before_it_can_pause),
        TEST(keeps_memory_and_no_secret_for_the_next_one),
    };
    if (!make_world())
        return 1;
    int failed = RUN(tests);
    return unmake_world() ? failed : 1;
}

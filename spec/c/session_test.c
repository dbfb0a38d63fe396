/* Sessions at a server that answers, is silent, or does not exist: on workers and without, cancelled,
 * abandoned, in forked children and at the exit. What a fetch does is in fetch_test. SPDX-License-Identifier:
 * MIT */
#include "exit.h"
#include "fetch/session.h"
#include "server.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char secret[] = "a-long-enough-secret";

static struct auth_clock wall;
static struct auth_notifier done;
static atomic_int threads_refused; /* that many are, from now on */
static atomic_bool hangs;          /* a fetch that `hang` holds up */
static atomic_bool goes_on;

/* In place of the system's, for all that is linked into this test. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_load(&threads_refused) > 0) {
        atomic_fetch_sub(&threads_refused, 1);
        return EAGAIN;
    }
    return real(thread, attributes, run, data);
}

/* A thread that was joined may be listed for a moment more. */
static bool falls_to(const char *folder, int most) {
    int64_t until_ns = auth_clock_boot_ns(&wall) + 5 * AUTH_NS_PER_S;
    while (entries(folder) > most && auth_clock_boot_ns(&wall) < until_ns)
        auth_clock_sleep(MS);
    return entries(folder) <= most;
}

/* In place of a sleep: hears no cancel. */
static bool hang(const struct auth_deadline *deadline, int64_t duration_ns) {
    (void)deadline, (void)duration_ns;
    atomic_store(&hangs, true);
    while (!atomic_load(&goes_on))
        auth_clock_sleep(MS / 10);
    atomic_store(&hangs, false);
    return false;
}

static struct auth_fetch_order *order_from(struct auth_session *session, const char *url) {
    assert_true(auth_session_open(session));
    struct auth_fetch_order *order = auth_session_order(session);
    assert_non_null(order);
    order->request.url = url;
    order->request.user_agent = "test";
    order->request.connect_timeout_ms = 10000;
    order->client_id = strdup("id");
    order->secret.kind = AUTH_SECRET_VALUE;
    assert_true(auth_secret_append(&order->secret.value, secret, sizeof secret - 1));
    assert_true(auth_secret_append(&order->form, "a=b", 3));
    order->clock = wall;
    order->tries = 1;
    order->waits = true;
    order->deadline_ns = auth_clock_boot_ns(&wall) + 10 * AUTH_NS_PER_S;
    assert_true(auth_request_complete(&order->request));
    return order;
}

static void start_fetch(struct auth_session *session, const char *url, const struct auth_notifier *notifier) {
    (void)order_from(session, url);
    assert_true(auth_session_fetch(session, notifier, 0));
}

static void start_call(struct auth_session *session, const char *url, const char *proxy,
                       const struct auth_notifier *notifier) {
    struct auth_request request = {
        .url = url, .user_agent = "test", .proxy = proxy, .timeout_ms = 10000, .connect_timeout_ms = 10000};
    assert_true(auth_session_open(session));
    struct auth_secret *body = auth_session_body(session);
    struct auth_secret *authorization = auth_session_authorization(session);
    assert_true(auth_secret_append(body, "a=b", 3));
    assert_true(auth_secret_append(authorization, "Authorization: x", 16));
    request.body = body;
    request.authorization = authorization;
    auth_session_call(session, &request, &wall, notifier);
}

static void wait_for(struct auth_session *session) {
    int64_t until_ns = auth_clock_boot_ns(&wall) + 10 * AUTH_NS_PER_S;
    while (!auth_session_wait(session, 100 * MS))
        assert_true(auth_clock_boot_ns(&wall) < until_ns);
}

static void assert_fetched(const struct auth_session *session) {
    const struct auth_fetch_result *result = auth_session_result(session);
    assert_non_null(result);
    assert_null(auth_session_reply(session));
    assert_int_equal(result->outcome, AUTH_FETCH_REPLY);
    assert_content(result->attempts[0].reply.body, "ok");
}

static void assert_called(const struct auth_session *session) {
    const struct auth_reply *reply = auth_session_reply(session);
    assert_non_null(reply);
    assert_null(auth_session_result(session));
    assert_int_equal(reply->status, 200);
    assert_content(reply->body, "ok");
}

static void does_one_after_the_other_and_signals(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    for (int i = 0; i < 6; i++) {
        bool fetches = i % 2 == 0;
        auth_notifier_clear(&done);
        if (fetches)
            start_fetch(&session, server.url, &done);
        else
            start_call(&session, server.url, NULL, &done);
        assert_true(auth_session_is_under_way(&session));
        assert_null(auth_session_result(&session));
        assert_null(auth_session_reply(&session));
        assert_true(auth_notifier_wait(&done, 5 * AUTH_NS_PER_S)); /* it does all by itself */
        assert_true(auth_session_wait(&session, 0));
        if (fetches)
            assert_fetched(&session);
        else
            assert_called(&session);
        auth_session_discard(&session);
        assert_null(auth_session_result(&session));
        assert_null(auth_session_reply(&session));
        assert_true(auth_session_wait(&session, 0));
    }
    auth_session_close(&session);
    auth_session_close(&session);
    stop(server);
}

static void runs_a_call_where_it_is_waited_for(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    int before = entries("/proc/self/task");
    start_call(&session, server.url, NULL, NULL);
    assert_true(falls_to("/proc/self/task", before));
    wait_for(&session);
    assert_called(&session);
    auth_session_close(&session);
    stop(server);
}

static void keeps_memory_and_no_secret_for_the_next_call(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    const unsigned char *kept = NULL;
    for (int i = 0; i < 3; i++) {
        start_call(&session, server.url, NULL, NULL);
        wait_for(&session);
        assert_called(&session);
        auth_session_discard(&session);
        const unsigned char *line = auth_session_authorization(&session)->data;
        for (int j = 0; j < 16; j++)
            assert_int_equal(line[j], 0);
        assert_true(kept == NULL || kept == line);
        kept = line;
    }
    auth_session_close(&session);
    stop(server);
}

static void needs_no_thread_where_somebody_waits(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    atomic_store(&threads_refused, 2);
    auth_notifier_clear(&done);
    start_call(&session, server.url, NULL, &done);
    assert_true(auth_notifier_wait(&done, 0));
    wait_for(&session);
    assert_called(&session);
    auth_session_discard(&session);
    auth_notifier_clear(&done);
    start_fetch(&session, server.url, &done);
    assert_true(auth_notifier_wait(&done, 0));
    assert_true(auth_session_wait(&session, 0)); /* whole */
    assert_fetched(&session);
    auth_session_discard(&session);
    assert_int_equal(atomic_load(&threads_refused), 0);

    atomic_store(&threads_refused, 1);
    order_from(&session, server.url)->waits = false;
    assert_false(auth_session_fetch(&session, &done, 0));
    assert_false(auth_session_is_under_way(&session));
    auth_session_close(&session);
    stop(server);
}

static void gives_a_fetch_without_a_thread_the_time_of_who_waits(void **state) {
    (void)state;
    struct server silent = serve("", HANG);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    assert_true(auth_session_limit(&session, 0)); /* nothing is under way */
    atomic_store(&threads_refused, 1);
    start_fetch(&session, silent.url, &done);
    assert_false(auth_session_limit(&session, 0));
    assert_true(auth_session_is_under_way(&session));
    assert_true(auth_session_limit(&session, 50 * MS));
    int64_t begun_ns = auth_clock_boot_ns(&wall);
    assert_true(auth_session_wait(&session, 0));
    assert_in_range(auth_clock_boot_ns(&wall) - begun_ns, 40 * MS, 2 * AUTH_NS_PER_S);
    assert_int_equal(auth_session_result(&session)->outcome, AUTH_FETCH_FAILED);
    auth_session_close(&session);
    stop(silent);
}

static void fetches_on_the_thread_of_who_waits(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    for (int i = 0; i < 2; i++) {
        atomic_store(&threads_refused, 1);
        auth_notifier_clear(&done);
        order_from(&session, server.url)->request.trace = true;
        assert_true(auth_session_fetch(&session, &done, 10 * AUTH_NS_PER_S));
        assert_false(auth_session_is_under_way(&session));
        assert_true(auth_notifier_wait(&done, 0));
        assert_fetched(&session);
        assert_true(auth_session_result(&session)->attempts[0].reply.trace.length > 0);
        auth_session_discard(&session);
        assert_int_equal(atomic_load(&threads_refused), 1); /* none was asked for */
    }
    atomic_store(&threads_refused, 0);
    auth_session_close(&session);
    stop(server);
}

/* A reply that is cut short. */
static void goes_on_where_it_paused(void **state) {
    (void)state;
    struct server silent = serve("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", HANG);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    for (int has_thread = 0; has_thread < 2; has_thread++) {
        atomic_store(&threads_refused, has_thread ? 0 : 1);
        auth_notifier_clear(&done);
        order_from(&session, silent.url)->deadline_ns = auth_clock_boot_ns(&wall) + 500 * MS;
        int64_t begun_ns = auth_clock_boot_ns(&wall);
        assert_true(auth_session_fetch(&session, &done, 20 * MS));
        assert_in_range(auth_clock_boot_ns(&wall) - begun_ns, 20 * MS, 500 * MS);
        assert_true(auth_session_is_under_way(&session));
        assert_int_equal(auth_notifier_wait(&done, 0), !has_thread);
        wait_for(&session);
        const struct auth_fetch_result *result = auth_session_result(&session);
        assert_int_equal(result->outcome, AUTH_FETCH_FAILED);
        assert_int_equal(result->count, 1);
        assert_int_equal(result->attempts[0].reply.failure, AUTH_TRANSFER_TIMEOUT);
        auth_session_discard(&session);
        assert_int_equal(atomic_load(&threads_refused), 0);
    }
    atomic_store(&threads_refused, 1);
    (void)order_from(&session, silent.url);
    assert_true(auth_session_fetch(&session, &done, 20 * MS));
    auth_session_close(&session); /* in a pause */
    stop(silent);
}

static void takes_a_worker_for_what_is_long(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    struct auth_fetch_order *order = order_from(&session, server.url);
    order->secret.kind = AUTH_SECRET_COMMAND;
    order->secret.text = strdup("echo "
                                "a-long-enough-secret");
    assert_true(auth_session_fetch(&session, NULL, 10 * AUTH_NS_PER_S));
    assert_int_equal(session.state, AUTH_SESSION_WORKER);
    wait_for(&session);
    assert_fetched(&session);
    auth_session_close(&session);
    stop(server);
}

static void reports_failures_at_once(void **state) {
    (void)state;
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    auth_notifier_clear(&done);
    start_call(&session, "https://127.0.0.1:1/", "nonsense://x", &done);
    assert_true(auth_notifier_wait(&done, 5 * AUTH_NS_PER_S));
    assert_true(auth_session_wait(&session, 0));
    assert_int_equal(auth_session_reply(&session)->failure, AUTH_TRANSFER_CONFIG);
    auth_session_close(&session);
}

static void start_any(struct auth_session *session, int kind, const char *url) {
    if (kind == 0)
        start_fetch(session, url, &done);
    else
        start_call(session, url, NULL, kind == 1 ? &done : NULL);
}

static void is_cancelled_in_a_moment(void **state) {
    (void)state;
    struct server silent = serve("", HANG);
    struct server server = serve(good, 0);
    int threads = entries("/proc/self/task");
    int descriptors = entries("/proc/self/fd");
    for (int kind = 0; kind < 3; kind++) {
        struct auth_session session = {.state = AUTH_SESSION_IDLE};
        start_any(&session, kind, silent.url);
        assert_false(auth_session_wait(&session, 50 * MS));
        int64_t begun_ns = auth_clock_boot_ns(&wall);
        auth_session_discard(&session);
        assert_true(auth_clock_boot_ns(&wall) - begun_ns < AUTH_SESSION_GRACE_NS / 2);
        assert_true(falls_to("/proc/self/task", threads));
        start_any(&session, kind, server.url);
        wait_for(&session);
        assert_true(auth_session_result(&session) != NULL || auth_session_reply(&session) != NULL);
        auth_session_discard(&session);
        start_any(&session, kind, silent.url);
        auth_session_close(&session);
    }
    assert_true(falls_to("/proc/self/task", threads));
    assert_int_equal(entries("/proc/self/fd"), descriptors);
    stop(silent);
    stop(server);
}

/* And goes on with another transfer. */
static void abandons_what_does_not_end(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_session session = {.state = AUTH_SESSION_IDLE};
    int threads = entries("/proc/self/task");
    int descriptors = entries("/proc/self/fd");
    for (int closes = 0; closes < 2; closes++) {
        struct auth_fetch_order *order = order_from(&session, server.url);
        order->not_before_ns = auth_clock_boot_ns(&wall) + 5 * AUTH_NS_PER_S;
        order->sleep = hang;
        atomic_store(&goes_on, false);
        auth_notifier_clear(&done);
        assert_true(auth_session_fetch(&session, &done, 0));
        while (!atomic_load(&hangs))
            auth_clock_sleep(MS);
        int64_t begun_ns = auth_clock_boot_ns(&wall);
        auth_session_cancel(&session);
        assert_true(auth_clock_boot_ns(&wall) - begun_ns < 2 * AUTH_SESSION_GRACE_NS);
        assert_true(auth_session_wait(&session, 0));
        assert_null(auth_session_result(&session));
        if (closes) {
            auth_session_close(&session);
        } else {
            start_call(&session, server.url, NULL, NULL);
            wait_for(&session);
            assert_called(&session);
        }
        atomic_store(&goes_on, true);
        assert_true(falls_to("/proc/self/task", threads));
        assert_false(auth_notifier_wait(&done, 0));
    }
    assert_int_equal(entries("/proc/self/fd"), descriptors);
    stop(server);
}

static void is_left_alone_by_a_forked_child(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    struct server silent = serve("", HANG);
    struct server server = serve(good, 0);
    for (int kind = 0; kind < 3; kind++) {
        struct auth_session session = {.state = AUTH_SESSION_IDLE};
        start_any(&session, kind, silent.url);
        pid_t child = fork();
        if (child == 0) {
            bool ok = !auth_session_is_ours(&session) && auth_session_wait(&session, AUTH_NS_PER_S) &&
                      auth_session_result(&session) == NULL && auth_session_reply(&session) == NULL;
            auth_session_discard(&session);
            start_any(&session, kind, server.url);
            wait_for(&session);
            ok = ok && auth_session_is_ours(&session) &&
                 (auth_session_result(&session) != NULL || auth_session_reply(&session)->status == 200);
            auth_session_close(&session);
            end_child(ok);
        }
        assert_int_equal(status_of(child), 0);
        assert_false(auth_session_wait(&session, 0)); /* the parent's goes on */
        auth_session_close(&session);
    }
    stop(silent);
    stop(server);
}

/* A daemon closes all descriptors after its fork: then their numbers are those of files of its own. */
static void closes_no_file_of_a_forked_child(void **state) {
    enum { NUMBERS = 64 };
    (void)state;
    struct server silent = serve("", HANG);
    for (int kind = 0; kind < 3; kind++) {
        struct auth_session session = {.state = AUTH_SESSION_IDLE};
        start_any(&session, kind, silent.url);
        pid_t child = fork();
        if (child == 0) {
            for (int fd = 3; fd < NUMBERS; fd++)
                (void)close(fd);
            while (open("/dev/null", O_RDONLY | O_CLOEXEC) < NUMBERS)
                continue;
            int before = entries("/proc/self/fd");
            auth_session_close(&session);
            end_child(entries("/proc/self/fd") == before);
        }
        assert_int_equal(status_of(child), 0);
        auth_session_close(&session);
    }
    stop(silent);
}

static void lets_the_process_exit(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    struct server silent = serve("", HANG);
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (child == 0) {
            struct auth_session session = {.state = AUTH_SESSION_IDLE};
            start_any(&session, kind, silent.url);
            exit(0);
        }
        assert_int_equal(status_of(child), 0);
    }
    stop(silent);
}

static struct auth_session left;

static void *closes_at_the_end(void *url) {
    wait_for_host_exit();
    auth_session_close(&left);
    start_call(&left, url, NULL, NULL);
    const struct auth_reply *reply =
        auth_session_wait(&left, 10 * AUTH_NS_PER_S) ? auth_session_reply(&left) : NULL;
    bool failed = reply != NULL && reply->failure == AUTH_TRANSFER_NETWORK;
    auth_session_close(&left);
    return failed ? url : NULL;
}

static void is_closed_by_other_threads_while_the_process_exits(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    if (getenv("UNDER_VALGRIND") != NULL)
        SKIP("under valgrind: what is left behind there on purpose is a leak to it");
    struct server silent = serve("", HANG);
    for (int kind = 0; kind < 2; kind++) {
        pid_t child = fork();
        if (child == 0) {
            start_any(&left, kind, silent.url);
            exit_with_host_thread(closes_at_the_end, silent.url);
        }
        assert_int_equal(status_of(child), 0);
    }
    stop(silent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_one_after_the_other_and_signals),
        cmocka_unit_test(runs_a_call_where_it_is_waited_for),
        cmocka_unit_test(keeps_memory_and_no_secret_for_the_next_call),
        cmocka_unit_test(needs_no_thread_where_somebody_waits),
        cmocka_unit_test(gives_a_fetch_without_a_thread_the_time_of_who_waits),
        cmocka_unit_test(fetches_on_the_thread_of_who_waits),
        cmocka_unit_test(goes_on_where_it_paused),
        cmocka_unit_test(takes_a_worker_for_what_is_long),
        cmocka_unit_test(reports_failures_at_once),
        cmocka_unit_test(is_cancelled_in_a_moment),
        cmocka_unit_test(abandons_what_does_not_end),
        cmocka_unit_test(is_left_alone_by_a_forked_child),
        cmocka_unit_test(closes_no_file_of_a_forked_child),
        cmocka_unit_test(lets_the_process_exit),
        cmocka_unit_test(is_closed_by_other_threads_while_the_process_exits),
    };
    if (atexit(end_host_thread) != 0 || !auth_session_init() || !auth_session_init() ||
        !auth_notifier_open(&done))
        return 1;
    int failed = RUN(tests);
    auth_notifier_close(&done);
    return failed;
}

/* Jobs against a server that answers, is silent, or does not exist; cancelled, forked and abandoned.
 * SPDX-License-Identifier: MIT */
#include "cache/cache.h"
#include "server.h"
#include "worker/job.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MS = 1000000 };

static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"access_token\":\"a-tok\"}";

static struct auth_clock wall;
static struct auth_alarm bell;
static char folder[] = "/tmp/central-auth-XXXXXX";

static struct auth_job_order order_to(const char *url) {
    struct auth_job_order order = {
        .request = {.url = url, .user_agent = "test", .timeout_ms = 10000, .connect_timeout_ms = 10000}};
    assert_true(auth_secret_append(&order.body, "grant_type=client_credentials", 29));
    return order;
}

/* With the lock of the name "n" taken, and all that is needed to share the reply. */
static struct auth_job_order order_sharing_in(const char *path, const char *url) {
    struct auth_job_order order = order_to(url);
    const char *why = NULL;
    struct auth_store *store = auth_folder_new(path);
    order.share.stores[AUTH_SHARE_NEAR] = store;
    (void)snprintf(order.share.name, sizeof order.share.name, "%s", "n");
    assert_true(auth_secret_append(&order.share.key, "01234567890123456789012345678901", 32));
    if (path == folder)
        assert_int_equal(store->kind->lock(store, "n.lock", 1000, &order.share.locks[AUTH_SHARE_NEAR], &why),
                         AUTH_STORE_OK);
    return order;
}

static struct auth_job_order sharing_order_to(const char *url) {
    return order_sharing_in(folder, url);
}

static bool is_locked(void) {
    const char *why = NULL;
    int lock = -1;
    if (auth_cache_lock(folder, "n.lock", &lock, &why) != AUTH_STORE_OK)
        return true;
    auth_cache_unlock(lock);
    return false;
}

static bool is_shared(const char *name, const char *content) {
    const char *why = NULL;
    struct auth_secret key = {0};
    struct auth_secret bytes = {0};
    struct auth_record record = {0};
    assert_true(auth_secret_append(&key, "01234567890123456789012345678901", 32));
    bool shared = auth_cache_read(folder, name, &bytes, &why) == AUTH_STORE_OK &&
                  auth_seal_decrypt(&record, &bytes, &key, name) && record.body_length == strlen(content) &&
                  memcmp(record.body, content, record.body_length) == 0;
    auth_secret_wipe(&key);
    auth_secret_wipe(&bytes);
    return shared;
}

static int threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = -2; /* . and .. */
    while (readdir(tasks) != NULL)
        count++;
    closedir(tasks);
    return count;
}

/* One that was joined may be listed for a moment more. */
static bool ends_threads_above(int most) {
    int64_t until = auth_clock_boot_ns(&wall) + 5 * AUTH_NS_PER_S;
    while (threads() > most && auth_clock_boot_ns(&wall) < until)
        (void)auth_clock_sleep(MS);
    return threads() <= most;
}

static void wait_for(struct auth_job *job) {
    int64_t until = auth_clock_boot_ns(&wall) + 10 * AUTH_NS_PER_S;
    while (!auth_job_wait(job, 100 * MS))
        assert_true(auth_clock_boot_ns(&wall) < until);
}

static const struct auth_transfer_reply *reply_of(struct auth_job *job) {
    const char *problems[AUTH_SHARE_STORES];
    const struct auth_transfer_reply *reply = auth_job_finish(job, problems);
    assert_null(problems[AUTH_SHARE_NEAR]);
    return reply;
}

static const struct auth_alarm *silent_bell(void) {
    auth_alarm_set(&bell, 3600 * AUTH_NS_PER_S);
    return &bell;
}

static void runs_on_a_thread_and_rings(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_job *job = auth_job_new();
    int before = 0;
    for (int i = 0; i < 3; i++) {
        struct auth_job_order order = sharing_order_to(server.url);
        auth_job_start(job, &order, &wall, silent_bell());
        assert_null(order.body.data);
        assert_false(order.share.locks[AUTH_SHARE_NEAR].held);
        assert_true(auth_alarm_wait(&bell, 5 * AUTH_NS_PER_S)); /* it does all by itself */
        assert_false(is_locked());
        assert_true(is_shared("n.token", "{\"access_token\":\"a-tok\"}"));
        assert_true(auth_job_wait(job, 0));
        if (i == 0)
            before = threads(); /* a sanitizer starts one of its own with our first */
        assert_true(ends_threads_above(before));
        assert_int_equal(reply_of(job)->status, 200);
        assert_content(reply_of(job)->body, "{\"access_token\":\"a-tok\"}");
    }
    auth_job_free(job);
    stop(server);
}

static void runs_where_it_is_waited_for_without_alarm(void **state) {
    (void)state;
    struct server server = serve(good, 0);
    struct auth_job *job = auth_job_new();
    int before = threads();
    struct auth_job_order order = sharing_order_to(server.url);
    auth_job_start(job, &order, &wall, NULL);
    assert_true(is_locked());
    assert_true(ends_threads_above(before));
    wait_for(job);
    assert_false(is_locked());
    assert_true(is_shared("n.token", "{\"access_token\":\"a-tok\"}"));
    assert_int_equal(reply_of(job)->status, 200);
    auth_job_free(job);
    stop(server);
}

static void shares_refusals_and_leaves_the_token(void **state) {
    (void)state;
    struct server server = serve("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}", 0);
    struct auth_job *job = auth_job_new();
    struct auth_job_order order = sharing_order_to(server.url);
    auth_job_start(job, &order, &wall, NULL);
    wait_for(job);
    assert_true(is_shared("n.failed", "{}"));
    assert_true(is_shared("n.token", "{\"access_token\":\"a-tok\"}"));
    stop(server);
    server = serve("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 0); /* says nothing about anything */
    order = sharing_order_to(server.url);
    auth_job_start(job, &order, &wall, NULL);
    wait_for(job);
    assert_true(is_shared("n.failed", "{}"));
    assert_true(is_shared("n.token", "{\"access_token\":\"a-tok\"}"));
    auth_job_free(job);
    stop(server);
}

static void tells_why_it_could_not_share(void **state) {
    (void)state;
    const char *problems[AUTH_SHARE_STORES];
    struct server server = serve(good, 0);
    struct auth_job *job = auth_job_new();
    struct auth_job_order order = order_sharing_in("/proc/nowhere", server.url);
    auth_job_start(job, &order, &wall, silent_bell());
    wait_for(job);
    assert_int_equal(auth_job_finish(job, problems)->status, 200);
    assert_non_null(problems[AUTH_SHARE_NEAR]);
    auth_job_free(job);
    stop(server);
}

static void tells_failures_at_once(void **state) {
    (void)state;
    struct auth_job *job = auth_job_new();
    struct auth_job_order order = order_to("https://127.0.0.1:1/");
    order.request.proxy = "nonsense://x";
    auth_job_start(job, &order, &wall, silent_bell());
    assert_true(auth_alarm_wait(&bell, 5 * AUTH_NS_PER_S));
    wait_for(job);
    assert_int_equal(reply_of(job)->failure, AUTH_TRANSFER_CONFIG);
    auth_job_free(job);
}

static void is_cancelled_in_a_moment(void **state) {
    (void)state;
    struct server silent = serve("", HANG);
    int before = threads();
    for (int threaded = 0; threaded < 2; threaded++) {
        struct auth_job *job = auth_job_new();
        struct auth_job_order order = sharing_order_to(silent.url);
        auth_job_start(job, &order, &wall, threaded ? silent_bell() : NULL);
        assert_false(auth_job_wait(job, 50 * MS));
        int64_t begun = auth_clock_boot_ns(&wall);
        auth_job_free(job);
        assert_true(auth_clock_boot_ns(&wall) - begun < AUTH_JOB_FAREWELL_NS / 2);
        assert_true(ends_threads_above(before));
        assert_false(is_locked());
    }
    auth_job_free(NULL);
    stop(silent);
}

static void is_forgotten_by_a_forked_child(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    struct server silent = serve("", HANG);
    struct server server = serve(good, 0);
    struct auth_job *job = auth_job_new();
    struct auth_job_order order = sharing_order_to(silent.url);
    auth_job_start(job, &order, &wall, silent_bell());
    pid_t child = fork();
    if (child == 0) {
        bool ok = !auth_job_is_ours(job) && is_locked();
        auth_job_free(job);
        struct auth_job *own = auth_job_new();
        struct auth_alarm alarm;
        ok = ok && own != NULL && auth_alarm_open(&alarm);
        struct auth_job_order another = order_to(server.url);
        auth_job_start(own, &another, &wall, &alarm);
        wait_for(own);
        ok = ok && reply_of(own)->status == 200;
        execl(ok ? "/bin/true" : "/bin/false", "", (char *)NULL); /* so that valgrind counts no leak */
        _exit(2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(auth_job_wait(job, 0)); /* the parent's goes on */
    assert_true(is_locked());
    auth_job_free(job);
    assert_false(is_locked());
    stop(silent);
    stop(server);
}

static void lets_the_process_exit(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    struct server silent = serve("", HANG);
    pid_t child = fork();
    if (child == 0) {
        struct auth_job *job = auth_job_new();
        struct auth_job_order order = order_to(silent.url);
        auth_job_start(job, &order, &wall, silent_bell());
        exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    stop(silent);
}

static struct auth_job *left;
static atomic_bool ends;

static void *closes_at_the_end(void *url) {
    struct auth_job_order order = order_to(url);
    while (!atomic_load(&ends))
        auth_clock_sleep(MS);
    auth_job_free(left);
    left = auth_job_new();
    auth_job_start(left, &order, &wall, NULL);
    bool failed = auth_job_wait(left, 10 * AUTH_NS_PER_S) && reply_of(left)->failure == AUTH_TRANSFER_NETWORK;
    auth_job_free(left);
    return failed ? url : NULL;
}

static pthread_t closer;
static bool end_at_exit;

/* Of a host that ends its threads at exit, and was there before us. */
static void end_threads(void) {
    void *closed = NULL;
    atomic_store(&ends, true);
    pthread_join(closer, &closed);
    _exit(closed != NULL ? 0 : 1);
}

static void at_exit(void) {
    if (end_at_exit)
        end_threads();
}

static void is_closed_by_other_threads_while_the_process_exits(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer allows a forked child no threads");
#endif
    if (getenv("UNDER_VALGRIND") != NULL)
        SKIP("under valgrind: what is left behind there on purpose is a leak to it");
    struct server silent = serve("", HANG);
    pid_t child = fork();
    if (child == 0) {
        struct auth_job_order order = order_to(silent.url);
        end_at_exit = true;
        left = auth_job_new();
        auth_job_start(left, &order, &wall, silent_bell());
        alarm(10);
        pthread_create(&closer, NULL, closes_at_the_end, silent.url);
        exit(2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    stop(silent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_on_a_thread_and_rings),
        cmocka_unit_test(runs_where_it_is_waited_for_without_alarm),
        cmocka_unit_test(shares_refusals_and_leaves_the_token),
        cmocka_unit_test(tells_why_it_could_not_share),
        cmocka_unit_test(tells_failures_at_once),
        cmocka_unit_test(is_cancelled_in_a_moment),
        cmocka_unit_test(is_forgotten_by_a_forked_child),
        cmocka_unit_test(lets_the_process_exit),
        cmocka_unit_test(is_closed_by_other_threads_while_the_process_exits),
    };
    if (atexit(at_exit) != 0 || !auth_job_init() || !auth_job_init() || mkdtemp(folder) == NULL ||
        !auth_alarm_open(&bell))
        return 1;
    int failed = RUN(tests);
    auth_alarm_close(&bell);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failed;
}

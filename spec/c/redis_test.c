/* Redis as a store, against a server of fixed answers: what is read into them, how long it waits, who may end
 * that, what a forked child may do. A real server is in spec/redis_spec.lua. SPDX-License-Identifier: MIT */
#include "redis/redis.h"
#include "server.h"
#include "worker/job.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MS = 1000000, LONG_MS = 10000, SHORT_MS = 100 };

/* valgrind takes many times as long. */
#define SOON_MS (getenv("UNDER_VALGRIND") != NULL ? 1200 : 120)

static struct auth_clock wall;

static int64_t now_ms(void) {
    return auth_clock_boot_ns(&wall) / MS;
}

/* A store at the port of a URL of server.h; the host may be a name. */
static struct auth_store *store_at(const char *url, const char *host, int limit_ms) {
    struct auth_redis_options options = {.limit_ns = (int64_t)limit_ms * MS};
    const char *port = strrchr(url, ':') + 1;
    (void)snprintf(options.address.host, sizeof options.address.host, "%s", host);
    (void)snprintf(options.address.port, sizeof options.address.port, "%.*s", (int)strcspn(port, "/"), port);
    struct auth_store *store = auth_redis_new(&options);
    assert_non_null(store);
    return store;
}

static struct auth_store *store_of(struct server server, int limit_ms) {
    return store_at(server.url, "127.0.0.1", limit_ms);
}

static enum auth_store_result get(struct auth_store *store, struct auth_secret *out, int64_t *left_ms,
                                  const char **why) {
    enum auth_store_result result;
    while ((result = store->kind->get(store, "n.token", out, left_ms, why)) == AUTH_STORE_PENDING)
        (void)store->kind->wait(store, LONG_MS);
    return result;
}

static enum auth_store_result lock(struct auth_store *store, struct auth_lock *lock, const char **why) {
    enum auth_store_result result;
    while ((result = store->kind->lock(store, "n.lock", 1000, lock, why)) == AUTH_STORE_PENDING)
        (void)store->kind->wait(store, LONG_MS);
    return result;
}

static void reads_a_value_and_how_long_it_lasts(void **state) {
    (void)state;
    struct server server = serve(":5000\r\n$5\r\nhello\r\n", 0);
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        struct auth_store *store = store_at(server.url, hosts[i], LONG_MS);
        for (int again = 0; again < 3; again++) { /* the server closes after each answer: once more */
            struct auth_secret value = {0};
            int64_t left_ms = 0;
            const char *why = NULL;
            assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_OK);
            assert_content(value, "hello");
            assert_in_range(left_ms, 1000, 5000); /* less what the answer took */
            auth_secret_wipe(&value);
        }
        store->kind->free(store);
    }
    stop(server);
}

static void knows_what_is_no_value(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        enum auth_store_result result;
    } cases[] = {{":-2\r\n$-1\r\n", AUTH_STORE_ABSENT},
                 {":1\r\n:2\r\n", AUTH_STORE_ABSENT},
                 {"-ERR x\r\n$1\r\nx\r\n", AUTH_STORE_UNFIT},
                 {":1\r\n*1\r\n$1\r\nx\r\n", AUTH_STORE_UNFIT},
                 {"nonsense", AUTH_STORE_UNFIT},
                 {"", AUTH_STORE_UNFIT},
                 {":1\r\n$5\r\nhel", AUTH_STORE_UNFIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server server = serve(cases[i].answer, 0);
        struct auth_store *store = store_of(server, LONG_MS);
        struct auth_secret value = {0};
        int64_t left_ms = 0;
        const char *why = NULL;
        assert_int_equal(get(store, &value, &left_ms, &why), cases[i].result);
        assert_true((why != NULL) == (cases[i].result == AUTH_STORE_UNFIT));
        assert_null(value.data);
        store->kind->free(store);
        stop(server);
    }
}

static void takes_no_more_than_a_record(void **state) {
    (void)state;
    struct server server = serve(":1\r\n$4000000\r\n", 4000000);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_secret value = {0};
    int64_t left_ms = 0;
    const char *why = NULL;
    assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
    assert_string_equal(why, "its answer is too long");
    store->kind->free(store);
    stop(server);
}

static void takes_a_lease_or_finds_it_taken(void **state) {
    (void)state;
    const char *why = NULL;
    struct auth_lock held;
    struct server server = serve("+OK\r\n$3\r\n1 2\r\n:1000\r\n", HANG);
    struct auth_store *store = store_of(server, LONG_MS);
    assert_int_equal(lock(store, &held, &why), AUTH_STORE_OK);
    assert_true(held.held && held.fd == -1);
    assert_int_equal(strspn(held.lease, "0123456789abcdef"), AUTH_STORE_LEASE_DIGITS);
    assert_int_equal(held.note_length, 3);
    assert_memory_equal(held.note, "1 2", 3);
    int64_t before = now_ms();
    store->kind->leave(store, &held, "3 4", 3); /* which wait for nothing, though nobody answers */
    store->kind->unlock(store, &held);
    store->kind->unlock(store, &held);
    assert_true(now_ms() - before < SOON_MS);
    assert_false(held.held);
    store->kind->free(store);
    stop(server);
    server = serve("$-1\r\n$-1\r\n:1000\r\n", 0);
    store = store_of(server, LONG_MS);
    assert_int_equal(lock(store, &held, &why), AUTH_STORE_BUSY);
    assert_false(held.held);
    store->kind->free(store);
    stop(server);
}

static void waits_no_longer_than_its_limit(void **state) {
    (void)state;
    static const char *const answers[] = {"", ":1\r\n$5\r\nhel"};
    for (int i = 0; i < 2; i++) {
        struct server server = serve(answers[i], HANG);
        struct auth_store *store = store_of(server, SHORT_MS);
        struct auth_secret value = {0};
        int64_t left_ms = 0;
        const char *why = NULL;
        int64_t before = now_ms();
        assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
        assert_string_equal(why, "it does not answer in time");
        assert_in_range(now_ms() - before, SHORT_MS - 1, SHORT_MS + SOON_MS);
        store->kind->free(store);
        stop(server);
    }
}

static void says_why_it_is_not_there(void **state) {
    (void)state;
    struct auth_store *store = store_at("http://127.0.0.1:1/", "127.0.0.1", LONG_MS);
    struct auth_secret value = {0};
    int64_t left_ms = 0;
    const char *why = NULL;
    assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
    assert_string_equal(why, "nobody listens there");
    store->kind->free(store);
    store = store_at("http://127.0.0.1:1/", "no-such-host.invalid", LONG_MS);
    assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
    store->kind->free(store);
    struct auth_redis_options options = {.address = {.path = "/nowhere/redis.sock"},
                                         .limit_ns = AUTH_NS_PER_S};
    store = auth_redis_new(&options);
    assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
    assert_string_equal(why, "there is no such socket");
    store->kind->free(store);
}

static void gives_up_one_call_for_another(void **state) {
    (void)state;
    struct server server = serve("$-1\r\n$-1\r\n:1000\r\n", 0);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_secret value = {0};
    struct auth_lock held;
    int64_t left_ms = 0;
    const char *why = NULL;
    assert_int_equal(store->kind->get(store, "n.token", &value, &left_ms, &why), AUTH_STORE_PENDING);
    assert_int_equal(lock(store, &held, &why), AUTH_STORE_BUSY);
    store->kind->free(store);
    stop(server);
}

static void *interrupt_later(void *data) {
    struct auth_store *store = data;
    auth_clock_sleep(20 * MS);
    store->kind->interrupt(store);
    return NULL;
}

static void is_interrupted_by_another_thread(void **state) {
    (void)state;
    struct server server = serve("", HANG);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_secret value = {0};
    int64_t left_ms = 0;
    const char *why = NULL;
    pthread_t thread;
    int64_t before = now_ms();
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, store), 0);
    assert_int_equal(get(store, &value, &left_ms, &why), AUTH_STORE_UNFIT);
    assert_string_equal(why, "it was interrupted");
    assert_true(now_ms() - before < 20 + SOON_MS);
    pthread_join(thread, NULL);
    store->kind->free(store);
    stop(server);
}

/* A server with a token, a Redis that says nothing, and the bell of jobs that go from one to the other. */
struct two {
    struct server tokens;
    struct server silent;
    struct auth_alarm bell;
};

static struct two serve_two(void) {
    struct two two = {
        .tokens = serve("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"access_token\":\"a-tok\"}", 0),
        .silent = serve("", HANG)};
    assert_true(auth_alarm_open(&two.bell));
    return two;
}

static void stop_two(struct two *two) {
    auth_alarm_close(&two->bell);
    stop(two->tokens);
    stop(two->silent);
}

/* A job whose reply has come and whose thread waits for the Redis. */
static struct auth_job *job_between(const struct two *two) {
    struct auth_job *job = auth_job_new();
    struct auth_job_order order = {.request = {.url = two->tokens.url,
                                               .user_agent = "test",
                                               .timeout_ms = LONG_MS,
                                               .connect_timeout_ms = LONG_MS}};
    assert_true(auth_secret_append(&order.body, "x", 1));
    assert_true(auth_secret_append(&order.share.key, "01234567890123456789012345678901", 32));
    (void)snprintf(order.share.name, sizeof order.share.name, "n");
    order.share.stores[AUTH_SHARE_FAR] = store_of(two->silent, LONG_MS);
    auth_job_start(job, &order, &wall, &two->bell);
    assert_false(auth_job_wait(job, (int64_t)SHORT_MS * MS));
    return job;
}

static void lets_its_job_go_in_a_moment(void **state) {
    (void)state;
    struct two two = serve_two();
    for (int round = 0; round < 5; round++) {
        struct auth_job *job = job_between(&two);
        int64_t before = now_ms();
        auth_job_free(job);
        assert_true(now_ms() - before < SOON_MS);
    }
    stop_two(&two);
}

static void moves_its_connection_to_a_branch(void **state) {
    (void)state;
    struct server server = serve("$-1\r\n$-1\r\n:1000\r\n+OK\r\n", HANG);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_lock held;
    struct auth_secret bytes = {0};
    const char *why = NULL;
    assert_int_equal(lock(store, &held, &why), AUTH_STORE_BUSY);
    struct auth_store *other = store->kind->branch(store);
    assert_non_null(other);
    store->kind->free(store);
    assert_true(auth_secret_append(&bytes, "x", 1));
    assert_int_equal(other->kind->put(other, "n.token", &bytes, 1000, &why),
                     AUTH_STORE_OK); /* read already */
    auth_secret_wipe(&bytes);
    other->kind->free(other);
    stop(server);
}

static void leaves_the_parents_connection_alone_in_a_child(void **state) {
    (void)state;
    struct server server = serve("+OK\r\n$-1\r\n:1000\r\n", HANG);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_lock held;
    const char *why = NULL;
    assert_int_equal(lock(store, &held, &why), AUTH_STORE_OK);
    pid_t child = fork();
    if (child == 0) {
        store->kind->unlock(store, &held); /* says nothing on the parent's connection */
        store->kind->free(store);
        execl("/bin/true", "", (char *)NULL); /* so that valgrind counts no leak */
        _exit(2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(held.held);
    store->kind->unlock(store, &held);
    store->kind->free(store);
    stop(server);
}

/* The descriptor of a connection to it; -1 without. */
static int connection_to(struct server server) {
    struct sockaddr_in peer = {0};
    socklen_t length = sizeof peer;
    int port = atoi(strrchr(server.url, ':') + 1);
    for (int fd = 0; fd < 256; fd++)
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && ntohs(peer.sin_port) == port)
            return fd;
    return -1;
}

static ino_t inode(int fd) {
    struct stat about = {0};
    return fstat(fd, &about) == 0 ? about.st_ino : 0;
}

/* The server has no ear for a second connection: the child's calls end by their limit. */
static void begins_anew_in_a_child(void **state) {
    (void)state;
    struct server server = serve("$-1\r\n", HANG); /* half of an answer */
    struct auth_store *store = store_of(server, SHORT_MS);
    struct auth_secret value = {0};
    struct auth_lock held;
    int64_t left_ms = 0;
    const char *why = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store->kind->get(store, "n.token", &value, &left_ms, &why), AUTH_STORE_PENDING);
        (void)store->kind->wait(store, LONG_MS);
    }
    ino_t parents = inode(connection_to(server));
    assert_true(parents != 0);
    pid_t child = fork();
    if (child == 0) {
        bool anew = store->kind->get(store, "n.token", &value, &left_ms, &why) == AUTH_STORE_PENDING &&
                    inode(connection_to(server)) != parents && lock(store, &held, &why) == AUTH_STORE_UNFIT;
        execl(anew ? "/bin/true" : "/bin/false", "", (char *)NULL); /* so that valgrind counts no leak */
        _exit(2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store->kind->free(store);
    stop(server);
}

static void lets_the_connection_of_a_parents_job_go_in_a_child(void **state) {
    (void)state;
    struct two two = serve_two();
    struct auth_job *job = job_between(&two);
    assert_true(connection_to(two.silent) >= 0);
    pid_t child = fork();
    if (child == 0) {
        auth_job_free(job);
        execl(connection_to(two.silent) < 0 ? "/bin/true" : "/bin/false", "", (char *)NULL);
        _exit(2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    auth_job_free(job);
    stop_two(&two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_value_and_how_long_it_lasts),
        cmocka_unit_test(knows_what_is_no_value),
        cmocka_unit_test(takes_no_more_than_a_record),
        cmocka_unit_test(takes_a_lease_or_finds_it_taken),
        cmocka_unit_test(waits_no_longer_than_its_limit),
        cmocka_unit_test(says_why_it_is_not_there),
        cmocka_unit_test(gives_up_one_call_for_another),
        cmocka_unit_test(is_interrupted_by_another_thread),
        cmocka_unit_test(lets_its_job_go_in_a_moment),
        cmocka_unit_test(moves_its_connection_to_a_branch),
        cmocka_unit_test(leaves_the_parents_connection_alone_in_a_child),
        cmocka_unit_test(begins_anew_in_a_child),
        cmocka_unit_test(lets_the_connection_of_a_parents_job_go_in_a_child),
    };
    if (!auth_job_init())
        return 1;
    return RUN(tests);
}

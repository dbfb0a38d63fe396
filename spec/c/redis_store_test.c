/* Redis as a store: against a real redis-server, and against servers of fixed answers, for what a real one
 * does not do. SPDX-License-Identifier: MIT */
#include "redis/redis_store.h"
#include "redis_server.h"
#include "worker/gate.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { LONG_MS = 10000, SHORT_MS = 100, LEASE_MS = 60000, ROUNDS = 3, FILLERS = 3 };

/* valgrind and sanitizers take many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SLOW true
#else
#define IS_SLOW (getenv("UNDER_VALGRIND") != NULL)
#endif
#define SOON_MS (IS_SLOW ? 5000 : 500)
#define AT_ONCE_MS (IS_SLOW ? 5000 : 20)

static int64_t now_ms(void) {
    return now_ns() / MS;
}

static struct auth_deadline in_ms(int64_t ms) {
    return (struct auth_deadline){.clock = &auth_clock_real, .at_ns = now_ns() + ms * MS};
}

/* --- a resolver that has several addresses for a name, or hangs --- */

static atomic_bool resolver_hangs;
static atomic_int hanging;

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int resolve_several(resolver *real, const char *port, const struct addrinfo *hints,
                           struct addrinfo **found) {
    static const char *const addresses[] = {"127.0.0.1", "127.0.0.2",
                                            "127.0.0.3"}; /* the last one is tried first */
    *found = NULL;
    for (size_t i = 0; i < 3; i++) {
        struct addrinfo *one = NULL;
        assert_int_equal(real(addresses[i], port, hints, &one), 0);
        one->ai_next = *found;
        *found = one;
    }
    return 0;
}

/* Also for libcurl. */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict name, const char *restrict port,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict found) {
    resolver *real = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strstr(name, ".test") == NULL)
        return real(name, port, hints, found);
    if (strcmp(name, "several.test") == 0)
        return hints->ai_family == AF_INET6 ? EAI_NONAME : resolve_several(real, port, hints, found);
    atomic_fetch_add(&hanging, 1);
    while (atomic_load(&resolver_hangs))
        auth_clock_sleep(MS);
    atomic_fetch_sub(&hanging, 1);
    return EAI_AGAIN;
}

/* --- servers that do what a fixed answer does not --- */

/* Serves each connection by `act`, which closes it. */
static struct server serve_by(void (*act)(int connection)) {
    struct server server = {0};
    int ready = listen_somewhere(server.url, sizeof server.url);
    assert_int_equal(listen(ready, 8), 0);
    server.pid = fork();
    if (server.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGPIPE, SIG_IGN);
        for (;;)
            act(accept(ready, NULL, NULL));
    }
    close(ready);
    return server;
}

/* One byte after the other, so that there is always something to read. */
static void drip(int connection) {
    (void)dprintf(connection, ":1\r\n$300000\r\n");
    while (write(connection, "x", 1) == 1)
        usleep(500);
    close(connection);
}

/* More than a record, and then nothing. */
static void flood(int connection) {
    char block[4096];
    memset(block, 'x', sizeof block);
    (void)dprintf(connection, ":1\r\n$400000000\r\n");
    for (int i = 0; i < 256; i++)
        if (write(connection, block, sizeof block) < 0)
            break;
}

/* Grants a lock, and answers its release late; ends the server with 0 if the connection then ends as it
 * should. */
static void see_it_end(int connection) {
    char request[4096];
    (void)!read(connection, request, sizeof request);
    (void)dprintf(connection, "+OK\r\n:1000\r\n");
    (void)!read(connection, request, sizeof request);
    (void)dprintf(connection, ":1\r\n");
    _exit(read(connection, request, sizeof request) == 0 ? 0 : 1);
}

/* Grants a lock on the first connection, but loses the reply; finds it taken on the second. Ends the server
 * with 0 if the lock is then released. */
static void lose_the_reply(int connection) {
    static bool was_lost;
    char request[4096] = "";
    if (!was_lost) {
        (void)!read(connection, request, sizeof request); /* GET */
        (void)dprintf(connection, ":-2\r\n$-1\r\n");
    }
    (void)!read(connection, request, sizeof request); /* SET */
    if (was_lost) {
        (void)dprintf(connection, "$-1\r\n:1000\r\n");
        _exit(read(connection, request, sizeof request - 1) > 0 && strstr(request, "EVAL") != NULL ? 0 : 1);
    }
    was_lost = true;
    close(connection);
}

/* --- stores --- */

static struct auth_store *new_store(struct auth_redis_options options, int limit_ms) {
    options.limit_ns = (int64_t)limit_ms * MS;
    struct auth_store *store = auth_redis_store_new(&options);
    assert_non_null(store);
    return store;
}

static void set_password(struct auth_store *store, const char *password) {
    struct auth_secret secret = {0};
    assert_true(auth_secret_append(&secret, password, strlen(password)));
    assert_true(store->kind->set_password(store, &secret));
    auth_secret_wipe(&secret);
}

/* Until the next call. */
static const char *url_at(const char *scheme, const char *host, const char *port) {
    static char url[128];
    (void)snprintf(url, sizeof url, "%s://%s:%s", scheme, host, port);
    return url;
}

/* At the port of a URL of server.h; the host may be a name. */
static struct auth_store *store_at(const char *url, const char *host, int limit_ms) {
    char port[8];
    port_of(url, port, sizeof port);
    return new_store((struct auth_redis_options){.url = url_at("http", host, port)}, limit_ms);
}

static struct auth_store *store_of(struct server server, int limit_ms) {
    return store_at(server.url, "127.0.0.1", limit_ms);
}

static struct auth_store *user_of(const struct redis_server *server) {
    struct auth_store *store = new_store(
        (struct auth_redis_options){.url = url_at("http", "127.0.0.1", server->port), .user = REDIS_USER},
        LONG_MS);
    set_password(store, REDIS_PASSWORD);
    return store;
}

/* --- calls --- */

static struct auth_store_call call;

static enum auth_store_result get_until(struct auth_store *store, struct auth_deadline deadline) {
    struct auth_secret bytes = {0};
    int64_t age_ns = 0;
    call = (struct auth_store_call){.deadline = deadline};
    enum auth_store_result result = store->kind->get(store, "n.token", &bytes, &age_ns, &call);
    assert_true(bytes.data == NULL || result == AUTH_STORE_OK);
    auth_secret_wipe(&bytes);
    return result;
}

static enum auth_store_result get(struct auth_store *store) {
    return get_until(store, in_ms(LONG_MS));
}

static enum auth_store_result put_until(struct auth_store *store, size_t length,
                                        struct auth_deadline deadline) {
    struct auth_secret bytes = {0};
    assert_true(auth_secret_reserve(&bytes, length));
    memset(bytes.data, 'x', length);
    bytes.length = length;
    call.deadline = deadline;
    enum auth_store_result result = store->kind->put(store, "n.token", &bytes, &call);
    auth_secret_wipe(&bytes);
    return result;
}

static enum auth_store_result put(struct auth_store *store, size_t length) {
    return put_until(store, length, in_ms(LONG_MS));
}

static enum auth_store_result lock_for(struct auth_store *store, struct auth_lock *held, int lease_ms) {
    call.deadline = in_ms(LONG_MS);
    return store->kind->lock(store, "n.lock", (int64_t)lease_ms * MS, held, &call);
}

static enum auth_store_result lock(struct auth_store *store, struct auth_lock *held) {
    return lock_for(store, held, LEASE_MS);
}

static enum auth_store_result remove_it(struct auth_store *store, const char *name) {
    call.deadline = in_ms(LONG_MS);
    return store->kind->remove(store, name, &call);
}

static void free_store(struct auth_store *store) {
    store->kind->free(store);
}

/* --- fixed answers --- */

static void reads_a_record_and_its_age(void **state) {
    (void)state;
    struct server server = serve(":86400000\r\n$5\r\nhello\r\n", 0);
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        struct auth_store *store = store_at(server.url, hosts[i], LONG_MS);
        for (int again = 0; again < 3; again++) { /* the server closes after each answer: once more */
            struct auth_secret bytes = {0};
            int64_t age_ns = 0;
            call.deadline = in_ms(LONG_MS);
            assert_int_equal(store->kind->get(store, "n.token", &bytes, &age_ns, &call), AUTH_STORE_OK);
            assert_content(bytes, "hello");
            assert_in_range(age_ns, AUTH_STORE_KEPT_NS - 86400 * AUTH_NS_PER_S,
                            AUTH_STORE_KEPT_NS - 86395 * AUTH_NS_PER_S);
            auth_secret_wipe(&bytes);
        }
        free_store(store);
    }
    stop(server);
}

static void knows_what_is_no_record(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        const char *why; /* NULL: ABSENT */
    } cases[] = {
        {":-2\r\n$-1\r\n", NULL},
        {":1\r\n:2\r\n", NULL},
        {":-1\r\n$1\r\nx\r\n", NULL},       /* kept for ever */
        {":90000001\r\n$1\r\nx\r\n", NULL}, /* kept for longer than anything is */
        {":1\r\n-WRONGTYPE of another type\r\n", NULL},
        {"-ERR x\r\n$1\r\nx\r\n", "it refuses the command (ERR)"},
        {":1\r\n-\33[31mred\r\n", "it refuses the command ()"},
        {":1\r\n*1\r\n$1\r\nx\r\n", "what answers is not a Redis server"},
        {"*2147483647\r\n", "what answers is not a Redis server"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "what answers is not a Redis server"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers is not a Redis server"},
        {"", "it closed the connection"},
        {":1\r\n$5\r\nhel", "it closed the connection"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server server = serve(cases[i].answer, 0);
        struct auth_store *store = store_of(server, LONG_MS);
        assert_int_equal(get(store), cases[i].why != NULL ? AUTH_STORE_ERROR : AUTH_STORE_ABSENT);
        if (cases[i].why != NULL)
            assert_string_equal(call.why, cases[i].why);
        free_store(store);
        stop(server);
    }
}

static void explains_errors_of_the_server(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        const char *why;
    } cases[] = {
        {"-LOADING Redis is loading the dataset in memory", "it is starting and loads its data (LOADING)"},
        {"-MOVED 3999 127.0.0.1:6381", "it is part of a cluster, and the key is elsewhere (MOVED)"},
        {"-MISCONF Redis is configured to save",
         "it cannot save its data, so it accepts no writes (MISCONF)"},
        {"-DENIED Redis is running in protected mode",
         "it is in protected mode, which admits clients of its own machine alone (DENIED)"},
        {"-ERR AUTH <password> called without any password configured",
         "it has no password, but one was given (ERR)"},
        {"-ERR max number of clients reached", "it accepts no more clients (ERR)"},
        {"-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "it refuses the command (ABCDEFGHIJKLMNOPQRST)"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answer[128];
        (void)snprintf(answer, sizeof answer, "%s\r\n", cases[i].answer);
        struct server server = serve(answer, 0);
        struct auth_store *store = store_of(server, LONG_MS);
        assert_int_equal(put(store, 1), AUTH_STORE_ERROR);
        assert_string_equal(call.why, cases[i].why);
        free_store(store);
        stop(server);
    }
}

static void takes_no_more_than_a_record(void **state) {
    (void)state;
    struct server servers[] = {serve(":1\r\n$4000000\r\n", 4000000), serve("$-1\r\n+", 4000000),
                               serve_by(flood)};
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        struct auth_store *store = store_of(servers[i], LONG_MS);
        assert_int_equal(get(store), AUTH_STORE_ERROR);
        assert_string_equal(call.why, "its answer is too long");
        free_store(store);
        stop(servers[i]);
    }
}

static void asks_on_a_new_connection_after_an_error(void **state) {
    (void)state;
    struct server server = serve("-READONLY x\r\n", HANG); /* which says nothing more on the first one */
    struct auth_store *store = store_of(server, SHORT_MS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(store, 1), AUTH_STORE_ERROR);
        assert_string_equal(call.why, "it is a replica, which cannot be written to (READONLY)");
    }
    free_store(store);
    stop(server);
}

static void takes_a_lease_or_finds_it_taken(void **state) {
    (void)state;
    struct auth_lock held;
    struct server server = serve("+OK\r\n:1000\r\n", HANG);
    struct auth_store *store = store_of(server, LONG_MS);
    assert_int_equal(lock(store, &held), AUTH_STORE_OK);
    assert_true(held.held && held.fd == -1);
    assert_int_equal(strspn(held.lease, "0123456789abcdef"), AUTH_STORE_LEASE_DIGITS);
    int64_t before = now_ms();
    store->kind->unlock(store, &held); /* waits for nothing, though nobody answers */
    store->kind->unlock(store, &held);
    assert_true(now_ms() - before < SOON_MS);
    assert_false(held.held);
    free_store(store);
    stop(server);
    static const struct {
        const char *answer;
        enum auth_store_result result;
    } cases[] = {{"$-1\r\n:1000\r\n", AUTH_STORE_BUSY}, {"$-1\r\n:-1\r\n", AUTH_STORE_ERROR}};
    for (int i = 0; i < 2; i++) {
        server = serve(cases[i].answer, 0);
        store = store_of(server, LONG_MS);
        assert_int_equal(lock(store, &held), cases[i].result);
        assert_false(held.held);
        free_store(store);
        stop(server);
    }
    assert_string_equal(call.why, "the lock key has no expiry; another program may have written it");
}

static void releases_a_lease_whose_reply_was_lost(void **state) {
    (void)state;
    struct auth_lock held;
    int status = -1;
    struct server server = serve_by(lose_the_reply);
    struct auth_store *store = store_of(server, LONG_MS);
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    assert_int_equal(lock(store, &held), AUTH_STORE_BUSY);
    assert_false(held.held);
    free_store(store);
    assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
    assert_int_equal(status, 0);
}

static void says_why_it_is_not_there(void **state) {
    (void)state;
    const struct {
        struct auth_redis_options options;
        const char *why;
    } cases[] = {{{.url = "http://127.0.0.1:1"}, strerror(ECONNREFUSED)},
                 {{.url = "http://no-such-host.invalid:1"}, "its name has no address"},
                 {{.path = "/nowhere/redis.sock"}, strerror(ENOENT)}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_store *store = new_store(cases[i].options, LONG_MS);
        assert_int_equal(get(store), AUTH_STORE_ERROR);
        assert_string_equal(call.why, cases[i].why);
        free_store(store);
    }
}

/* With unread bytes the system would reset the connection, and not repeat the last command if it got lost. */
static void closes_without_a_reset(void **state) {
    (void)state;
    struct auth_lock held;
    int status = -1;
    struct server server = serve_by(see_it_end);
    struct auth_store *store = store_of(server, LONG_MS);
    assert_int_equal(lock(store, &held), AUTH_STORE_OK);
    store->kind->unlock(store, &held);
    auth_clock_sleep(50 * MS);
    free_store(store);
    assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
    assert_int_equal(status, 0);
}

/* A broken pipe would end this program. */
static void survives_a_connection_that_broke(void **state) {
    (void)state;
    struct auth_lock held;
    struct server server = serve("+OK\r\n:1000\r\n", 0);
    struct auth_store *store = store_of(server, LONG_MS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lock(store, &held), AUTH_STORE_OK);
        auth_clock_sleep(5 * MS);
        store->kind->unlock(store, &held); /* closed: the server's system answers with a reset */
        auth_clock_sleep(5 * MS);
    }
    free_store(store);
    stop(server);
}

/* --- every wait ends --- */

static int fillers[FILLERS];
static int listener = -1;
static struct server answering;

/* The system completes no connection once the queue of a server that accepts none is full. */
static void fill_queue(struct sockaddr_in *address) {
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (const struct sockaddr *)address, sizeof *address);
    }
    auth_clock_sleep(5 * MS);
}

static struct auth_store *in_connect(int limit_ms) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char url[64];
    listener = listen_somewhere(url, sizeof url);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    fill_queue(&address);
    return store_at(url, "127.0.0.1", limit_ms);
}

static struct auth_store *in_resolve(int limit_ms) {
    atomic_store(&resolver_hangs, true);
    return store_at("http://127.0.0.1:1/", "hangs.test", limit_ms);
}

static struct sockaddr_un unix_address; /* of a listener of this unit */

/* Takes connections, but reads nothing; its buffer is smaller than a record. */
static struct auth_store *in_write(int limit_ms) {
    const char *folder = getenv("TMPDIR");
    unix_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(unix_address.sun_path, sizeof unix_address.sun_path, "%s/redis_store.%d",
                   folder != NULL ? folder : "/tmp", (int)getpid());
    (void)unlink(unix_address.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&unix_address, sizeof unix_address), 0);
    assert_int_equal(listen(listener, 8), 0);
    return new_store((struct auth_redis_options){.path = unix_address.sun_path}, limit_ms);
}

static struct auth_store *in_auth(int limit_ms) {
    answering = serve("", HANG);
    struct auth_store *store = store_of(answering, limit_ms);
    set_password(store, "x");
    return store;
}

static struct auth_store *in_tls(int limit_ms) {
    char port[8];
    answering = serve("", HANG);
    port_of(answering.url, port, sizeof port);
    return new_store((struct auth_redis_options){.url = url_at("https", "127.0.0.1", port)}, limit_ms);
}

static struct auth_store *in_read(int limit_ms) {
    answering = serve("", HANG);
    return store_of(answering, limit_ms);
}

static struct auth_store *in_half(int limit_ms) {
    answering = serve(":1\r\n$5\r\nhel", HANG);
    return store_of(answering, limit_ms);
}

static struct auth_store *in_drip(int limit_ms) {
    answering = serve_by(drip);
    return store_of(answering, limit_ms);
}

static void tidy(void) {
    for (int i = 0; i < FILLERS; i++) {
        if (fillers[i] > 0)
            close(fillers[i]);
        fillers[i] = 0;
    }
    if (listener >= 0)
        close(listener);
    listener = -1;
    if (unix_address.sun_path[0] != '\0')
        (void)unlink(unix_address.sun_path);
    if (answering.pid > 0)
        stop(answering);
    answering.pid = 0;
    atomic_store(&resolver_hangs, false);
    while (atomic_load(&hanging) > 0) /* then its thread has ended, or nearly so */
        auth_clock_sleep(MS);
}

static const struct place {
    struct auth_store *(*store)(int limit_ms);
    size_t bytes; /* to put; 0: it gets */
    const char *why;
} places[] = {{in_connect, 0, NULL},
              {in_resolve, 0, "its name cannot be resolved in time"},
              {in_write, 300000, "it does not answer in time"},
              {in_auth, 0, "it does not answer in time"},
              {in_tls, 0, "it does not answer in time"},
              {in_read, 0, "it does not answer in time"},
              {in_half, 0, "it does not answer in time"},
              {in_drip, 0, "it does not answer in time"}};

enum { PLACES = sizeof places / sizeof *places };

static void wait_there(const struct place *place, struct auth_store *store, struct auth_deadline deadline) {
    enum auth_store_result result =
        place->bytes > 0 ? put_until(store, place->bytes, deadline) : get_until(store, deadline);
    assert_int_equal(result, AUTH_STORE_ERROR);
}

static void waits_no_longer_than_its_limit_or_the_deadline(void **state) {
    (void)state;
    for (int i = 0; i < PLACES; i++)
        for (int by_limit = 0; by_limit < 2; by_limit++) {
            struct auth_store *store = places[i].store(by_limit ? SHORT_MS : LONG_MS);
            int64_t before = now_ms();
            wait_there(&places[i], store, in_ms(by_limit ? LONG_MS : SHORT_MS));
            assert_in_range(now_ms() - before, SHORT_MS - 1, SHORT_MS + SOON_MS);
            assert_string_equal(call.why, places[i].why != NULL ? places[i].why : strerror(ETIMEDOUT));
            free_store(store);
            tidy();
        }
}

/* A fetch could go on with its request, but no call could go on with this connection. */
static void waits_on_where_a_fetch_would_pause(void **state) {
    (void)state;
    struct server server = serve(":-2\r\n$-1\r\n", 0);
    struct auth_store *store = store_of(server, LONG_MS);
    struct auth_deadline deadline = in_ms(LONG_MS);
    deadline.pause_at_ns = now_ns() - MS;
    assert_int_equal(get_until(store, deadline), AUTH_STORE_ABSENT);
    free_store(store);
    stop(server);
}

static int64_t cancelled_ms;

static void *cancel_later(void *data) {
    auth_clock_sleep(20 * MS);
    cancelled_ms = now_ms();
    auth_notifier_signal(data);
    return NULL;
}

/* How long after it was cancelled the call returned. */
static int64_t cancel_at(const struct place *place) {
    struct auth_notifier cancel;
    struct auth_store *store = place->store(LONG_MS);
    struct auth_deadline deadline = in_ms(LONG_MS);
    pthread_t thread;
    assert_true(auth_notifier_open(&cancel));
    deadline.cancel = &cancel;
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, &cancel), 0);
    wait_there(place, store, deadline);
    int64_t returned_ms = now_ms();
    pthread_join(thread, NULL);
    assert_string_equal(call.why, "cancelled");
    free_store(store);
    auth_notifier_close(&cancel);
    tidy();
    return returned_ms - cancelled_ms;
}

/* The machine may be busy: the best of three counts. */
static void returns_at_once_when_it_is_cancelled(void **state) {
    (void)state;
    for (int i = 0; i < PLACES; i++) {
        int64_t best_ms = LONG_MS;
        for (int round = 0; best_ms >= AT_ONCE_MS && round < ROUNDS; round++) {
            int64_t took_ms = cancel_at(&places[i]);
            best_ms = took_ms < best_ms ? took_ms : best_ms;
        }
        assert_true(best_ms < AT_ONCE_MS);
    }
}

static void *get_in_thread(void *data) {
    (void)get_until(data, in_ms((int64_t)4 * SHORT_MS));
    return NULL;
}

/* A fork waits for threads inside the gate: not for one that waits. */
static void holds_no_fork_up_while_it_waits(void **state) {
    (void)state;
    const int64_t limit_ms = AUTH_GATE_WAIT_NS / MS;
    int64_t best_ms = LONG_MS;
    for (int round = 0; best_ms >= limit_ms && round < ROUNDS; round++) {
        pthread_t thread;
        struct auth_store *store = in_read(LONG_MS);
        assert_int_equal(pthread_create(&thread, NULL, get_in_thread, store), 0);
        auth_clock_sleep(20 * MS);
        int64_t before = now_ms();
        pid_t child = fork();
        if (child == 0) {
            end_child(true);
        }
        int64_t took_ms = now_ms() - before;
        best_ms = took_ms < best_ms ? took_ms : best_ms;
        waitpid(child, NULL, 0);
        pthread_join(thread, NULL);
        free_store(store);
        tidy();
    }
    assert_true(best_ms < limit_ms);
}

static void bind_to(const char *address, const char *url, bool fills) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1))};
    assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(listener, 0), 0);
    if (fills)
        fill_queue(&to);
}

/* Nobody listens at the first address, the second never answers and gets half of the time at most. */
static void tries_each_address_of_a_name(void **state) {
    (void)state;
    answering = serve(":1\r\n$1\r\nx\r\n", 0);
    bind_to("127.0.0.2", answering.url, true);
    struct auth_store *store = store_at(answering.url, "several.test", 8 * SHORT_MS);
    int64_t before = now_ms();
    assert_int_equal(get(store), AUTH_STORE_OK);
    assert_true(now_ms() - before < 4 * SHORT_MS + SOON_MS);
    free_store(store);
    tidy();
}

/* --- descriptors and forks --- */

/* The descriptor of a connection to it; -1 without. */
static int connection_to(struct server server) {
    struct sockaddr_in peer = {0};
    int port = atoi(strrchr(server.url, ':') + 1);
    for (int fd = 0; fd < 256; fd++) {
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && ntohs(peer.sin_port) == port)
            return fd;
    }
    return -1;
}

/* With standard input, output and error closed meanwhile. */
static enum auth_store_result get_without_standard(struct auth_store *store) {
    int kept[3];
    (void)fflush(NULL);
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    enum auth_store_result result = get(store);
    for (int fd = 0; fd < 3; fd++) {
        if (kept[fd] >= 0)
            assert_int_equal(dup2(kept[fd], fd), fd);
        close(kept[fd]);
    }
    return result;
}

static void keeps_its_descriptor_away_from_others(void **state) {
    (void)state;
    struct server server = serve(":1\r\n$1\r\nx\r\n", HANG);
    for (int closed = 0; closed < 2; closed++) {
        struct auth_store *store = store_of(server, LONG_MS);
        assert_int_equal(closed ? get_without_standard(store) : get(store), AUTH_STORE_OK);
        int fd = connection_to(server);
        assert_true(fd > 2);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        free_store(store);
        assert_int_equal(connection_to(server), -1);
    }
    stop(server);
}

/* --- a real server --- */

static struct redis_server redis;

#define NEEDS_REDIS()                                                                                        \
    do {                                                                                                     \
        if (redis.pid == 0)                                                                                  \
            SKIP("redis-server or redis-cli is not installed");                                              \
        (void)cli(&redis, "flushall");                                                                       \
        (void)cli(&redis, "config resetstat");                                                               \
    } while (0)

static int start_real(void **state) {
    (void)state;
    if (has_command("redis-server") && has_command("redis-cli"))
        redis = start_redis("");
    return 0;
}

static int stop_real(void **state) {
    (void)state;
    tidy(); /* what a test left that failed */
    if (redis.pid != 0)
        stop_redis(&redis);
    return 0;
}

static void keeps_records(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    for (size_t length = 1; length <= AUTH_STORE_RECORD_MAX; length *= 8) {
        assert_int_equal(put(store, length), AUTH_STORE_OK);
        assert_int_equal(get(store), AUTH_STORE_OK);
    }
    assert_int_equal(put(store, AUTH_STORE_RECORD_MAX), AUTH_STORE_OK);
    assert_int_equal(get(store), AUTH_STORE_OK);
    assert_in_range(atol(cli(&redis, "pttl 'central-auth:{n}.token'")), 89990000, 90000000);
    assert_int_equal(remove_it(store, "n.token"), AUTH_STORE_OK);
    assert_int_equal(remove_it(store, "n.token"), AUTH_STORE_ABSENT);
    assert_string_equal(cli(&redis, "dbsize"), "0");
    free_store(store);
}

static void keeps_the_age_of_a_record_that_it_renames(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    struct auth_secret bytes = {0};
    int64_t age_ns = 0;
    (void)cli(&redis, "set 'central-auth:{n}.last' new px 80000000");
    (void)cli(&redis, "set 'central-auth:{n}.token' old px 1000");
    call.deadline = in_ms(LONG_MS);
    assert_int_equal(store->kind->move(store, "n.last", "n.token", &call), AUTH_STORE_OK);
    assert_string_equal(cli(&redis, "exists 'central-auth:{n}.last'"), "0");
    assert_in_range(atol(cli(&redis, "pttl 'central-auth:{n}.token'")), 79990000, 80000000);
    assert_int_equal(store->kind->get(store, "n.token", &bytes, &age_ns, &call), AUTH_STORE_OK);
    assert_content(bytes, "new");
    assert_in_range(age_ns, 10000000 * MS, 10010000 * MS);
    assert_int_equal(store->kind->move(store, "n.last", "n.token", &call), AUTH_STORE_ABSENT);
    assert_int_equal(get(store), AUTH_STORE_OK);
    auth_secret_wipe(&bytes);
    free_store(store);
}

static void takes_what_is_of_another_type_for_absent(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    (void)cli(&redis, "lpush 'central-auth:{n}.token' x");
    (void)cli(&redis, "pexpire 'central-auth:{n}.token' 60000");
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    assert_int_equal(put(store, 1), AUTH_STORE_OK);
    assert_int_equal(get(store), AUTH_STORE_OK);
    free_store(store);
}

static void is_reached_by_socket_and_in_other_databases(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = new_store(
        (struct auth_redis_options){.path = redis.socket, .user = REDIS_USER, .database = 3}, LONG_MS);
    set_password(store, REDIS_PASSWORD);
    assert_int_equal(put(store, 5), AUTH_STORE_OK);
    assert_string_equal(cli(&redis, "-n 3 get 'central-auth:{n}.token'"), "xxxxx");
    assert_int_equal(put(store, AUTH_STORE_RECORD_MAX), AUTH_STORE_OK); /* more than a socket holds */
    free_store(store);
}

static void gives_a_lease_to_one_holder(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *one = user_of(&redis);
    struct auth_store *other = user_of(&redis);
    struct auth_lock held;
    struct auth_lock more;
    for (int i = 0; i < 50; i++) { /* a release arrives, though the connection is closed behind it */
        assert_int_equal(lock(one, &held), AUTH_STORE_OK);
        assert_int_equal(lock(other, &more), AUTH_STORE_BUSY);
        assert_false(more.held);
        one->kind->unlock(one, &held);
        free_store(one);
        one = user_of(&redis);
        int64_t before = now_ms();
        while (lock(other, &more) != AUTH_STORE_OK)
            assert_true(now_ms() - before < LONG_MS);
        other->kind->unlock(other, &more);
        assert_int_equal(get(other), AUTH_STORE_ABSENT); /* and whoever asks after it sees it done */
    }
    assert_int_equal(lock(one, &held), AUTH_STORE_OK);
    assert_in_range(atol(cli(&redis, "pttl 'central-auth:{n}.lock'")), 1, LEASE_MS);
    (void)cli(&redis, "set 'central-auth:{n}.lock' another px 60000");
    one->kind->unlock(one, &held);
    assert_int_equal(get(one), AUTH_STORE_ABSENT);
    assert_string_equal(cli(&redis, "get 'central-auth:{n}.lock'"), "another");
    (void)cli(&redis, "persist 'central-auth:{n}.lock'");
    assert_int_equal(lock(one, &held), AUTH_STORE_ERROR);
    (void)cli(&redis, "del 'central-auth:{n}.lock'");
    free_store(one);
    free_store(other);
}

/* What a server is asked that hangs, it does once it goes on. */
static void takes_back_a_lease_that_comes_too_late(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_lock held;
    struct auth_store *store = new_store((struct auth_redis_options){.path = redis.socket}, SHORT_MS);
    assert_int_equal(get(store), AUTH_STORE_ABSENT); /* is connected */
    freeze(&redis);
    assert_int_equal(lock(store, &held), AUTH_STORE_ERROR);
    assert_false(held.held);
    free_store(store);
    thaw(&redis);
    for (int i = 0; i < 1000 && strstr(cli(&redis, "info commandstats"), "cmdstat_eval:calls=1") == NULL; i++)
        auth_clock_sleep(MS);
    assert_non_null(strstr(cli(&redis, "info commandstats"), "cmdstat_set:calls=1"));
    assert_string_equal(cli(&redis, "dbsize"), "0");
}

static void holds_no_lease_that_is_over_already(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_lock held;
    struct auth_store *store = user_of(&redis);
    assert_int_equal(get(store), AUTH_STORE_ABSENT); /* is connected */
    freeze(&redis);
    pid_t child = fork();
    if (child == 0) {
        auth_clock_sleep(50 * MS);
        thaw(&redis);
        end_child(true);
    }
    assert_int_equal(lock_for(store, &held, 20), AUTH_STORE_BUSY);
    assert_false(held.held);
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    assert_string_equal(cli(&redis, "dbsize"), "0"); /* it was taken back */
    waitpid(child, NULL, 0);
    free_store(store);
}

static void releases_its_lease_after_a_call_that_was_cancelled(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_lock held;
    struct auth_notifier cancel;
    struct auth_deadline deadline = in_ms(LONG_MS);
    struct auth_store *store = user_of(&redis);
    assert_true(auth_notifier_open(&cancel));
    deadline.cancel = &cancel;
    assert_int_equal(lock(store, &held), AUTH_STORE_OK);
    auth_notifier_signal(&cancel);
    assert_int_equal(put_until(store, 1, deadline), AUTH_STORE_ERROR); /* which it does not even begin */
    store->kind->unlock(store, &held);
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    assert_string_equal(cli(&redis, "dbsize"), "0");
    auth_notifier_close(&cancel);
    free_store(store);
}

static void takes_no_late_reply_for_another(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_lock held;
    struct auth_store *store = new_store((struct auth_redis_options){.path = redis.socket}, SHORT_MS);
    assert_int_equal(put(store, 1), AUTH_STORE_OK);
    freeze(&redis);
    assert_int_equal(lock(store, &held), AUTH_STORE_ERROR);
    thaw(&redis);
    auth_clock_sleep(20 * MS);
    assert_int_equal(get(store), AUTH_STORE_OK);
    free_store(store);
}

static void connects_anew_where_the_server_closed_the_connection(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(store, 1), AUTH_STORE_OK);
        (void)cli(&redis, "client kill type normal");
    }
    assert_int_equal(get(store), AUTH_STORE_OK);
    free_store(store);
}

static void leaves_no_connection_open(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    assert_int_equal(put(store, 1), AUTH_STORE_OK);
    assert_int_equal(get(store), AUTH_STORE_OK);
    assert_non_null(strstr(cli(&redis, "info clients"), "connected_clients:2")); /* and redis-cli */
    free_store(store);
    assert_non_null(strstr(cli(&redis, "info clients"), "connected_clients:1"));
}

static void uses_a_new_password_for_the_next_connection(void **state) {
    (void)state;
    NEEDS_REDIS();
    struct auth_store *store = user_of(&redis);
    set_password(store, "a-wrong-password");
    assert_int_equal(get(store), AUTH_STORE_ERROR);
    assert_string_equal(call.why, "user or password are wrong (WRONGPASS)");
    set_password(store, REDIS_PASSWORD);
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    set_password(store, "");
    assert_int_equal(get(store), AUTH_STORE_ABSENT);
    free_store(store);
}

static void says_what_a_real_server_refuses(void **state) {
    (void)state;
    NEEDS_REDIS();
    const struct auth_redis_options user = {.path = redis.socket, .user = REDIS_USER};
    const struct auth_redis_options admin = {.path = redis.socket};
    const struct auth_redis_options far = {.path = redis.socket, .database = 9999};
    const struct {
        struct auth_redis_options options;
        const char *password;
        const char *before;
        const char *why;
        const char *after;
    } cases[] = {{admin, "", "acl setuser default resetpass '>x'",
                  "it needs a password: cache_password, cache_password_file (NOAUTH)",
                  "-a x acl setuser default nopass"},
                 {user, REDIS_PASSWORD, "acl setuser auth -set",
                  "its access list does not permit this user all commands and keys that are needed (NOPERM)",
                  "acl setuser auth +set"},
                 {user, REDIS_PASSWORD, "replicaof 127.0.0.1 1",
                  "it is a replica, which cannot be written to (READONLY)", "replicaof no one"},
                 {user, REDIS_PASSWORD, "config set maxmemory 1", "its memory is full (OOM)",
                  "config set maxmemory 0"},
                 {far, "", "ping", "it has no such database (ERR)", "ping"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_store *store = new_store(cases[i].options, LONG_MS);
        set_password(store, cases[i].password);
        (void)cli(&redis, cases[i].before);
        enum auth_store_result result = put(store, 1);
        (void)cli(&redis, cases[i].after);
        assert_int_equal(result, AUTH_STORE_ERROR);
        assert_string_equal(call.why, cases[i].why);
        assert_null(strstr(call.why, REDIS_PASSWORD));
        if (cases[i].options.database == 0)
            assert_int_equal(put(store, 1), AUTH_STORE_OK); /* the next call is a new one */
        free_store(store);
    }
}

/* --- TLS --- */

static char certificates[32];

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_int_equal(system(command), 0); /* NOLINT */
}

/* An authority and a certificate for localhost and 127.0.0.1. */
static void make_certificates(const char *name) {
    static const char make[] = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    shell("cd %s && %s -x509 -days 1 -subj /CN=%s -keyout %s.ca.key >%s.ca 2>/dev/null", certificates, make,
          name, name, name);
    shell("cd %s && %s -subj /CN=x -keyout %s.key >request 2>/dev/null", certificates, make, name);
    shell("cd %s && printf subjectAltName=DNS:localhost,IP:127.0.0.1 >names && openssl x509 -req -in request "
          "-days 1 "
          "-extfile names -CA %s.ca -CAkey %s.ca.key >%s.pem 2>/dev/null",
          certificates, name, name, name);
}

static void speaks_tls_and_checks_the_certificate(void **state) {
    (void)state;
    if (!has_command("redis-server") || !has_command("redis-cli") || !has_command("openssl"))
        SKIP("redis-server, redis-cli or openssl is not installed");
    char port[8];
    char plain_port[8];
    char config[512];
    char ca[64];
    char other[64];
    char key[64];
    (void)snprintf(certificates, sizeof certificates, "/tmp/redis_store.XXXXXX");
    assert_non_null(mkdtemp(certificates));
    make_certificates("good");
    make_certificates("other");
    (void)snprintf(ca, sizeof ca, "%s/good.ca", certificates);
    (void)snprintf(other, sizeof other, "%s/other.ca", certificates);
    (void)snprintf(key, sizeof key, "%s/good.key", certificates);
    free_port(port, sizeof port);
    (void)snprintf(config, sizeof config,
                   "tls-port %s\ntls-cert-file %s/good.pem\ntls-key-file %s\ntls-ca-cert-file %s\n"
                   "tls-auth-clients no\n",
                   port, certificates, key, ca);
    struct redis_server server = start_redis(config);
    struct server plain = serve("HTTP/1.1 400 Bad Request\r\n\r\n", 0);
    port_of(plain.url, plain_port, sizeof plain_port);
    const struct {
        const char *host;
        const char *ca_file;
        const char *port;
        const char *why; /* a part of it; NULL: it works */
    } cases[] = {
        {"127.0.0.1", ca, port, NULL},
        {"localhost", ca, port, NULL},
        {"127.0.0.2", ca, port, "no alternative certificate subject name matches"},
        {"several.test", ca, port, "no alternative certificate subject name matches"},
        {"127.0.0.1", other, port, ": self"},
        {"127.0.0.1", NULL, port, ": self"},
        {"127.0.0.1", "/nowhere/ca.pem", port, "the ca_file, or the system's trust store, cannot be used"},
        {"127.0.0.1", key, port, "the ca_file, or the system's trust store, cannot be used"},
        {"127.0.0.1", ca, plain_port, "wrong version number"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_redis_options options = {.url = url_at("https", cases[i].host, cases[i].port),
                                             .user = REDIS_USER,
                                             .ca_file = cases[i].ca_file};
        struct auth_store *store = new_store(options, LONG_MS);
        set_password(store, REDIS_PASSWORD);
        enum auth_store_result result = put(store, AUTH_STORE_RECORD_MAX);
        if (cases[i].why != NULL) {
            assert_int_equal(strncmp(call.why, "TLS fails: ", strlen("TLS fails: ")), 0);
            assert_non_null(strstr(call.why, cases[i].why));
        }
        assert_int_equal(result, cases[i].why != NULL ? AUTH_STORE_ERROR : AUTH_STORE_OK);
        assert_int_equal(get(store), result);
        free_store(store);
    }
    struct auth_redis_options options = {.url = url_at("https", "localhost", port), .user = REDIS_USER};
    struct auth_lock held;
    setenv("SSL_CERT_FILE", ca, 1);
    struct auth_store *store = new_store(options, LONG_MS);
    unsetenv("SSL_CERT_FILE"); /* it is asked when the store is made */
    set_password(store, REDIS_PASSWORD);
    assert_int_equal(get(store), AUTH_STORE_OK);
    assert_int_equal(lock(store, &held), AUTH_STORE_OK);
    store->kind->unlock(store, &held);
    (void)cli(&server, "client kill type normal");
    assert_int_equal(get(store), AUTH_STORE_OK);
    assert_int_equal(remove_it(store, "n.token"), AUTH_STORE_OK);
    assert_string_equal(cli(&server, "dbsize"), "0");
    (void)cli(&server, "config set tls-auth-clients yes");
    (void)cli(&server, "client kill type normal");
    assert_int_equal(get(store), AUTH_STORE_ERROR);
    if (strstr(call.why, "certificate required") == NULL) /* where its close came before its alert was read */
        assert_string_equal(call.why, "it closed the connection");
    free_store(store);
    stop_redis(&server);
    stop(plain);
    shell("rm -r %s", certificates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_record_and_its_age),
        cmocka_unit_test(knows_what_is_no_record),
        cmocka_unit_test(explains_errors_of_the_server),
        cmocka_unit_test(takes_no_more_than_a_record),
        cmocka_unit_test(asks_on_a_new_connection_after_an_error),
        cmocka_unit_test(takes_a_lease_or_finds_it_taken),
        cmocka_unit_test(releases_a_lease_whose_reply_was_lost),
        cmocka_unit_test(says_why_it_is_not_there),
        cmocka_unit_test(closes_without_a_reset),
        cmocka_unit_test(survives_a_connection_that_broke),
        cmocka_unit_test(waits_no_longer_than_its_limit_or_the_deadline),
        cmocka_unit_test(waits_on_where_a_fetch_would_pause),
        cmocka_unit_test(returns_at_once_when_it_is_cancelled),
        cmocka_unit_test(holds_no_fork_up_while_it_waits),
        cmocka_unit_test(tries_each_address_of_a_name),
        cmocka_unit_test(keeps_its_descriptor_away_from_others),
        cmocka_unit_test(keeps_records),
        cmocka_unit_test(keeps_the_age_of_a_record_that_it_renames),
        cmocka_unit_test(takes_what_is_of_another_type_for_absent),
        cmocka_unit_test(is_reached_by_socket_and_in_other_databases),
        cmocka_unit_test(gives_a_lease_to_one_holder),
        cmocka_unit_test(takes_back_a_lease_that_comes_too_late),
        cmocka_unit_test(holds_no_lease_that_is_over_already),
        cmocka_unit_test(releases_its_lease_after_a_call_that_was_cancelled),
        cmocka_unit_test(takes_no_late_reply_for_another),
        cmocka_unit_test(connects_anew_where_the_server_closed_the_connection),
        cmocka_unit_test(leaves_no_connection_open),
        cmocka_unit_test(uses_a_new_password_for_the_next_connection),
        cmocka_unit_test(says_what_a_real_server_refuses),
        cmocka_unit_test(speaks_tls_and_checks_the_certificate),
    };
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    if (!auth_redis_store_init() || !auth_redis_store_init())
        return 1;
    return cmocka_run_group_tests_name(__FILE__, tests, start_real, stop_real);
}

/* A world for fetches: a scripted token endpoint, a real folder, a remote store in memory that can fail, hang
 * or be slow, and a clock that moves when anything waits. Each place where a fetch waits or calls something
 * is a point; a test may do something at the n-th. SPDX-License-Identifier: MIT */
#ifndef AUTH_FETCH_WORLD_H
#define AUTH_FETCH_WORLD_H

#include "unit.h"

#include "cache/folder_store.h"
#include "fetch/fetch.h"
#include "worker/gate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "{\"access_token\":\"t\"}"
#define SECRET "0123456789abcdef0123"
#define IDENTITY "identity"

enum { SCRIPT_MAX = 16, HUGE_DEADLINE_S = 30 };

/* What the endpoint answers: status 0 is a failure of the transfer. */
struct answer {
    enum auth_transfer_failure failure;
    long status;
    const char *body;
    size_t body_length; /* 0: of the string */
    int64_t retry_after_s;
    long proxy_status;
    int64_t took_ns;
    void (*meanwhile)(void);
};

struct memory_record {
    struct auth_secret bytes;
    int64_t put_at_ns;
};

struct memory {
    struct auth_store store;
    struct memory_record records[AUTH_RECORD_KINDS];
    bool is_locked; /* by any machine */
    bool by_us;
    int64_t lease_ns;
    struct auth_secret password;
    int calls;
    int fails_at;    /* this call, counted from 1, is an error; 0: none */
    int hangs_at;    /* … does not return before its deadline */
    int64_t slow_ns; /* each call takes so long */
    int64_t waited_ns;
    bool is_open;
};

static struct world {
    struct auth_clock clock;
    struct auth_fetch *fetch;
    struct auth_fetch_order *order;
    struct auth_fetch_result *result;
    struct answer script[SCRIPT_MAX];
    size_t answered;
    char bodies[SCRIPT_MAX][512]; /* of the requests */
    char headers[SCRIPT_MAX][256];
    int64_t left_ns[SCRIPT_MAX]; /* until the deadline */
    int64_t sent_at_ns[SCRIPT_MAX];
    int64_t slept_ns;
    int naps;
    int64_t naps_ns[256];
    double random;
    int points;
    int acts_at;
    void (*act)(void);
    uint64_t next_id; /* of the next record that another process writes; 0: any */
    struct memory remote;
} world;

static char world_root[] = "/tmp/central-auth-XXXXXX";
static char world_folder[64];
static struct auth_secret world_key;
static char world_name[AUTH_SEAL_NAME_LENGTH + 1];

/* --- points --- */

static inline void point(void) {
    world.points++;
    if (world.points == world.acts_at)
        world.act();
}

static struct auth_notifier world_cancel = {.fd = -1};

static inline void cancel_fetch(void) {
    auth_notifier_signal(&world_cancel);
}

static inline void move_clock(int64_t by_ns) {
    struct auth_clock *clock = world.fetch != NULL ? &world.order->clock : &world.clock;
    clock->boot_shift_ns += by_ns;
    clock->wall_shift_ns += by_ns;
}

static inline void end_the_time(void) {
    move_clock(HUGE_DEADLINE_S * 2 * S);
}

/* Moves the clock in place of waiting. */
static inline bool nap(const struct auth_deadline *deadline, int64_t duration_ns) {
    int64_t left_ns = auth_deadline_left_ns(deadline);
    duration_ns = duration_ns > 0 ? duration_ns : 0;
    if (world.naps < 256)
        world.naps_ns[world.naps] = duration_ns;
    world.naps++;
    world.slept_ns += duration_ns < left_ns ? duration_ns : left_ns;
    move_clock(duration_ns < left_ns ? duration_ns : left_ns);
    point();
    return duration_ns < left_ns && !auth_deadline_is_over(deadline);
}

static inline double fixed_random(void) {
    return world.random;
}

/* --- the endpoint --- */

static inline struct auth_reply *perform_script(struct auth_transfer *transfer,
                                                const struct auth_request *request,
                                                const struct auth_deadline *deadline) {
    static struct auth_reply reply;
    size_t i = world.answered < SCRIPT_MAX ? world.answered : SCRIPT_MAX - 1;
    const struct answer *answer = &world.script[i];
    (void)transfer;
    auth_secret_wipe(&reply.body);
    reply = (struct auth_reply){.date_s = -1, .retry_after_s = -1};
    world.answered++;
    (void)snprintf(world.bodies[i], sizeof world.bodies[i], "%s", (const char *)request->body->data);
    (void)snprintf(world.headers[i], sizeof world.headers[i], "%s",
                   request->authorization != NULL ? (const char *)request->authorization->data : "");
    reply.sent = auth_clock_now(deadline->clock);
    world.sent_at_ns[i] = reply.sent.boot_ns;
    int64_t left_ns = world.left_ns[i] = auth_deadline_left_ns(deadline);
    move_clock(answer->took_ns < left_ns ? answer->took_ns : left_ns);
    if (answer->meanwhile != NULL)
        answer->meanwhile();
    point();
    reply.received = auth_clock_now(deadline->clock);
    reply.failure = answer->status == 0 ? answer->failure : AUTH_TRANSFER_OK;
    if (answer->took_ns >= left_ns || auth_deadline_is_over(deadline))
        reply.failure = AUTH_TRANSFER_TIMEOUT;
    reply.status = answer->status;
    reply.proxy_status = answer->proxy_status;
    reply.retry_after_s = answer->retry_after_s > 0 ? answer->retry_after_s : -1;
    const char *body = answer->body != NULL ? answer->body : "";
    size_t length = answer->body_length > 0 ? answer->body_length : strlen(body);
    if (reply.failure == AUTH_TRANSFER_OK && !auth_secret_append(&reply.body, body, length))
        abort();
    return &reply;
}

/* --- the remote store --- */

static inline struct memory *memory_of(struct auth_store *store) {
    return (struct memory *)store;
}

/* Each call: whether it may go on. */
static inline bool memory_call(struct auth_store *store, struct auth_store_call *call) {
    struct memory *memory = memory_of(store);
    int64_t left_ns = auth_deadline_left_ns(&call->deadline);
    memory->calls++;
    memory->is_open = true;
    bool hangs = memory->calls == memory->hangs_at || memory->slow_ns > left_ns;
    int64_t takes_ns = hangs ? left_ns : memory->slow_ns;
    memory->waited_ns += takes_ns;
    move_clock(takes_ns);
    point();
    call->why = hangs || auth_deadline_is_over(&call->deadline) ? "no answer" : "the connection was cut";
    return !hangs && memory->calls != memory->fails_at && !auth_deadline_is_over(&call->deadline);
}

static inline struct memory_record *memory_record(struct memory *memory, const char *name) {
    return &memory->records[strstr(name, ".token") != NULL ? AUTH_RECORD_TOKEN : AUTH_RECORD_LAST];
}

static inline enum auth_store_result memory_get(struct auth_store *store, const char *name,
                                                struct auth_secret *out, int64_t *age_ns,
                                                struct auth_store_call *call) {
    struct memory_record *record = memory_record(memory_of(store), name);
    *age_ns = -1;
    if (!memory_call(store, call))
        return AUTH_STORE_ERROR;
    if (record->bytes.length == 0)
        return AUTH_STORE_ABSENT;
    *age_ns = auth_clock_boot_ns(call->deadline.clock) - record->put_at_ns;
    return auth_secret_append(out, record->bytes.data, record->bytes.length) ? AUTH_STORE_OK
                                                                             : AUTH_STORE_ERROR;
}

static inline enum auth_store_result memory_put(struct auth_store *store, const char *name,
                                                const struct auth_secret *bytes,
                                                struct auth_store_call *call) {
    struct memory_record *record = memory_record(memory_of(store), name);
    if (!memory_call(store, call))
        return AUTH_STORE_ERROR;
    auth_secret_wipe(&record->bytes);
    record->put_at_ns = auth_clock_boot_ns(call->deadline.clock);
    return auth_secret_append(&record->bytes, bytes->data, bytes->length) ? AUTH_STORE_OK : AUTH_STORE_ERROR;
}

static inline enum auth_store_result memory_move(struct auth_store *store, const char *from, const char *to,
                                                 struct auth_store_call *call) {
    struct memory_record *moved = memory_record(memory_of(store), from);
    struct memory_record *replaced = memory_record(memory_of(store), to);
    if (!memory_call(store, call))
        return AUTH_STORE_ERROR;
    if (moved->bytes.length == 0)
        return AUTH_STORE_ABSENT;
    auth_secret_wipe(&replaced->bytes);
    *replaced = *moved;
    *moved = (struct memory_record){.put_at_ns = 0};
    return AUTH_STORE_OK;
}

static inline enum auth_store_result memory_remove(struct auth_store *store, const char *name,
                                                   struct auth_store_call *call) {
    struct memory_record *record = memory_record(memory_of(store), name);
    if (!memory_call(store, call))
        return AUTH_STORE_ERROR;
    bool was_there = record->bytes.length > 0;
    auth_secret_wipe(&record->bytes);
    return was_there ? AUTH_STORE_OK : AUTH_STORE_ABSENT;
}

static inline enum auth_store_result memory_lock(struct auth_store *store, const char *name, int64_t lease_ns,
                                                 struct auth_lock *lock, struct auth_store_call *call) {
    struct memory *memory = memory_of(store);
    (void)name;
    if (!memory_call(store, call))
        return AUTH_STORE_ERROR;
    if (memory->is_locked)
        return AUTH_STORE_BUSY;
    *lock = (struct auth_lock){.held = true};
    memory->is_locked = memory->by_us = true;
    memory->lease_ns = lease_ns;
    return AUTH_STORE_OK;
}

static inline void memory_unlock(struct auth_store *store, struct auth_lock *lock) {
    if (lock->held)
        memory_of(store)->is_locked = memory_of(store)->by_us = false;
    lock->held = false;
}

static inline bool memory_set_password(struct auth_store *store, const struct auth_secret *password) {
    return auth_secret_append(&memory_of(store)->password, password->data, password->length);
}

static inline void memory_free(struct auth_store *store) {
    memory_of(store)->is_open = false;
}

static const struct auth_store_kind memory_kind = {.get = memory_get,
                                                   .put = memory_put,
                                                   .move = memory_move,
                                                   .remove = memory_remove,
                                                   .lock = memory_lock,
                                                   .unlock = memory_unlock,
                                                   .set_password = memory_set_password,
                                                   .free = memory_free};

/* --- fetches --- */

static inline void set_text(struct auth_secret *secret, const char *text) {
    auth_secret_wipe(secret);
    if (!auth_secret_append(secret, text, strlen(text)))
        abort();
}

/* Frees the last fetch and its result; time goes on. */
static inline void end_fetch(void) {
    if (world.fetch == NULL)
        return;
    world.clock = world.order->clock;
    auth_fetch_free(world.fetch);
    world.fetch = NULL;
    world.order = NULL;
    world.result = NULL;
}

/* A new one, to be completed and then run. */
static inline struct auth_fetch_order *new_fetch(void) {
    end_fetch();
    world.fetch = auth_fetch_new();
    auth_notifier_close(&world_cancel);
    if (world.fetch == NULL || !auth_notifier_open(&world_cancel))
        abort();
    world.order = &world.fetch->order;
    world.result = &world.fetch->result;
    world.answered = 0;
    world.naps = 0;
    world.slept_ns = 0;
    world.points = 0;
    struct auth_fetch_order *order = world.order;
    order->clock = world.clock;
    order->request.url = strdup("https://127.0.0.1/token");
    set_text(&order->form, "grant_type=client_credentials");
    order->client_id = strdup("me");
    order->secret.kind = AUTH_SECRET_VALUE;
    set_text(&order->secret.value, SECRET);
    set_text(&order->identity, IDENTITY);
    order->local = auth_folder_store_new(world_folder);
    order->waits = true;
    order->tries = AUTH_FETCH_TRIES_MAX;
    order->deadline_ns = auth_clock_boot_ns(&order->clock) + HUGE_DEADLINE_S * S;
    order->perform = perform_script;
    order->random = fixed_random;
    order->sleep = nap;
    return order;
}

static inline struct auth_fetch_order *new_remote_fetch(void) {
    struct auth_fetch_order *order = new_fetch();
    world.remote.store.kind = &memory_kind;
    world.remote.calls = 0;
    world.remote.waited_ns = 0;
    order->remote = &world.remote.store;
    return order;
}

static inline enum auth_fetch_outcome run_fetch(void) {
    (void)auth_fetch_run(world.fetch, &world_cancel, 0);
    return world.result->outcome;
}

static inline int64_t world_now_ns(void) {
    return auth_clock_boot_ns(world.fetch != NULL ? &world.order->clock : &world.clock);
}

/* --- records as another process would read and write them --- */

static inline struct auth_records records_of(struct auth_store *store) {
    const struct auth_clock *clock = world.fetch != NULL ? &world.order->clock : &world.clock;
    int64_t far_ns = auth_clock_boot_ns(clock) + 3600 * S;
    return (struct auth_records){.store = store,
                                 .key = &world_key,
                                 .name = world_name,
                                 .clock = clock,
                                 .call.deadline = {.clock = clock, .at_ns = far_ns}};
}

/* The folder, or the remote store without its faults. */
static inline struct auth_store *open_side(bool remote) {
    return remote ? &world.remote.store : auth_folder_store_new(world_folder);
}

/* What another process does is none of the fetch's calls. */
static inline struct memory quiet_remote(void) {
    struct memory before = world.remote;
    world.remote.store.kind = &memory_kind;
    world.remote.fails_at = world.remote.hangs_at = 0;
    world.remote.slow_ns = 0;
    world.acts_at = -world.acts_at;
    world.points -= 1000000;
    return before;
}

static inline void disturb_remote(const struct memory *before) {
    world.remote.fails_at = before->fails_at;
    world.remote.hangs_at = before->hangs_at;
    world.remote.slow_ns = before->slow_ns;
    world.remote.calls = before->calls;
    world.remote.is_open = before->is_open;
    world.acts_at = -world.acts_at;
}

/* The id of the record; 0: there is none that can be read. `body`, of `capacity` bytes, gets its text. */
static inline uint64_t read_record(bool remote, enum auth_record_kind kind, struct auth_record *record,
                                   char *body, size_t capacity) {
    int points = world.points;
    struct memory before = quiet_remote();
    struct auth_store *store = open_side(remote);
    struct auth_records records = records_of(store);
    struct auth_record unused;
    struct auth_secret bytes = {0};
    record = record != NULL ? record : &unused;
    enum auth_store_result result = auth_records_read(&records, kind, record, &bytes);
    if (result == AUTH_STORE_OK && capacity > 0)
        (void)snprintf(body, capacity, "%.*s", (int)record->body_length, (const char *)record->body);
    auth_secret_wipe(&bytes);
    store->kind->free(store);
    disturb_remote(&before);
    world.points = points;
    return result == AUTH_STORE_OK ? record->id : 0;
}

/* Another process's reply, sent `ago_ns` ago; its id. */
static inline uint64_t write_record(bool remote, enum auth_record_kind kind, const char *body,
                                    uint32_t status, int64_t ago_ns, int64_t retry_after_s) {
    int points = world.points;
    struct memory before = quiet_remote();
    struct auth_store *store = open_side(remote);
    struct auth_records records = records_of(store);
    struct auth_record record = {.id = world.next_id,
                                 .sent = auth_clock_now(records.clock),
                                 .date_s = -1,
                                 .retry_after_s = retry_after_s,
                                 .status = status,
                                 .body = (const unsigned char *)body,
                                 .body_length = strlen(body)};
    record.sent.boot_ns -= ago_ns;
    record.sent.wall_ns -= ago_ns;
    if (auth_records_write(&records, kind, &record) != AUTH_STORE_OK)
        abort();
    store->kind->free(store);
    disturb_remote(&before);
    world.points = points;
    return record.id;
}

static inline uint64_t local_id(enum auth_record_kind kind) {
    return read_record(false, kind, NULL, NULL, 0);
}

static inline uint64_t remote_id(enum auth_record_kind kind) {
    return read_record(true, kind, NULL, NULL, 0);
}

/* --- locks of other processes --- */

static struct auth_store *other_store;
static struct auth_lock other_lock;

static inline bool other_locks(void) {
    struct auth_records records;
    other_store = auth_folder_store_new(world_folder);
    records = records_of(other_store);
    return auth_records_lock(&records, 0, &other_lock) == AUTH_STORE_OK;
}

static inline void other_unlocks(void) {
    if (other_store != NULL) {
        other_store->kind->unlock(other_store, &other_lock);
        other_store->kind->free(other_store);
    }
    other_store = NULL;
}

/* Whether nobody holds either lock. */
static inline bool locks_are_free(void) {
    bool free_here = other_locks();
    other_unlocks();
    return free_here && !world.remote.by_us;
}

/* --- before and after each test --- */

static inline int start_world(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    (void)snprintf(world_folder, sizeof world_folder, "%s/a", world_root);
    for (size_t i = 0; i < SCRIPT_MAX; i++)
        world.script[i] = (struct answer){.status = 200, .body = TOKEN};
    return 0;
}

/* The folder may have been closed by a test, and has no folders in it. */
static inline void remove_files(const char *folder) {
    char path[512];
    (void)chmod(folder, 0700);
    DIR *entries = opendir(folder);
    for (const struct dirent *entry = NULL; entries != NULL && (entry = readdir(entries)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (entries != NULL)
        closedir(entries);
}

static inline int end_world(void **state) {
    (void)state;
    other_unlocks();
    end_fetch();
    for (size_t i = 0; i < AUTH_RECORD_KINDS; i++)
        auth_secret_wipe(&world.remote.records[i].bytes);
    auth_secret_wipe(&world.remote.password);
    remove_files(world_folder);
    (void)rmdir(world_folder);
    remove_files(world_root);
    return 0;
}

static inline bool make_world(void) {
    struct auth_secret secret = {0};
    bool ok = auth_secret_init() && auth_gate_init() && mkdtemp(world_root) != NULL;
    set_text(&secret, SECRET);
    ok = ok && auth_seal_derive(&world_key, world_name, &secret, IDENTITY, strlen(IDENTITY));
    auth_secret_wipe(&secret);
    return ok;
}

static inline bool unmake_world(void) {
    auth_secret_wipe(&world_key);
    return rmdir(world_root) == 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start_world, end_world)

#endif

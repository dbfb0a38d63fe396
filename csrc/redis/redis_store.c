/* The Redis store; the contract is in the header. SPDX-License-Identifier: MIT */
#include "redis/redis_store.h"
#include "redis/redis_connection.h"
#include "worker/gate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MS (AUTH_STORE_KEPT_NS / AUTH_NS_PER_MS)

enum { KEY_BYTES = 80, NUMBER_BYTES = 24, NO_EXPIRY = -1 /* of PTTL */ };

struct redis {
    struct auth_store store;
    struct auth_redis_connection connection;
};

static struct auth_redis_connection *of(struct auth_store *store) {
    return &((struct redis *)store)->connection;
}

static enum auth_store_result fail(struct auth_store_call *call, const char *text) {
    call->why = text;
    return AUTH_STORE_ERROR;
}

/* --- records --- */

/* "NAME.token" -> "central-auth:{NAME}.token" */
static const char *key_of(char *key, const char *name) {
    const char *suffix = strrchr(name, '.');
    int length = suffix != NULL ? (int)(suffix - name) : (int)strlen(name);
    (void)snprintf(key, KEY_BYTES, "central-auth:{%.*s}%s", length, name, name + length);
    return key;
}

static const char *ms_of(char *text, int64_t duration_ns) {
    int64_t ms = duration_ns / AUTH_NS_PER_MS;
    (void)snprintf(text, NUMBER_BYTES, "%lld", ms > 0 ? (long long)ms : 1LL);
    return text;
}

/* PTTL comes first: a record that is replaced in between seems older than it is. */
static enum auth_store_result get(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *age_ns, struct auth_store_call *call) {
    struct auth_redis_connection *redis = of(store);
    char key[KEY_BYTES];
    const struct auth_redis_command commands[] = {{.count = 2, .words = {"PTTL", key_of(key, name)}},
                                                  {.count = 2, .words = {"GET", key}}};
    int64_t asked_ns = auth_clock_boot_ns(call->deadline.clock);
    enum auth_store_result result = auth_redis_connection_call(redis, commands, 2, call);
    if (result != AUTH_STORE_OK)
        return result;
    const redisReply *left = redis->replies[0];
    const redisReply *value = redis->replies[1];
    if (left->type != REDIS_REPLY_INTEGER || value->type != REDIS_REPLY_STRING || left->integer < 0 ||
        left->integer > KEPT_MS)
        return AUTH_STORE_ABSENT;
    if ((size_t)value->len > AUTH_STORE_RECORD_MAX)
        return fail(call, "its answer is too long");
    *age_ns =
        (KEPT_MS - left->integer) * AUTH_NS_PER_MS + auth_clock_boot_ns(call->deadline.clock) - asked_ns;
    return auth_secret_append(out, value->str, (size_t)value->len) ? AUTH_STORE_OK : fail(call, "no memory");
}

static struct auth_redis_command set_of(const char *key, const struct auth_secret *bytes,
                                        const char *kept_ms) {
    const char *value = bytes->length > 0 ? (const char *)bytes->data : "";
    return (struct auth_redis_command){
        .count = 5, .words = {"SET", key, value, "PX", kept_ms}, .lengths = {0, 0, bytes->length}};
}

static struct auth_redis_command del_of(const char *key) {
    return (struct auth_redis_command){.count = 2, .words = {"DEL", key}};
}

static enum auth_store_result put(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  struct auth_store_call *call) {
    char key[KEY_BYTES];
    char kept[NUMBER_BYTES];
    const struct auth_redis_command set = set_of(key_of(key, name), bytes, ms_of(kept, AUTH_STORE_KEPT_NS));
    return auth_redis_connection_call(of(store), &set, 1, call);
}

/* The last of the commands is a DEL. */
static enum auth_store_result remove_by(struct auth_store *store, const struct auth_redis_command *commands,
                                        int count, struct auth_store_call *call) {
    enum auth_store_result result = auth_redis_connection_call(of(store), commands, count, call);
    bool absent = result == AUTH_STORE_OK && of(store)->replies[count - 1]->integer == 0;
    return absent ? AUTH_STORE_ABSENT : result;
}

static enum auth_store_result remove_record(struct auth_store *store, const char *name,
                                            struct auth_store_call *call) {
    char key[KEY_BYTES];
    const struct auth_redis_command del = del_of(key_of(key, name));
    return remove_by(store, &del, 1, call);
}

/* Without RENAME and EVAL, which its user may not be allowed. If another process has removed the record
 * in between, the copy is removed, too. */
static enum auth_store_result move(struct auth_store *store, const char *from, const char *to,
                                   struct auth_store_call *call) {
    struct auth_secret bytes = {0};
    char keys[2][KEY_BYTES];
    char kept[NUMBER_BYTES];
    int64_t age_ns = 0;
    enum auth_store_result result = get(store, from, &bytes, &age_ns, call);
    if (result == AUTH_STORE_OK) {
        const struct auth_redis_command commands[] = {
            set_of(key_of(keys[1], to), &bytes, ms_of(kept, AUTH_STORE_KEPT_NS - age_ns)),
            del_of(key_of(keys[0], from))};
        result = remove_by(store, commands, 2, call);
        if (result == AUTH_STORE_ABSENT)
            (void)remove_record(store, to, call);
    }
    auth_secret_wipe(&bytes);
    return result;
}

/* --- the lock --- */

/* Waits for nothing. What was not written to the server before is written first, so it also takes back a
 * lease that was asked for in vain. */
static void release(struct auth_redis_connection *redis, const char *key, const char *lease) {
    static const char compare_and_delete[] =
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
    const struct auth_redis_command eval = {.count = 5,
                                            .words = {"EVAL", compare_and_delete, "1", key, lease}};
    auth_redis_connection_send(redis, &eval);
}

static enum auth_store_result lock(struct auth_store *store, const char *name, int64_t lease_ns,
                                   struct auth_lock *lock, struct auth_store_call *call) {
    struct auth_redis_connection *redis = of(store);
    char key[KEY_BYTES];
    char limit[NUMBER_BYTES];
    int64_t asked_ns = auth_clock_boot_ns(call->deadline.clock);
    *lock = (struct auth_lock){.fd = -1};
    (void)snprintf(lock->name, sizeof lock->name, "%s", name);
    (void)snprintf(lock->lease, sizeof lock->lease, "%016llx%016llx",
                   (unsigned long long)auth_secret_random(), (unsigned long long)auth_secret_random());
    const struct auth_redis_command commands[] = {
        {.count = 6, .words = {"SET", key_of(key, name), lock->lease, "PX", ms_of(limit, lease_ns), "NX"}},
        {.count = 2, .words = {"PTTL", key}}};
    enum auth_store_result result = auth_redis_connection_call(redis, commands, 2, call);
    bool in_time = auth_clock_boot_ns(call->deadline.clock) - asked_ns < lease_ns;
    lock->held = result == AUTH_STORE_OK && in_time && redis->replies[0]->type == REDIS_REPLY_STATUS;
    if (!lock->held) /* found taken, it may still be this one, if the connection broke before the reply */
        release(redis, key, lock->lease);
    if (result != AUTH_STORE_OK)
        return result;
    if (redis->replies[1]->type == REDIS_REPLY_INTEGER && redis->replies[1]->integer == NO_EXPIRY)
        return fail(call, "the lock key has no expiry; another program may have written it");
    return lock->held ? AUTH_STORE_OK : AUTH_STORE_BUSY;
}

static void unlock(struct auth_store *store, struct auth_lock *lock) {
    char key[KEY_BYTES];
    if (lock->held)
        release(of(store), key_of(key, lock->name), lock->lease);
    lock->held = false;
}

/* --- the store --- */

static bool set_password(struct auth_store *store, const struct auth_secret *password) {
    auth_secret_truncate(&of(store)->password, 0);
    return password->length == 0 ||
           auth_secret_append(&of(store)->password, password->data, password->length);
}

static void free_redis(struct auth_store *store) {
    auth_redis_connection_wipe(of(store));
    free(store);
}

static const struct auth_store_kind kind = {.get = get,
                                            .put = put,
                                            .move = move,
                                            .remove = remove_record,
                                            .lock = lock,
                                            .unlock = unlock,
                                            .set_password = set_password,
                                            .free = free_redis};

struct auth_store *auth_redis_store_new(const struct auth_redis_options *options) {
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL)
        return NULL;
    redis->store.kind = &kind;
    if (auth_redis_connection_init(&redis->connection, options))
        return &redis->store;
    free_redis(&redis->store);
    return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool initialised;

static void initialise(void) {
    initialised = auth_transfer_init() && auth_gate_init();
}

bool auth_redis_store_init(void) {
    return pthread_once(&once, initialise) == 0 && initialised;
}

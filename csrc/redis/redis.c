/* Redis as a store; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"
#include "redis/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    KEY_BYTES = 80,
    NUMBER_BYTES = 24,
    ID_DIGITS = 32,
    NOTE_LIFE_MS = 60000, /* by then all permits are back */
    FOR_EVER = -1         /* of PTTL */
};

struct redis {
    struct auth_store store;
    struct auth_talk *talk;
    char lease[AUTH_STORE_LEASE_DIGITS + 1]; /* being asked for */
};

static struct redis *of(struct auth_store *store) {
    return (struct redis *)store;
}

static enum auth_store_result unfit(const char **why, const char *text) {
    *why = text;
    return AUTH_STORE_UNFIT;
}

/* "0123….token" -> "central-auth:{0123…}.token" */
static const char *key_of(char *key, const char *name, const char *suffix) {
    size_t length = strlen(name);
    const char *kind = length > ID_DIGITS ? name + ID_DIGITS : "";
    (void)snprintf(key, KEY_BYTES, "central-auth:{%.*s}%s%s", ID_DIGITS, name, kind, suffix);
    return key;
}

static enum auth_store_result ask(struct auth_store *store, const struct auth_wire_command *commands,
                                  int count, struct auth_wire_reply *replies, const char **why) {
    char doing[AUTH_TALK_DOING_MAX + 1];
    (void)snprintf(doing, sizeof doing, "%s %s", commands->words[0], commands->words[1]);
    return auth_talk_ask(of(store)->talk, doing, commands, count, replies, why);
}

/* How long it lasts is asked first: if the value is replaced in between, it seems older than it is. */
static enum auth_store_result get(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *left_ms, const char **why) {
    char key[KEY_BYTES];
    struct auth_wire_reply replies[2];
    const struct auth_wire_command commands[] = {{.count = 2, .words = {"PTTL", key_of(key, name, "")}},
                                                 {.count = 2, .words = {"GET", key}}};
    enum auth_store_result result = ask(store, commands, 2, replies, why);
    if (result != AUTH_STORE_OK)
        return result;
    int64_t left = replies[0].kind == AUTH_WIRE_INTEGER ? replies[0].integer : 0;
    left -= left > 0 ? auth_talk_took_ms(of(store)->talk) : 0;
    *left_ms = left > 0 ? left : 0;
    if (replies[1].kind != AUTH_WIRE_BYTES)
        return AUTH_STORE_ABSENT;
    return auth_secret_append(out, replies[1].bytes, replies[1].length) ? AUTH_STORE_OK
                                                                        : unfit(why, "no memory");
}

static enum auth_store_result put(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  int64_t life_ms, const char **why) {
    char key[KEY_BYTES];
    char life[NUMBER_BYTES];
    struct auth_wire_reply reply;
    (void)snprintf(life, sizeof life, "%lld", (long long)(life_ms > 0 ? life_ms : 1));
    const struct auth_wire_command set = {
        .count = 5,
        .words = {"SET", key_of(key, name, ""), (const char *)bytes->data, "PX", life},
        .lengths = {0, 0, bytes->length}};
    return ask(store, &set, 1, &reply, why);
}

static enum auth_store_result take_away(struct auth_store *store, const char *name, const char **why) {
    char key[KEY_BYTES];
    struct auth_wire_reply reply;
    return ask(store, &(struct auth_wire_command){.count = 2, .words = {"DEL", key_of(key, name, "")}}, 1,
               &reply, why);
}

static bool draw(char *lease) {
    unsigned char bytes[AUTH_STORE_LEASE_DIGITS / 2];
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(lease + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static void take_note(struct auth_lock *lock, const struct auth_wire_reply *reply) {
    if (reply->kind != AUTH_WIRE_BYTES || reply->length > sizeof lock->note)
        return;
    memcpy(lock->note, reply->bytes, reply->length);
    lock->note_length = reply->length;
}

static enum auth_store_result lock(struct auth_store *store, const char *name, int64_t lease_ms,
                                   struct auth_lock *lock, const char **why) {
    struct redis *redis = of(store);
    char key[KEY_BYTES];
    char note[KEY_BYTES];
    char life[NUMBER_BYTES];
    char begun[AUTH_TALK_DOING_MAX + 1];
    struct auth_wire_reply replies[3];
    (void)snprintf(begun, sizeof begun, "SET %s", key_of(key, name, ""));
    (void)snprintf(life, sizeof life, "%lld", (long long)lease_ms);
    *lock = (struct auth_lock){.fd = -1, .owner = getpid()};
    if (!auth_talk_is_at(redis->talk, begun) && !draw(redis->lease))
        return unfit(why, "no randomness");
    const struct auth_wire_command commands[] = {
        {.count = 6, .words = {"SET", key, redis->lease, "PX", life, "NX"}},
        {.count = 2, .words = {"GET", key_of(note, name, ".note")}},
        {.count = 2, .words = {"PTTL", key}}};
    enum auth_store_result result = ask(store, commands, 3, replies, why);
    if (result != AUTH_STORE_OK)
        return result;
    if (replies[2].kind == AUTH_WIRE_INTEGER && replies[2].integer == FOR_EVER)
        return unfit(why, "something else took the lock, and for ever");
    if (replies[0].kind != AUTH_WIRE_STATUS || auth_talk_took_ms(redis->talk) >= lease_ms)
        return AUTH_STORE_BUSY; /* another's, or ours and over before we heard of it */
    lock->held = true;
    (void)snprintf(lock->name, sizeof lock->name, "%s", name);
    memcpy(lock->lease, redis->lease, sizeof lock->lease);
    take_note(lock, &replies[1]);
    return AUTH_STORE_OK;
}

static void leave(struct auth_store *store, struct auth_lock *lock, const char *note, size_t length) {
    char key[KEY_BYTES];
    char life[NUMBER_BYTES];
    (void)snprintf(life, sizeof life, "%d", NOTE_LIFE_MS);
    const struct auth_wire_command set = {
        .count = 5,
        .words = {"SET", key_of(key, lock->name, ".note"), note, "PX", life},
        .lengths = {0, 0, length}};
    if (lock->held)
        auth_talk_mention(of(store)->talk, &set);
}

static void unlock(struct auth_store *store, struct auth_lock *lock) {
    static const char compare_and_delete[] =
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
    char key[KEY_BYTES];
    const struct auth_wire_command eval = {
        .count = 5, .words = {"EVAL", compare_and_delete, "1", key_of(key, lock->name, ""), lock->lease}};
    bool held = lock->held;
    lock->held = false;
    if (held)
        auth_talk_mention(of(store)->talk, &eval);
}

static bool wait_for_it(struct auth_store *store, int limit_ms) {
    return auth_talk_wait(of(store)->talk, limit_ms);
}

static void interrupt(struct auth_store *store) {
    auth_talk_interrupt(of(store)->talk);
}

static void free_redis(struct auth_store *store) {
    auth_talk_free(of(store)->talk);
    free(store);
}

static struct auth_store *make(struct auth_talk *talk);

static struct auth_store *branch(struct auth_store *store) {
    return make(auth_talk_branch(of(store)->talk));
}

static const struct auth_store_kind kind = {.get = get,
                                            .put = put,
                                            .remove = take_away,
                                            .lock = lock,
                                            .leave = leave,
                                            .unlock = unlock,
                                            .wait = wait_for_it,
                                            .interrupt = interrupt,
                                            .branch = branch,
                                            .free = free_redis};

static struct auth_store *make(struct auth_talk *talk) {
    struct redis *redis = talk != NULL ? calloc(1, sizeof *redis) : NULL;
    if (redis == NULL) {
        auth_talk_free(talk);
        return NULL;
    }
    redis->store.kind = &kind;
    redis->talk = talk;
    return &redis->store;
}

struct auth_store *auth_redis_new(const struct auth_redis_options *options) {
    return make(auth_talk_new(options));
}

/* Lua's view of what is shared: a key from a secret, stores of records sealed under it, their locks.
 * SPDX-License-Identifier: MIT */
#include "base/lifetime.h"
#include "cache/cache.h"
#include "cache/seal.h"
#include "lua/lauth.h"

#include <string.h>
#include <unistd.h>

/* How long an operation may be waited for at a time. */
enum { WAIT_MAX_MS = 60000, NS_PER_MS = 1000000 };

/* By so much the clocks of servers that take over from each other may differ. */
enum { STORES_APART_MS = 100 };

static const struct auth_secret *check_key(lua_State *L, int index) {
    return luaL_checkudata(L, index, AUTH_SECRET_TYPE);
}

static struct auth_store *check_store(lua_State *L) {
    const struct auth_lua_store *store = luaL_checkudata(L, 1, AUTH_STORE_TYPE);
    if (store->store == NULL)
        luaL_error(L, "the store is closed");
    return store->store;
}

static const char *check_name(lua_State *L, int index) {
    const char *name = auth_lua_check_text(L, index);
    luaL_argcheck(L, strlen(name) <= AUTH_STORE_NAME_MAX, index, "too long");
    return name;
}

/* nil where there is nothing, false where somebody else is at it, nil and why where something is wrong; the
 * store itself where it is not done: wait and ask again. */
static int push_result(lua_State *L, enum auth_store_result result, const char *why) {
    if (result == AUTH_STORE_UNFIT)
        return auth_lua_fail(L, why);
    if (result == AUTH_STORE_PENDING)
        lua_pushvalue(L, 1);
    else if (result == AUTH_STORE_ABSENT)
        lua_pushnil(L);
    else
        lua_pushboolean(L, result == AUTH_STORE_OK);
    return 1;
}

/* seal_key(secret, identity) -> key, name | nil: the secret is too short */
static int seal_key(lua_State *L) {
    char name[AUTH_SEAL_NAME_LENGTH + 1];
    size_t length = 0;
    const struct auth_secret *secret = check_key(L, 1);
    const void *identity = auth_lua_check_bytes(L, 2, &length);
    struct auth_secret *key = auth_lua_new_secret(L);
    if (secret->length < AUTH_SEAL_SECRET_MIN)
        return 0;
    if (!auth_seal_derive(key, name, secret, identity, length))
        return auth_lua_no_memory(L);
    lua_pushstring(L, name);
    return 2;
}

static void push_record(lua_State *L, const struct auth_record *record) {
    lua_createtable(L, 0, 8);
    auth_lua_set_integer(L, "status", record->status);
    auth_lua_set_integer(L, "failures", record->failures);
    auth_lua_set_seconds(L, "sent_boot", record->sent.boot_ns);
    auth_lua_set_seconds(L, "sent_wall", record->sent.wall_ns);
    if (record->date_s >= 0)
        auth_lua_set_integer(L, "date", record->date_s);
    if (record->retry_after_s >= 0)
        auth_lua_set_integer(L, "retry_after", record->retry_after_s);
    lua_pushlstring(L, (const char *)record->body, record->body_length);
    lua_setfield(L, -2, "body");
}

static bool is_this_boot(const struct auth_record *record) {
    static const unsigned char unknown[AUTH_CLOCK_BOOT_ID];
    unsigned char id[AUTH_CLOCK_BOOT_ID];
    auth_clock_boot_id(id);
    return memcmp(id, unknown, sizeof id) != 0 && memcmp(id, record->boot_id, sizeof id) == 0;
}

/* The times of a record by this process's clocks. false: they can't be trusted. */
static bool rebase(struct auth_record *record, const char *name, const struct auth_clock *clock,
                   int64_t left_ms) {
    struct auth_instant now = auth_clock_now(clock);
    if (left_ms < 0)
        return auth_lifetime_rebase(&record->sent, now, is_this_boot(record));
    bool token = strstr(name, ".token") != NULL;
    int64_t life_ms = auth_share_life_ms(record, token ? AUTH_SHARE_TOKEN : AUTH_SHARE_REFUSAL);
    if (left_ms > life_ms + STORES_APART_MS) /* who put it there never said so */
        return false;
    int64_t kept_ms = life_ms - left_ms;
    return auth_lifetime_receive(&record->sent, now, record->date_s, kept_ms * NS_PER_MS);
}

/* store:read(clock, name, key) -> raw reply, its times by this process's clocks | nil | nil, why | store */
static int store_read(lua_State *L) {
    struct auth_store *store = check_store(L);
    const struct auth_clock *clock = luaL_checkudata(L, 2, AUTH_CLOCK_TYPE);
    const char *name = check_name(L, 3);
    const struct auth_secret *key = check_key(L, 4);
    struct auth_secret *bytes = auth_lua_new_secret(L);
    struct auth_record record = {0};
    const char *why = NULL;
    int64_t left_ms = -1;
    enum auth_store_result result = store->kind->get(store, name, bytes, &left_ms, &why);
    if (result != AUTH_STORE_OK)
        return push_result(L, result, why);
    if (auth_seal_decrypt(&record, bytes, key, name) && rebase(&record, name, clock, left_ms))
        push_record(L, &record);
    else
        lua_pushnil(L);
    auth_secret_wipe(bytes);
    return 1;
}

static enum auth_share_kind check_kind(lua_State *L, int index) {
    static const char *const names[] = {"token", "refusal", NULL};
    static const enum auth_share_kind kinds[] = {AUTH_SHARE_TOKEN, AUTH_SHARE_REFUSAL};
    return kinds[luaL_checkoption(L, index, NULL, names)];
}

/* The raw reply at `index`. Its body stays on the stack. */
static struct auth_record check_record(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TTABLE);
    struct auth_record record = {.sent = {.boot_ns = auth_lua_ns_field(L, index, "sent_boot"),
                                          .wall_ns = auth_lua_ns_field(L, index, "sent_wall")},
                                 .date_s = auth_lua_integer_field(L, index, "date", -1),
                                 .retry_after_s = auth_lua_integer_field(L, index, "retry_after", -1),
                                 .status = (uint32_t)auth_lua_integer_field(L, index, "status", 0)};
    lua_getfield(L, index, "body");
    record.body = (const unsigned char *)luaL_checklstring(L, -1, &record.body_length);
    return record;
}

/* cache_share({ near, name, key, failures }, raw reply, "token" | "refusal", clock) -> why it can't, or nil:
 * as a job does with its own where it is clear. Waits for the store, which is to be that of this machine. */
static int cache_share(lua_State *L) {
    enum auth_share_kind kind = check_kind(L, 3);
    struct auth_share share = {0};
    auth_lua_check_share(L, 1, &share);
    struct auth_record record = check_record(L, 2);
    const char *why[AUTH_SHARE_STORES] = {NULL};
    auth_share_reply(&share, &record, kind, luaL_checkudata(L, 4, AUTH_CLOCK_TYPE), why);
    lua_pushstring(L, why[AUTH_SHARE_NEAR]); /* nil for NULL */
    return 1;
}

/* store:put(share, raw reply, "token" | "refusal", clock) -> true | nil: its time is over | nil, why | store.
 * Arguments as of cache_share. */
static int store_put(lua_State *L) {
    struct auth_store *store = check_store(L);
    enum auth_share_kind kind = check_kind(L, 4);
    const struct auth_clock *clock = luaL_checkudata(L, 5, AUTH_CLOCK_TYPE);
    struct auth_share share = {0};
    auth_lua_check_share(L, 2, &share);
    struct auth_record record = check_record(L, 3);
    const char *why = NULL;
    enum auth_store_result result = auth_share_step(&share, store, &record, kind, clock, &why);
    return push_result(L, result, why);
}

/* store:remove(name) -> true | nil | nil, why | store */
static int store_remove(lua_State *L) {
    struct auth_store *store = check_store(L);
    const char *why = NULL;
    enum auth_store_result result = store->kind->remove(store, check_name(L, 2), &why);
    return push_result(L, result, why);
}

/* store:wait(seconds): until what is under way can go on. Whether it can. */
static int store_wait(lua_State *L) {
    struct auth_store *store = check_store(L);
    int64_t limit_ns = auth_lua_check_ns(L, 2);
    int64_t limit_ms = limit_ns <= 0 ? 0 : (limit_ns - 1) / NS_PER_MS + 1;
    limit_ms = limit_ms > WAIT_MAX_MS ? WAIT_MAX_MS : limit_ms;
    lua_pushboolean(L, store->kind->wait(store, (int)limit_ms));
    return 1;
}

static int store_close(lua_State *L) {
    struct auth_lua_store *box = luaL_checkudata(L, 1, AUTH_STORE_TYPE);
    struct auth_store *store = box->store;
    box->store = NULL;
    if (store != NULL)
        store->kind->free(store);
    return 0;
}

/* folder(path) -> store */
static int new_folder(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    struct auth_lua_store *box = auth_lua_new_store(L);
    box->store = auth_folder_new(path);
    return box->store != NULL ? 1 : auth_lua_no_memory(L);
}

/* folder_problem(path, parent_is_there) -> nil: it can be used, or made | why not, and whether there is no
 * place for it, so that the next one is to be tried */
static int folder_problem(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    const char *why = NULL;
    enum auth_store_result result = auth_cache_try(path, lua_toboolean(L, 2) != 0, &why);
    if (result == AUTH_STORE_OK)
        return 0;
    lua_pushstring(L, why);
    lua_pushboolean(L, result == AUTH_STORE_ABSENT);
    return 2;
}

/* --- lock --- */

static struct auth_lua_lock *check_lock(lua_State *L) {
    return luaL_checkudata(L, 1, AUTH_LOCK_TYPE);
}

/* An open lock, of the store at `index`. */
static struct auth_lua_lock *new_lock(lua_State *L, int index) {
    struct auth_lua_lock *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (struct auth_lua_lock){.from = lua_touserdata(L, index)};
    luaL_setmetatable(L, AUTH_LOCK_TYPE);
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    return box;
}

/* lock_file(path) -> lock | false: held by somebody else | nil, why. An absolute path, in any folder. */
static int lock_file(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    const char *why = NULL;
    lua_settop(L, 1);
    auth_lua_new_store(L); /* closed: it is of none */
    struct auth_lua_lock *box = new_lock(L, 2);
    enum auth_store_result result = auth_cache_lock_path(path, &box->lock.fd, &why);
    box->lock.held = result == AUTH_STORE_OK;
    box->lock.owner = getpid();
    return result == AUTH_STORE_OK ? 1 : push_result(L, result, why);
}

/* store:lock(name, seconds) -> lock | false: held by somebody else | nil, why | store. Where nobody can
 * notice that its holder died, it ends after so many seconds. */
static int store_lock(lua_State *L) {
    struct auth_store *store = check_store(L);
    const char *name = check_name(L, 2);
    int64_t lease_ms = auth_lua_check_ns(L, 3) / NS_PER_MS;
    struct auth_lua_lock *box = new_lock(L, 1);
    const char *why = NULL;
    enum auth_store_result result =
        store->kind->lock(store, name, lease_ms < 1 ? 1 : lease_ms, &box->lock, &why);
    return result == AUTH_STORE_OK ? 1 : push_result(L, result, why);
}

static int lock_release(lua_State *L) {
    struct auth_lua_lock *box = check_lock(L);
    struct auth_store *store = box->from->store;
    bool own = box->lock.held && box->lock.owner == getpid();
    if (own && store != NULL)
        store->kind->unlock(store, &box->lock);
    else if (own && box->lock.fd >= 0)
        auth_cache_unlock(box->lock.fd);
    box->lock.held = false; /* or it is the parent's, or a lease that ends by itself */
    return 0;
}

/* lock:note() -> what the last holder left, or "" */
static int lock_note(lua_State *L) {
    const struct auth_lua_lock *box = check_lock(L);
    lua_pushlstring(L, box->lock.note, box->lock.held ? box->lock.note_length : 0);
    return 1;
}

/* lock:leave(note) */
static int lock_leave(lua_State *L) {
    struct auth_lua_lock *box = check_lock(L);
    struct auth_lock *lock = &box->lock;
    size_t length = 0;
    const char *note = luaL_checklstring(L, 2, &length);
    struct auth_store *store = box->from->store;
    if (!lock->held || store == NULL || length > sizeof lock->note)
        return 0;
    memcpy(lock->note, note, length);
    lock->note_length = length;
    store->kind->leave(store, lock, note, length);
    return 0;
}

void auth_lua_open_cache(lua_State *L) {
    static const luaL_Reg store_methods[] = {
        {"read", store_read}, {"put", store_put},   {"remove", store_remove},
        {"lock", store_lock}, {"wait", store_wait}, {"close", store_close},
        {NULL, NULL}};
    static const luaL_Reg store_meta[] = {{"__gc", store_close}, {"__close", store_close}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"release", lock_release}, {"note", lock_note}, {"leave", lock_leave}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", lock_release}, {"__close", lock_release}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"seal_key", seal_key},   {"cache_share", cache_share},
                                         {"folder", new_folder},   {"folder_problem", folder_problem},
                                         {"lock_file", lock_file}, {NULL, NULL}};
    auth_lua_type(L, AUTH_STORE_TYPE, store_methods, store_meta);
    auth_lua_type(L, AUTH_LOCK_TYPE, methods, meta);
    luaL_setfuncs(L, functions, 0);
}

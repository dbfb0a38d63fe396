/* Lua's view of the sealed cache: a key from a secret, records read and written under it, the lock.
 * SPDX-License-Identifier: MIT */
#include "cache.h"
#include "lauth.h"
#include "lifetime.h"
#include "seal.h"

#include <string.h>
#include <unistd.h>

static const struct auth_secret *check_key(lua_State *L, int index) {
    return luaL_checkudata(L, index, AUTH_SECRET_TYPE);
}

/* nil where there is nothing, false where another process is at it, nil and why where something is wrong. */
static int push_result(lua_State *L, enum auth_cache_result result, const char *why) {
    if (result == AUTH_CACHE_UNFIT)
        return auth_lua_fail(L, why);
    if (result == AUTH_CACHE_ABSENT)
        lua_pushnil(L);
    else
        lua_pushboolean(L, result == AUTH_CACHE_OK);
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

/* cache_read(clock, folder, name, key) -> raw reply, its times by this process's clocks | nil | nil, why */
static int cache_read(lua_State *L) {
    const struct auth_clock *clock = luaL_checkudata(L, 1, AUTH_CLOCK_TYPE);
    const char *folder = auth_lua_check_text(L, 2);
    const char *name = auth_lua_check_text(L, 3);
    const struct auth_secret *key = check_key(L, 4);
    struct auth_secret *bytes = auth_lua_new_secret(L);
    struct auth_record record = {0};
    const char *why = NULL;
    enum auth_cache_result result = auth_cache_read(folder, name, bytes, &why);
    if (result != AUTH_CACHE_OK)
        return push_result(L, result, why);
    if (auth_seal_open(&record, bytes, key, name) &&
        auth_lifetime_rebase(&record.sent, auth_clock_now(clock), is_this_boot(&record)))
        push_record(L, &record);
    else
        lua_pushnil(L);
    auth_secret_wipe(bytes);
    return 1;
}

/* cache_share({ folder, name, key, failures }, raw reply, "token" | "refusal") -> true | nil, why: as a job
 * does with its own where it is clear */
static int cache_share(lua_State *L) {
    static const char *const names[] = {"token", "refusal", NULL};
    static const enum auth_share_kind kinds[] = {AUTH_SHARE_TOKEN, AUTH_SHARE_REFUSAL};
    enum auth_share_kind kind = kinds[luaL_checkoption(L, 3, NULL, names)];
    struct auth_share share = {0};
    auth_lua_check_share(L, 1, &share);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct auth_record record = {.sent = {.boot_ns = auth_lua_ns_field(L, 2, "sent_boot"),
                                          .wall_ns = auth_lua_ns_field(L, 2, "sent_wall")},
                                 .date_s = auth_lua_integer_field(L, 2, "date", -1),
                                 .retry_after_s = auth_lua_integer_field(L, 2, "retry_after", -1),
                                 .status = (uint32_t)auth_lua_integer_field(L, 2, "status", 0)};
    lua_getfield(L, 2, "body");
    record.body = (const unsigned char *)luaL_checklstring(L, -1, &record.body_length);
    const char *why = NULL;
    if (!auth_share_reply(&share, &record, kind, &why))
        return auth_lua_fail(L, why);
    lua_pushboolean(L, 1);
    return 1;
}

/* cache_remove(folder, name) -> true | nil | nil, why */
static int cache_remove(lua_State *L) {
    const char *why = NULL;
    enum auth_cache_result result =
        auth_cache_remove(auth_lua_check_text(L, 1), auth_lua_check_text(L, 2), &why);
    return push_result(L, result, why);
}

/* --- lock --- */

static struct auth_lua_lock *check_lock(lua_State *L) {
    return luaL_checkudata(L, 1, AUTH_LOCK_TYPE);
}

/* cache_lock(folder, name) -> lock | false: held by another process | nil, why */
static int cache_lock(lua_State *L) {
    const char *folder = auth_lua_check_text(L, 1);
    const char *name = auth_lua_check_text(L, 2);
    struct auth_lua_lock *lock = lua_newuserdatauv(L, sizeof *lock, 0);
    *lock = (struct auth_lua_lock){.fd = -1, .owner = getpid()};
    luaL_setmetatable(L, AUTH_LOCK_TYPE);
    const char *why = NULL;
    enum auth_cache_result result = auth_cache_lock(folder, name, &lock->fd, &why);
    return result == AUTH_CACHE_OK ? 1 : push_result(L, result, why);
}

static int lock_release(lua_State *L) {
    struct auth_lua_lock *lock = check_lock(L);
    int fd = lock->fd;
    lock->fd = -1;
    if (fd >= 0 && lock->owner == getpid())
        auth_cache_unlock(fd);
    else if (fd >= 0)
        close(fd); /* the parent's lock: a child only lets go of its copy */
    return 0;
}

/* lock:note() -> what the last holder left, or "" */
static int lock_note(lua_State *L) {
    char note[AUTH_CACHE_NOTE_MAX];
    const struct auth_lua_lock *lock = check_lock(L);
    lua_pushlstring(L, note, lock->fd < 0 ? 0 : auth_cache_read_note(lock->fd, note));
    return 1;
}

/* lock:leave(note) */
static int lock_leave(lua_State *L) {
    const struct auth_lua_lock *lock = check_lock(L);
    size_t length = 0;
    const char *note = luaL_checklstring(L, 2, &length);
    if (lock->fd >= 0)
        auth_cache_write_note(lock->fd, note, length);
    return 0;
}

void auth_lua_open_cache(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"release", lock_release}, {"note", lock_note}, {"leave", lock_leave}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", lock_release}, {"__close", lock_release}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"seal_key", seal_key},       {"cache_read", cache_read},
                                         {"cache_share", cache_share}, {"cache_remove", cache_remove},
                                         {"cache_lock", cache_lock},   {NULL, NULL}};
    auth_lua_type(L, AUTH_LOCK_TYPE, methods, meta);
    luaL_setfuncs(L, functions, 0);
}

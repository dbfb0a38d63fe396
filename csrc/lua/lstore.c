/* Lua's view of what processes share: the folder of records, the budget of requests.
 * SPDX-License-Identifier: MIT */
#include "cache/folder_store.h"
#include "cache/records.h"
#include "lua/lauth.h"

#include <string.h>

enum { IDS_MAX = 16 };

/* For a store that waits for others; a folder does not. */
#define STORE_LIMIT_NS (2 * AUTH_NS_PER_S)

/* --- stores --- */

/* store:…(clock, secret, identity): all that a method needs to find the records. Their key is the box's, to
 * be emptied after use. */
static struct auth_records check_records(lua_State *L, struct auth_lua_store *box) {
    const struct auth_secret *secret = luaL_checkudata(L, 3, AUTH_SECRET_TYPE);
    size_t length = 0;
    const void *identity = auth_lua_check_bytes(L, 4, &length);
    struct auth_records records = {.store = box->store,
                                   .clock = luaL_checkudata(L, 2, AUTH_CLOCK_TYPE),
                                   .key = &box->key,
                                   .name = box->name};
    if (records.store == NULL)
        luaL_error(L, "the store is closed");
    luaL_argcheck(L, secret->length >= AUTH_SEAL_SECRET_MIN, 3, "too short for a key");
    if (!auth_seal_derive(&box->key, box->name, secret, identity, length))
        auth_lua_no_memory(L);
    records.call.deadline = (struct auth_deadline){
        .clock = records.clock, .at_ns = auth_clock_boot_ns(records.clock) + STORE_LIMIT_NS};
    return records;
}

static bool read_record(struct auth_records *records, enum auth_record_kind kind, struct auth_record *record,
                        struct auth_secret *bytes) {
    auth_secret_empty(bytes); /* of a read that failed half-way, too */
    return auth_records_read(records, kind, record, bytes) == AUTH_STORE_OK;
}

static void push_record(lua_State *L, bool found, const struct auth_record *record,
                        struct auth_secret *bytes) {
    if (found)
        auth_lua_push_record(L, record);
    else
        lua_pushnil(L);
    auth_secret_empty(bytes);
}

/* store:read(clock, secret, identity) -> raw reply of the token record | nil, raw reply of the last record |
 * nil, why | nil. Reads NAME.last first: another process may rename it to NAME.token in between */
static int store_read(lua_State *L) {
    struct auth_lua_store *box = luaL_checkudata(L, 1, AUTH_STORE_TYPE);
    struct auth_record last;
    struct auth_record token;
    struct auth_records records = check_records(L, box);
    bool has_last = read_record(&records, AUTH_RECORD_LAST, &last, &box->last);
    bool has_token = read_record(&records, AUTH_RECORD_TOKEN, &token, &box->token);
    auth_secret_empty(&box->key); /* before Lua may raise */
    push_record(L, has_token, &token, &box->token);
    push_record(L, has_last, &last, &box->last);
    lua_pushstring(L, records.call.why); /* nil for NULL */
    return 3;
}

/* store:forget(clock, secret, identity, ids | nil, budget [, sent_wall [, proven]]) -> whether a record was
 * removed, whether that was allowed, why | nil: removes the records whose id is in the list, or both. With
 * the time at which their token was requested only if the budget allows that it is replaced. The lock is
 * taken unless another process has it; then the budget is not asked. */
static int store_forget(lua_State *L) {
    struct auth_lua_store *box = luaL_checkudata(L, 1, AUTH_STORE_TYPE);
    uint64_t ids[IDS_MAX];
    bool all = lua_isnoneornil(L, 5);
    size_t count = all ? 0 : auth_lua_check_ids(L, 5, ids, IDS_MAX);
    struct auth_budget *budget = luaL_checkudata(L, 6, AUTH_BUDGET_TYPE);
    bool asks = !lua_isnoneornil(L, 7);
    int64_t sent_wall_ns = asks ? auth_lua_check_ns(L, 7) : 0;
    bool proven = lua_toboolean(L, 8) != 0;
    struct auth_lock lock = {.held = false};
    bool allowed = true;
    bool removed = false;
    struct auth_records records = check_records(L, box);
    bool locked = auth_records_lock(&records, STORE_LIMIT_NS, &lock) == AUTH_STORE_OK;
    if (locked && asks) {
        auth_budget_load(budget, &lock);
        allowed = auth_budget_may_replace(budget, sent_wall_ns, proven, auth_clock_wall_ns(records.clock));
        auth_budget_save(budget, &lock);
    }
    if (allowed && (all || count > 0))
        removed = auth_records_remove(&records, ids, count) == AUTH_STORE_OK;
    if (locked)
        records.store->kind->unlock(records.store, &lock);
    auth_secret_empty(&box->key);
    lua_pushboolean(L, removed);
    lua_pushboolean(L, allowed);
    lua_pushstring(L, records.call.why);
    return 3;
}

static int store_close(lua_State *L) {
    struct auth_lua_store *box = luaL_checkudata(L, 1, AUTH_STORE_TYPE);
    struct auth_store *store = box->store;
    box->store = NULL;
    auth_secret_wipe(&box->key);
    auth_secret_wipe(&box->last);
    auth_secret_wipe(&box->token);
    if (store != NULL)
        store->kind->free(store);
    return 0;
}

/* folder_store(path) -> store */
static int new_folder_store(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    struct auth_lua_store *box = auth_lua_new_store(L);
    box->store = auth_folder_store_new(path);
    return box->store != NULL ? 1 : auth_lua_no_memory(L);
}

/* folder_problem(path, parent_is_there) -> nil: it can be used, or made | why not, and whether there is no
 * place for it, so that the next one is to be tried */
static int folder_problem(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    const char *why = NULL;
    enum auth_store_result result = auth_folder_try(path, lua_toboolean(L, 2) != 0, &why);
    if (result == AUTH_STORE_OK)
        return 0;
    lua_pushstring(L, why);
    lua_pushboolean(L, result == AUTH_STORE_ABSENT);
    return 2;
}

/* --- the budget --- */

/* budget() -> a full one, for a process that shares no folder */
static int new_budget(lua_State *L) {
    auth_lua_new(L, AUTH_BUDGET_TYPE, sizeof(struct auth_budget), 0);
    return 1;
}

/* budget:may_replace(clock, sent_wall, proven) -> boolean */
static int budget_may_replace(lua_State *L) {
    struct auth_budget *budget = luaL_checkudata(L, 1, AUTH_BUDGET_TYPE);
    const struct auth_clock *clock = luaL_checkudata(L, 2, AUTH_CLOCK_TYPE);
    int64_t sent_wall_ns = auth_lua_check_ns(L, 3);
    bool proven = lua_toboolean(L, 4) != 0;
    lua_pushboolean(L, auth_budget_may_replace(budget, sent_wall_ns, proven, auth_clock_wall_ns(clock)));
    return 1;
}

void auth_lua_open_store(lua_State *L) {
    static const luaL_Reg store[] = {{"read", store_read},  {"forget", store_forget}, {"close", store_close},
                                     {"__gc", store_close}, {"__close", store_close}, {NULL, NULL}};
    static const luaL_Reg budget[] = {{"may_replace", budget_may_replace}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"folder_store", new_folder_store},
                                         {"folder_problem", folder_problem},
                                         {"budget", new_budget},
                                         {NULL, NULL}};
    auth_lua_type(L, AUTH_STORE_TYPE, store);
    auth_lua_type(L, AUTH_BUDGET_TYPE, budget);
    luaL_setfuncs(L, functions, 0);
}

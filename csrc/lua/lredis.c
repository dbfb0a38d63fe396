/* Opens central.auth.redis: a Redis server as a store. Loaded only when `cache` names one.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"
#include "redis/redis_store.h"

#include <limits.h>

/* store { path | url; user, database, ca_file, timeout } -> store. The URL is as libcurl takes it, timeout
 * seconds for each call. */
static int new_store(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    struct auth_redis_options options = {.path = auth_lua_text_field(L, 1, "path"),
                                         .url = auth_lua_text_field(L, 1, "url"),
                                         .user = auth_lua_text_field(L, 1, "user"),
                                         .ca_file = auth_lua_text_field(L, 1, "ca_file"),
                                         .limit_ns = auth_lua_ns_field(L, 1, "timeout")};
    luaL_argcheck(L, options.path != NULL || options.url != NULL, 1, "a path or a URL expected");
    int64_t database = auth_lua_integer_field(L, 1, "database", 0);
    luaL_argcheck(L, database >= 0 && database <= INT_MAX, 1, "no number of a database");
    options.database = (int)database;
    struct auth_lua_store *box = auth_lua_new_store(L);
    box->store = auth_redis_store_new(&options);
    return box->store != NULL ? 1 : auth_lua_no_memory(L);
}

int luaopen_central_auth_redis(lua_State *L) {
    luaL_checkversion(L);
    if (!auth_redis_store_init())
        return auth_lua_no_memory(L);
    if (luaL_getmetatable(L, AUTH_STORE_TYPE) != LUA_TTABLE)
        return luaL_error(L, "central.auth.redis: central.auth.core must be loaded before");
    lua_newtable(L);
    lua_pushcfunction(L, new_store);
    lua_setfield(L, -2, "store");
    return 1;
}

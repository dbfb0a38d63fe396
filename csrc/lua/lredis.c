/* Opens central.auth.redis: a Redis server as a store. Loaded only when `cache` names one.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"
#include "redis/redis.h"
#include "redis/wire_tls.h"

#include <stdio.h>
#include <string.h>

static void copy_field(lua_State *L, const char *name, char *to, size_t size) {
    const char *text = auth_lua_text_field(L, 1, name);
    if (text != NULL && strlen(text) >= size)
        luaL_error(L, "%s: too long", name);
    (void)snprintf(to, size, "%s", text != NULL ? text : "");
}

/* store { path | host, port; user, password, database, tls, ca_file, timeout } -> store. Port a string,
 * password a secret that is copied, timeout seconds for each call. */
static int new_store(lua_State *L) {
    struct auth_redis_options options = {.tls = false};
    luaL_checktype(L, 1, LUA_TTABLE);
    copy_field(L, "path", options.address.path, sizeof options.address.path);
    copy_field(L, "host", options.address.host, sizeof options.address.host);
    copy_field(L, "port", options.address.port, sizeof options.address.port);
    copy_field(L, "user", options.user, sizeof options.user);
    options.ca_file = auth_lua_text_field(L, 1, "ca_file");
    options.database = (int)auth_lua_integer_field(L, 1, "database", 0);
    options.limit_ns = auth_lua_ns_field(L, 1, "timeout");
    lua_getfield(L, 1, "tls");
    options.tls = lua_toboolean(L, -1);
    if (lua_getfield(L, 1, "password") != LUA_TNIL)
        options.password = luaL_checkudata(L, -1, AUTH_SECRET_TYPE);
    struct auth_lua_store *box = auth_lua_new_store(L);
    box->store = auth_redis_new(&options);
    return box->store != NULL ? 1 : auth_lua_no_memory(L);
}

int luaopen_central_auth_redis(lua_State *L) {
    luaL_checkversion(L);
    if (luaL_getmetatable(L, AUTH_STORE_TYPE) != LUA_TTABLE)
        return luaL_error(L, "central.auth.redis: central.auth.core must be loaded before");
    lua_newtable(L);
    lua_pushcfunction(L, new_store);
    lua_setfield(L, -2, "store");
    lua_pushboolean(L, auth_wire_tls_is_here());
    lua_setfield(L, -2, "tls");
    return 1;
}

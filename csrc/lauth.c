/* Helpers of the binding; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "lauth.h"

#include <math.h>

void auth_lua_type(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta) {
    luaL_newmetatable(L, name); /* filled whether new or not: memory may have run out the first time */
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

struct auth_secret *auth_lua_new_secret(lua_State *L) {
    struct auth_secret *secret = lua_newuserdatauv(L, sizeof *secret, 0);
    *secret = (struct auth_secret){0};
    luaL_setmetatable(L, AUTH_SECRET_TYPE);
    return secret;
}

const void *auth_lua_check_bytes(lua_State *L, int index, size_t *length) {
    if (lua_type(L, index) == LUA_TSTRING)
        return lua_tolstring(L, index, length);
    const struct auth_secret *secret = luaL_checkudata(L, index, AUTH_SECRET_TYPE);
    *length = secret->length;
    return secret->data != NULL ? (const void *)secret->data : "";
}

int64_t auth_lua_check_ns(lua_State *L, int index) {
    static const double century_s = 3.2e9;
    double seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, !isnan(seconds), index, "not a number of seconds");
    return (int64_t)(fmax(fmin(seconds, century_s), -century_s) * (double)AUTH_NS_PER_S);
}

int64_t auth_lua_ns_field(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    int64_t value = auth_lua_check_ns(L, -1);
    lua_pop(L, 1);
    return value;
}

int64_t auth_lua_integer_field(lua_State *L, int index, const char *name, int64_t otherwise) {
    lua_getfield(L, index, name);
    int64_t value = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return value;
}

void auth_lua_set_seconds(lua_State *L, const char *name, int64_t ns) {
    auth_lua_push_seconds(L, ns);
    lua_setfield(L, -2, name);
}

void auth_lua_set_integer(lua_State *L, const char *name, int64_t value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

void auth_lua_push_seconds(lua_State *L, int64_t ns) {
    lua_pushnumber(L, (double)ns / (double)AUTH_NS_PER_S);
}

int auth_lua_fail(lua_State *L, const char *message) {
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

int auth_lua_no_memory(lua_State *L) {
    return luaL_error(L, "not enough memory");
}

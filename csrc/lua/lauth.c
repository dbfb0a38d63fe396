/* Helpers of the binding; the contract is in the header. SPDX-License-Identifier: MIT */
#include "lua/lauth.h"
#include "base/form.h"

#include <math.h>
#include <string.h>

void auth_lua_type(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name); /* filled whether new or not: memory may have run out the first time */
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_createtable(L, 0, 8); /* as many as most types have */
    for (const luaL_Reg *method = methods; method->name != NULL; method++) {
        lua_pushcfunction(L, method->func);
        lua_setfield(L, strncmp(method->name, "__", 2) == 0 ? -3 : -2, method->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void *auth_lua_new(lua_State *L, const char *type, size_t size, int slots) {
    void *body = memset(lua_newuserdatauv(L, size, slots), 0, size);
    luaL_setmetatable(L, type);
    return body;
}

struct auth_secret *auth_lua_new_secret(lua_State *L) {
    return auth_lua_new(L, AUTH_SECRET_TYPE, sizeof(struct auth_secret), 0);
}

struct auth_lua_store *auth_lua_new_store(lua_State *L) {
    struct auth_lua_store *box = auth_lua_new(L, AUTH_STORE_TYPE, sizeof *box, 0);
    box->key.plain = box->last.plain = box->token.plain = true; /* they are there for the time of a call */
    return box;
}

const void *auth_lua_check_bytes(lua_State *L, int index, size_t *length) {
    if (lua_type(L, index) == LUA_TSTRING)
        return lua_tolstring(L, index, length);
    const struct auth_secret *secret = luaL_checkudata(L, index, AUTH_SECRET_TYPE);
    *length = secret->length;
    return secret->data != NULL ? (const void *)secret->data : "";
}

void auth_lua_append_form(lua_State *L, int index, struct auth_secret *out) {
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Integer count = luaL_len(L, index);
    for (lua_Integer i = 1; i < count; i += 2) {
        size_t name_length = 0;
        size_t value_length = 0;
        lua_geti(L, index, i);
        lua_geti(L, index, i + 1);
        const void *name = auth_lua_check_bytes(L, -2, &name_length);
        const void *value = auth_lua_check_bytes(L, -1, &value_length);
        if (!auth_form_field(out, name, name_length, value, value_length))
            auth_lua_no_memory(L);
        lua_pop(L, 2);
    }
}

const char *auth_lua_check_text(lua_State *L, int index) {
    size_t length = 0;
    const char *text = luaL_checklstring(L, index, &length);
    luaL_argcheck(L, strlen(text) == length, index, "a NUL in it");
    return text;
}

const char *auth_lua_text_field(lua_State *L, int index, const char *name) {
    size_t length = 0;
    index = lua_absindex(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushstring(L, name);
    int type = lua_rawget(L, index);
    const char *text = type == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    if (type != LUA_TNIL && (text == NULL || strlen(text) != length))
        luaL_error(L, "%s: a string without NUL expected", name);
    lua_pop(L, 1); /* it stays in the table */
    return text;
}

size_t auth_lua_check_ids(lua_State *L, int index, uint64_t *ids, size_t most) {
    index = lua_absindex(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    size_t count = lua_rawlen(L, index);
    if (count > most)
        luaL_error(L, "more than %d ids", (int)most);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        ids[i] = (uint64_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    return count;
}

int64_t auth_lua_check_ns(lua_State *L, int index) {
    static const double century_s = 3.2e9;
    double seconds = luaL_checknumber(L, index);
    if (isnan(seconds))
        luaL_error(L, "not a number of seconds");
    double limited = seconds > century_s ? century_s : seconds < -century_s ? -century_s : seconds;
    return (int64_t)(limited * (double)AUTH_NS_PER_S);
}

int64_t auth_lua_ns_field(lua_State *L, int index, const char *name) {
    int64_t value = lua_getfield(L, index, name) == LUA_TNIL ? 0 : auth_lua_check_ns(L, -1);
    lua_pop(L, 1);
    return value;
}

bool auth_lua_flag_field(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    bool flag = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    return flag;
}

void *auth_lua_userdata_field(lua_State *L, int index, const char *name, const char *type) {
    void *body = lua_getfield(L, index, name) == LUA_TNIL ? NULL : luaL_checkudata(L, -1, type);
    lua_pop(L, 1);
    return body;
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

void auth_lua_set_text(lua_State *L, const char *name, const char *text) {
    if (text == NULL || text[0] == '\0')
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

void auth_lua_push_record(lua_State *L, const struct auth_record *record) {
    lua_createtable(L, 0, 12);
    auth_lua_set_integer(L, "id", (int64_t)record->id);
    auth_lua_set_integer(L, "status", record->status);
    auth_lua_set_integer(L, "failures", record->failures);
    auth_lua_set_seconds(L, "sent_boot", record->sent.boot_ns);
    auth_lua_set_seconds(L, "sent_wall", record->sent.wall_ns);
    auth_lua_set_seconds(L, "received_boot", record->sent.boot_ns + record->took_ns);
    auth_lua_set_seconds(L, "received_wall", record->sent.wall_ns + record->took_ns);
    if (record->date_s >= 0)
        auth_lua_set_integer(L, "date", record->date_s);
    if (record->retry_after_s >= 0)
        auth_lua_set_integer(L, "retry_after", record->retry_after_s);
    lua_pushlstring(L, record->body_length > 0 ? (const char *)record->body : "", record->body_length);
    lua_setfield(L, -2, "body");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "shared");
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

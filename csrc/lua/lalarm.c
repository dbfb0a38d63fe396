/* Lua's view of alarms.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct auth_alarm *check_alarm(lua_State *L, int index) {
    struct auth_lua_alarm *handle = luaL_checkudata(L, index, AUTH_ALARM_TYPE);
    return &handle->alarm;
}

static struct auth_alarm *new_handle(lua_State *L) {
    struct auth_lua_alarm *handle = lua_newuserdatauv(L, sizeof *handle, 0);
    *handle = (struct auth_lua_alarm){.alarm = {.fd = -1}, .owner = getpid()};
    luaL_setmetatable(L, AUTH_ALARM_TYPE);
    return &handle->alarm;
}

/* alarm() -> alarm | nil, why */
static int new_alarm(lua_State *L) {
    return auth_alarm_open(new_handle(L)) ? 1 : auth_lua_fail(L, strerror(errno));
}

/* alarm:copy() -> alarm of another descriptor | nil, why */
static int alarm_copy(lua_State *L) {
    const struct auth_alarm *alarm = check_alarm(L, 1);
    return auth_alarm_copy(new_handle(L), alarm) ? 1 : auth_lua_fail(L, strerror(errno));
}

static int alarm_fd(lua_State *L) {
    lua_pushinteger(L, check_alarm(L, 1)->fd);
    return 1;
}

/* alarm:ours() -> whether it was made in this process: a forked child's would ring in the parent, too */
static int alarm_ours(lua_State *L) {
    const struct auth_lua_alarm *handle = luaL_checkudata(L, 1, AUTH_ALARM_TYPE);
    lua_pushboolean(L, handle->owner == getpid());
    return 1;
}

/* alarm:set(seconds): rings then; at once for 0 */
static int alarm_set(lua_State *L) {
    const struct auth_alarm *alarm = check_alarm(L, 1);
    auth_alarm_set(alarm, auth_lua_check_ns(L, 2));
    return 0;
}

static int alarm_close(lua_State *L) {
    auth_alarm_close(check_alarm(L, 1));
    return 0;
}

void auth_lua_open_alarm(lua_State *L) {
    static const luaL_Reg methods[] = {{"copy", alarm_copy}, {"fd", alarm_fd},       {"ours", alarm_ours},
                                       {"set", alarm_set},   {"close", alarm_close}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", alarm_close}, {"__close", alarm_close}, {NULL, NULL}};
    auth_lua_type(L, AUTH_ALARM_TYPE, methods, meta);
    lua_pushcfunction(L, new_alarm);
    lua_setfield(L, -2, "alarm");
}

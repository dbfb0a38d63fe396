/* Lua's view of notifiers.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* In a forked child it is closed, as its descriptor was at the fork: the number may be another file's. */
static struct auth_notifier *check_notifier(lua_State *L, int index) {
    struct auth_lua_notifier *handle = luaL_checkudata(L, index, AUTH_NOTIFIER_TYPE);
    if (handle->owner != getpid())
        handle->notifier = (struct auth_notifier)AUTH_NOTIFIER_CLOSED;
    return &handle->notifier;
}

static struct auth_notifier *new_handle(lua_State *L) {
    struct auth_lua_notifier *handle = auth_lua_new(L, AUTH_NOTIFIER_TYPE, sizeof *handle, 0);
    *handle = (struct auth_lua_notifier){.notifier = AUTH_NOTIFIER_CLOSED, .owner = getpid()};
    return &handle->notifier;
}

/* The results of what makes one: it is on the stack. */
static int opened(lua_State *L, bool is_open) {
    return is_open ? 1 : auth_lua_fail(L, strerror(errno));
}

/* notifier() -> notifier | nil, why */
static int new_notifier(lua_State *L) {
    return opened(L, auth_notifier_open(new_handle(L)));
}

/* timer(seconds) -> notifier that becomes readable by itself | nil, why */
static int new_timer(lua_State *L) {
    int64_t in_ns = auth_lua_check_ns(L, 1);
    return opened(L, auth_notifier_open_timer(new_handle(L), in_ns));
}

/* notifier:copy() -> notifier with another descriptor of the same | nil, why */
static int notifier_copy(lua_State *L) {
    const struct auth_notifier *notifier = check_notifier(L, 1);
    return opened(L, auth_notifier_copy(new_handle(L), notifier));
}

/* notifier:fd() -> descriptor to poll for reading; -1 once it is closed */
static int notifier_fd(lua_State *L) {
    lua_pushinteger(L, check_notifier(L, 1)->fd);
    return 1;
}

/* notifier:signal() */
static int notifier_signal(lua_State *L) {
    auth_notifier_signal(check_notifier(L, 1));
    return 0;
}

/* notifier:clear() */
static int notifier_clear(lua_State *L) {
    auth_notifier_clear(check_notifier(L, 1));
    return 0;
}

/* notifier:wait(seconds) -> whether it is signalled; waits one second at most, so that Ctrl-C is heard */
static int notifier_wait(lua_State *L) {
    const struct auth_notifier *notifier = check_notifier(L, 1);
    int64_t limit_ns = auth_lua_check_ns(L, 2);
    limit_ns = limit_ns < AUTH_LUA_WAIT_NS ? limit_ns : AUTH_LUA_WAIT_NS;
    lua_pushboolean(L, auth_notifier_wait(notifier, limit_ns));
    return 1;
}

/* notifier:ours() -> whether this process made it: a forked child's would signal the parent's, too */
static int notifier_ours(lua_State *L) {
    const struct auth_lua_notifier *handle = luaL_checkudata(L, 1, AUTH_NOTIFIER_TYPE);
    lua_pushboolean(L, handle->owner == getpid());
    return 1;
}

static int notifier_close(lua_State *L) {
    auth_notifier_close(check_notifier(L, 1));
    return 0;
}

void auth_lua_open_notifier(lua_State *L) {
    static const luaL_Reg methods[] = {{"copy", notifier_copy},     {"fd", notifier_fd},
                                       {"signal", notifier_signal}, {"clear", notifier_clear},
                                       {"wait", notifier_wait},     {"ours", notifier_ours},
                                       {"close", notifier_close},   {"__gc", notifier_close},
                                       {"__close", notifier_close}, {NULL, NULL}};
    auth_lua_type(L, AUTH_NOTIFIER_TYPE, methods);
    lua_pushcfunction(L, new_notifier);
    lua_setfield(L, -2, "notifier");
    lua_pushcfunction(L, new_timer);
    lua_setfield(L, -2, "timer");
}

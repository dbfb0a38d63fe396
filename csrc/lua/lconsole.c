/* Opens central.auth.console: terminals and the execution of programs, for the command only.
 *
 * SPDX-License-Identifier: MIT */
#include "base/tty.h"
#include "lua/lauth.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* columns(fd) -> the width of the terminal | nil: it is not a terminal */
static int columns(lua_State *L) {
    int width = auth_tty_columns((int)luaL_checkinteger(L, 1));
    if (width == 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, width);
    return 1;
}

/* wait(fd, seconds) -> whether it is readable */
static int wait_for(lua_State *L) {
    int fd = (int)luaL_checkinteger(L, 1);
    int64_t wait_ms = auth_lua_check_ns(L, 2) / AUTH_NS_PER_MS;
    int limit = wait_ms < 0 ? 0 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
    lua_pushboolean(L, auth_tty_wait(fd, limit));
    return 1;
}

/* ask(prompt, shown) -> the line typed | nil, message */
static int ask(lua_State *L) {
    const char *prompt = auth_lua_check_text(L, 1);
    struct auth_secret *line = auth_lua_new_secret(L);
    int error = auth_tty_ask(prompt, lua_toboolean(L, 2) != 0, line);
    if (error == 0)
        lua_pushlstring(L, (const char *)line->data, line->length);
    auth_secret_wipe(line);
    return error == 0 ? 1
                      : auth_lua_fail(L, error == ENXIO     ? "there is no terminal"
                                         : error == ENODATA ? "the input ended"
                                                            : strerror(error));
}

/* exec(words, prefix, name, value) -> nil, message, whether there is no such program; does not return
 * otherwise */
static int exec_program(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t count = (size_t)luaL_len(L, 1);
    const char *prefix = auth_lua_check_text(L, 2);
    const char *name = auth_lua_check_text(L, 3);
    const char *value = auth_lua_check_text(L, 4);
    luaL_checkstack(L, (int)(count < INT_MAX ? count : INT_MAX), "too many words");
    char **words = lua_newuserdatauv(L, (count + 1) * sizeof *words, 0);
    for (size_t i = 0; i < count; i++) {
        lua_geti(L, 1, (lua_Integer)i + 1);
        words[i] = (char *)auth_lua_check_text(L, -1); /* execvp takes no const, and changes nothing */
    }
    words[count] = NULL;
    luaL_argcheck(L, count > 0, 1, "a program expected");
    int error = auth_tty_exec(words, prefix, name, value);
    auth_lua_fail(L, strerror(error));
    lua_pushboolean(L, error == ENOENT);
    return 3;
}

int luaopen_central_auth_console(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"columns", columns}, {"wait", wait_for}, {"ask", ask}, {"exec", exec_program}, {NULL, NULL}};
    luaL_checkversion(L);
    lua_getglobal(L, "require"); /* it defines the type of secrets, and initialises libsodium */
    lua_pushliteral(L, "central.auth.core");
    lua_call(L, 1, 0);
    luaL_newlib(L, functions);
    return 1;
}

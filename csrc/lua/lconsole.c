/* Opens central.auth.console: terminals and other programs, for the command only. SPDX-License-Identifier:
 * MIT */
#include "base/tty.h"
#include "lua/lauth.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    const struct auth_notifier notifier = {.fd = (int)luaL_checkinteger(L, 1)};
    lua_pushboolean(L, auth_notifier_wait(&notifier, auth_lua_check_ns(L, 2)));
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

/* A list, with NULL at its end: the entries of `kept` (NULL: none) that do not begin with `prefix`, and the
 * texts in the table at `index`, which stay on the stack. */
static char **push_texts(lua_State *L, int index, char *const *kept, const char *prefix) {
    size_t count = 0;
    size_t length = (size_t)luaL_len(L, index);
    while (kept != NULL && kept[count] != NULL)
        count++;
    luaL_checkstack(L, (int)(length < INT_MAX ? length : INT_MAX), "too many words");
    char **texts = lua_newuserdatauv(L, (count + length + 1) * sizeof *texts, 0);
    char **end = texts;
    for (size_t i = 0; i < count; i++)
        if (strncmp(kept[i], prefix, strlen(prefix)) != 0)
            *end++ = kept[i];
    for (size_t i = 0; i < length; i++) {
        lua_geti(L, index, (lua_Integer)i + 1);
        *end++ = (char *)auth_lua_check_text(L, -1); /* it is not written to */
    }
    *end = NULL;
    return texts;
}

/* The arguments words, prefix, variables -> the program, and its environment: that of this process, without
 * what begins with the prefix, and the variables, each "NAME=value". */
static char **push_program(lua_State *L, char ***environment) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    *environment = push_texts(L, 3, environ, auth_lua_check_text(L, 2));
    char **words = push_texts(L, 1, NULL, "");
    luaL_argcheck(L, words[0] != NULL, 1, "a program expected");
    return words;
}

/* Pushes nil, message, whether there is no such program. */
static int fail_program(lua_State *L, int error) {
    auth_lua_fail(L, strerror(error));
    lua_pushboolean(L, error == ENOENT);
    return 3;
}

/* exec(words, prefix, variables) -> nil, message, whether there is no such program; does not return otherwise
 */
static int exec_program(lua_State *L) {
    char **environment;
    char **words = push_program(L, &environment);
    (void)execvpe(words[0], words, environment);
    return fail_program(L, errno);
}

/* start(words, prefix, variables) -> the child's number | nil, message, whether there is no such program */
static int start_program(lua_State *L) {
    pid_t child;
    char **environment;
    char **words = push_program(L, &environment);
    int error = auth_tty_start(words, environment, &child);
    if (error != 0)
        return fail_program(L, error);
    lua_pushinteger(L, child);
    return 1;
}

/* attend(child) -> its exit status | nil, the number of the signal that arrived */
static int attend(lua_State *L) {
    int status = auth_tty_attend((pid_t)luaL_checkinteger(L, 1));
    if (status < 0)
        lua_pushnil(L);
    lua_pushinteger(L, abs(status));
    return status < 0 ? 2 : 1;
}

int luaopen_central_auth_console(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"columns", columns},     {"wait", wait_for}, {"ask", ask}, {"exec", exec_program},
        {"start", start_program}, {"attend", attend}, {NULL, NULL}};
    luaL_checkversion(L);
    lua_getglobal(L, "require"); /* it defines the type of secrets, and initialises libsodium */
    lua_pushliteral(L, "central.auth.core");
    lua_call(L, 1, 0);
    luaL_newlib(L, functions);
    return 1;
}

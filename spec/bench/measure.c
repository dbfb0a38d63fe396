/* What the benchmarks measure with: processes started and awaited without a shell between, and a C function
 * that does nothing, the floor of a call from Lua.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { WORDS = 32 };

static int nothing(lua_State *L) {
    (void)L;
    return 0;
}

/* now() -> seconds, monotonic */
static int now(lua_State *L) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    lua_pushnumber(L, (double)at.tv_sec + (double)at.tv_nsec / 1e9);
    return 1;
}

/* The strings of the list at `index`, which stay on the stack. */
static void take_words(lua_State *L, int index, char **words) {
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Integer count = luaL_len(L, index);
    luaL_argcheck(L, count > 0 && count <= WORDS, index, "too many words");
    luaL_checkstack(L, WORDS, NULL);
    for (lua_Integer i = 0; i < count; i++) {
        lua_geti(L, index, i + 1);
        words[i] = (char *)luaL_checkstring(L, -1);
    }
}

/* start({ program, argument… }, { "NAME=value"… }, quiet) -> pid; its output goes to /dev/null, `quiet`: its
 * errors, too */
static int start(lua_State *L) {
    char *words[WORDS + 1] = {NULL};
    char *environment[WORDS + 1] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    take_words(L, 1, words);
    take_words(L, 2, environment);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (lua_toboolean(L, 3))
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int error = posix_spawnp(&pid, words[0], &actions, NULL, words, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return luaL_error(L, "%s: %s", words[0], strerror(error));
    lua_pushinteger(L, pid);
    return 1;
}

/* wait(pid) -> exit status */
static int wait_for(lua_State *L) {
    int status = 0;
    while (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
        if (errno != EINTR)
            return luaL_error(L, "%s", strerror(errno));
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 1;
}

int luaopen_spec_measure(lua_State *L);
int luaopen_spec_measure(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"nothing", nothing}, {"now", now}, {"start", start}, {"wait", wait_for}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

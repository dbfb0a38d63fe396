/* fork() and chroot() for Lua specs: what an embedding host may do at any time.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <sys/wait.h>
#include <unistd.h>

/* fork() -> 0 in the child, its pid in the parent */
static int do_fork(lua_State *L) {
    lua_pushinteger(L, fork());
    return 1;
}

/* wait(pid) -> exit status, or minus the signal that ended it */
static int do_wait(lua_State *L) {
    int status = 0;
    waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    return 1;
}

/* chroot(folder): also the working directory; there is no way back */
static int do_chroot(lua_State *L) {
    const char *folder = luaL_checkstring(L, 1);
    return chdir(folder) == 0 && chroot(folder) == 0 ? 0 : luaL_error(L, "%s: no new root", folder);
}

int luaopen_spec_fork(lua_State *L);
int luaopen_spec_fork(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"fork", do_fork}, {"wait", do_wait}, {"chroot", do_chroot}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

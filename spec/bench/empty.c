/* The floor of a call from Lua: a C function that does nothing.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

static int nothing(lua_State *L) {
    (void)L;
    return 0;
}

int luaopen_empty(lua_State *L) {
    lua_pushcfunction(L, nothing);
    return 1;
}

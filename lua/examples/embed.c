/* A C program that embeds Lua to get a valid Authorization header. Credentials come from the environment or
 * a profile.  cc embed.c -o embed $(pkg-config --cflags --libs lua5.4)
 *   ./embed | curl --header @- https://…          SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

/* Runs for each request: only the first call waits. */
static const char code[] = "local header, message = require('central.auth').header()\n"
                           "return header and 'Authorization: ' .. header, message";

int main(void) {
    lua_State *L = luaL_newstate();
    if (L == NULL)
        return 1;
    luaL_openlibs(L);
    int raised = luaL_dostring(L, code) != LUA_OK;
    const char *header = raised ? NULL : lua_tostring(L, 1);
    (void)fprintf(header ? stdout : stderr, "%s\n", header ? header : lua_tostring(L, -1));
    lua_close(L);
    return header == NULL;
}

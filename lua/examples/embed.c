/* A C program that embeds Lua to get a valid Authorization header. Credentials come from the environment or
 * a profile.  cc embed.c -o embed $(pkg-config --cflags --libs lua5.4)
 *   ./embed | curl --header @- https://…          SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

/* Loads the module and puts auth.header at index 1. On failure the message is on the stack. */
static int begin(lua_State *L) {
    luaL_openlibs(L);
    return luaL_loadstring(L, "return require('central.auth').header") == LUA_OK &&
           lua_pcall(L, 0, 1, 0) == LUA_OK;
}

/* Returns the value of the header, valid until the next call; or NULL and the message. Only the first call
 * waits. */
static const char *authorization(lua_State *L, const char **message) {
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    int raised = lua_pcall(L, 0, 2, 0) != LUA_OK;
    *message = lua_tostring(L, raised ? 2 : 3);
    return raised ? NULL : lua_tostring(L, 2);
}

int main(void) {
    const char *message = "no memory", *value = NULL;
    lua_State *L = luaL_newstate();
    if (L != NULL && !begin(L))
        message = lua_tostring(L, -1);
    else if (L != NULL)
        value = authorization(L, &message);
    (void)fprintf(value ? stdout : stderr, "%s%s\n", value ? "Authorization: " : "", value ? value : message);
    if (L != NULL)
        lua_close(L);
    return value == NULL;
}

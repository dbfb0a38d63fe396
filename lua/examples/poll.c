/* A program with an event loop of its own that embeds Lua: it waits for a token by poll(2), beside everything
 * else it waits for.  cc poll.c -o poll $(pkg-config --cflags --libs lua5.4) SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>

/* With credentials of your own: return require("central.auth").pending() */
static const char begin[] = "box = require('central.auth.sandbox').start { latency = 0.2 }\n"
                            "client = assert(require('central.auth').new(box:options()))\n"
                            "pending = assert(client:pending())\n"
                            "return pending:fd()";
static const char look[] = "return pending:done()";
static const char end[] = "local token, message = pending:result()\n"
                          "pending:close() client:close() box:close()\n"
                          "return token and 'a token of ' .. #token .. ' characters' or message";

/* Runs the text and leaves its one result on the stack. */
static void run(lua_State *L, const char *text) {
    if (luaL_loadstring(L, text) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK) {
        (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
        lua_pushnil(L);
    }
}

int main(void) {
    lua_State *L = luaL_newstate();
    if (L == NULL)
        return 1;
    luaL_openlibs(L);
    run(L, begin);
    struct pollfd wanted = {.fd = (int)lua_tointeger(L, -1), .events = POLLIN};
    for (int done = 0; !done;) {
        if (poll(&wanted, 1, 50) == 0)
            puts("time for other things");
        run(L, look);
        done = lua_toboolean(L, -1) || lua_isnil(L, -1);
        lua_settop(L, 0);
    }
    run(L, end);
    puts(lua_tostring(L, -1));
    int failed = lua_isnil(L, -1);
    lua_close(L);
    return failed;
}

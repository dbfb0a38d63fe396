/* A program that embeds Lua in its own event loop: poll(2) waits for a token and for the program's other
 * descriptors.  cc poll.c -o poll $(pkg-config --cflags --libs lua5.4) SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>

/* With your own credentials: return require("central.auth").pending() */
static const char begin[] = "server = require('central.auth.sandbox').start { latency = 0.2 }\n"
                            "client = assert(require('central.auth').new(server:options()))\n"
                            "pending = assert(client:pending())\n"
                            "return pending:fd()";
static const char check[] = "return pending:done()";
static const char end[] = "local token, message = pending:result()\n"
                          "pending:close() client:close() server:close()\n"
                          "return 'a token of ' .. #assert(token, message) .. ' characters'";

/* Runs a text. Leaves its result on the stack; on failure returns false and leaves the message. */
static int run(lua_State *L, const char *text) {
    lua_settop(L, 0);
    return luaL_loadstring(L, text) == LUA_OK && lua_pcall(L, 0, 1, 0) == LUA_OK;
}

int main(void) {
    lua_State *L = luaL_newstate();
    if (L == NULL)
        return 1;
    luaL_openlibs(L);
    int ok = run(L, begin), done = 0;
    struct pollfd watched = {.fd = (int)lua_tointeger(L, -1), .events = POLLIN};
    while (ok && !done) {
        if (poll(&watched, 1, 50) == 0)
            puts("waiting for other events");
        ok = run(L, check);
        done = lua_toboolean(L, -1);
    }
    ok = ok && run(L, end);
    (void)fprintf(ok ? stdout : stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    return !ok;
}

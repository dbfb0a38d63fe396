/* Opens central.auth.core: secrets, clocks, expiry, and the modules of Lua. Needs libsodium alone, so that it
 * loads at once. SPDX-License-Identifier: MIT */
#include "base/descriptor.h"
#include "lua/lauth.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

/* fill_standard() -> whether 0, 1 and 2 are open now; for programs alone, see descriptor.h */
static int fill_standard(lua_State *L) {
    lua_pushboolean(L, auth_descriptor_fill_standard());
    return 1;
}

/* variables(prefix) -> the variables of the environment that begin so and are not empty, by the rest of their
 * names */
static int variables(lua_State *L) {
    size_t skipped = 0;
    const char *prefix = luaL_checklstring(L, 1, &skipped);
    lua_newtable(L);
    for (char **at = environ; at != NULL && *at != NULL; at++) {
        const char *equals = strncmp(*at, prefix, skipped) == 0 ? strchr(*at, '=') : NULL;
        if (equals == NULL || equals < *at + skipped || equals[1] == '\0')
            continue;
        lua_pushlstring(L, *at + skipped, (size_t)(equals - *at) - skipped);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 2) == LUA_TNIL) { /* the first of several, like getenv */
            lua_pop(L, 1);
            lua_pushstring(L, equals + 1);
            lua_rawset(L, 2);
        }
        lua_settop(L, 2);
    }
    return 1;
}

/* load_lazily(path): loads a shared object. Its libraries bind a function when it is first called, as they do
 * for a program that is linked with them, unless they insist (-z now). `require` alone would make all of
 * libcurl's thirty libraries bind at once, a tenth of the work for a first token; it reports what is wrong
 * with the object. */
static int load_lazily(lua_State *L) {
    (void)dlopen(auth_lua_check_text(L, 1), RTLD_LAZY | RTLD_LOCAL);
    return 0;
}

int luaopen_central_auth_core(lua_State *L) {
    static const luaL_Reg functions[] = {{"fill_standard", fill_standard},
                                         {"variables", variables},
                                         {"load_lazily", load_lazily},
                                         {NULL, NULL}};
    luaL_checkversion(L);
    if (!auth_secret_init())
        return luaL_error(L, "central.auth.core: libsodium finds no source of randomness");
    auth_lua_open_modules(L);
    lua_createtable(L, 0, 32); /* about as many as there are functions */
    auth_lua_open_secret(L);
    auth_lua_open_lifetime(L);
    auth_lua_open_store(L);
    auth_lua_open_notifier(L);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

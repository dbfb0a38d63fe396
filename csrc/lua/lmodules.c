/* The package's own Lua modules, precompiled by the Lua that this object was built with: compiling their text
 * at each start takes most of the time in which a process gets a token from the cache. Releases of one
 * version of Lua share its virtual machine (lua.org/versions.html); a Lua of another make takes the text.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"

#include <stdlib.h>
#include <string.h>

struct module {
    const char *name;
    const unsigned char *chunk;
    size_t length;
};

#include "modules.h" /* made by .ci/precompile.lua, in the order of their names */

enum { COUNT = sizeof MODULES / sizeof *MODULES };

static int load(lua_State *L, const struct module *module) {
    return luaL_loadbufferx(L, (const char *)module->chunk, module->length, module->name, "b");
}

static int compare(const void *name, const void *module) {
    return strcmp(name, ((const struct module *)module)->name);
}

/* A searcher (see package.searchers): a module's name -> its chunk; nothing if it is not here. */
static int find_module(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    const struct module *module = bsearch(name, MODULES + 1, COUNT - 1, sizeof *MODULES, compare);
    if (module == NULL)
        return 0;
    return load(L, module) == LUA_OK ? 1 : lua_error(L);
}

void auth_lua_open_modules(lua_State *L) {
    int top = lua_gettop(L);
    bool fits = load(L, &MODULES[0]) == LUA_OK;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (fits && lua_getfield(L, -1, "package") == LUA_TTABLE &&
        lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
        lua_rawgeti(L, -1, 2);
        if (lua_tocfunction(L, -1) != find_module) { /* or this library is opened again */
            for (lua_Integer i = (lua_Integer)lua_rawlen(L, -2); i >= 2; i--) {
                lua_rawgeti(L, -2, i);
                lua_rawseti(L, -3, i + 1);
            }
            lua_pushcfunction(L, find_module);
            lua_rawseti(L, -3, 2);
        }
    }
    lua_settop(L, top);
}

/* Opens central.auth.core: secrets, clocks, expiry, and the modules of Lua. Needs libsodium alone, so that it
 * loads at once. SPDX-License-Identifier: MIT */
#include "base/descriptor.h"
#include "lua/lauth.h"

/* fill_standard() -> whether 0, 1 and 2 are open now; for programs alone, see descriptor.h */
static int fill_standard(lua_State *L) {
    lua_pushboolean(L, auth_descriptor_fill_standard());
    return 1;
}

int luaopen_central_auth_core(lua_State *L) {
    luaL_checkversion(L);
    if (!auth_secret_init())
        return luaL_error(L, "central.auth.core: libsodium finds no source of randomness");
    auth_lua_open_modules(L);
    lua_newtable(L);
    auth_lua_open_secret(L);
    auth_lua_open_lifetime(L);
    auth_lua_open_store(L);
    auth_lua_open_notifier(L);
    lua_pushcfunction(L, fill_standard);
    lua_setfield(L, -2, "fill_standard");
    return 1;
}

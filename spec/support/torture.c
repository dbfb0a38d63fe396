/* Makes Lua's allocator fail, for specs: from the n-th allocation on, until it is told to stop.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>

struct torture {
    lua_Alloc allocate;
    void *data;
    long left; /* allocations that still succeed; below 0: as usual */
    int failed;
};

static struct torture torture = {.left = -1};

static void *allocate(void *data, void *block, size_t old_size, size_t new_size) {
    (void)data;
    int grows = new_size > 0 && (block == NULL || new_size > old_size);
    if (grows && torture.left == 0) {
        torture.failed = 1;
        return NULL;
    }
    if (grows && torture.left > 0)
        torture.left--;
    return torture.allocate(torture.data, block, old_size, new_size);
}

/* from(n): the n-th allocation from now on fails, and all behind it */
static int from(lua_State *L) {
    torture.left = (long)luaL_checkinteger(L, 1) - 1;
    torture.failed = 0;
    return 0;
}

/* stop() -> whether one failed */
static int stop(lua_State *L) {
    torture.left = -1;
    lua_pushboolean(L, torture.failed);
    return 1;
}

int luaopen_spec_torture(lua_State *L);
int luaopen_spec_torture(lua_State *L) {
    static const luaL_Reg functions[] = {{"from", from}, {"stop", stop}, {NULL, NULL}};
    if (torture.allocate == NULL) {
        torture.allocate = lua_getallocf(L, &torture.data);
        lua_setallocf(L, allocate, NULL);
    }
    luaL_newlib(L, functions);
    return 1;
}

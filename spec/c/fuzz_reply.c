/* libFuzzer target of token.response: any status and body give a token that a header can carry or a failure
 * that can be printed, and never raise. The first two bytes are the status, the rest the body.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"

#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

static const char check[] =
    "local response = require 'central.auth.token.response'\n"
    "local response_error = require 'central.auth.token.response_error'\n"
    "local errors = require 'central.auth.errors'\n"
    "local known = {}\n"
    "for _, code in ipairs(errors.codes) do known[code] = true end\n"
    "return function(status, body)\n"
    "  local raw = { status = status, body = body, sent_boot = 0, sent_wall = 0, received_wall = 0 }\n"
    "  local token = response.read(raw)\n"
    "  if token then\n"
    "    assert(status >= 200 and status < 300)\n"
    "    assert(token.access_token:find('^[\\x21-\\x7E]+$'))\n"
    "    for _, name in ipairs { 'expires_in', 'refresh_in' } do\n"
    "      local value = token[name]\n"
    "      assert(value == nil or value > 0 and value < math.huge)\n"
    "    end\n"
    "    assert(token.scope == nil or type(token.scope) == 'string')\n"
    "  else\n"
    "    local failure = response_error.of(raw, errors.printable)\n"
    "    local message, code, detail = failure.message, failure.code, failure.detail\n"
    "    assert(known[code] and type(detail) == 'table')\n"
    "    assert(utf8.len(message) and not message:find('%c') and #message < 2000)\n"
    "    assert(type(response_error.transient(code, detail)) == 'boolean')\n"
    "    assert(type(response_error.rejected(code, detail)) == 'boolean')\n"
    "  end\n"
    "end\n";

/* The fuzzer's coverage: which lines of Lua ran. */
__attribute__((section("__libfuzzer_extra_counters"))) static unsigned char lines[4096];

static void count_line(lua_State *L, lua_Debug *at) {
    lua_getinfo(L, "Sl", at);
    lines[((uintptr_t)at->source * 31 + (uintptr_t)at->currentline) % sizeof lines]++;
}

static lua_State *start(void) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_sethook(L, count_line, LUA_MASKLINE, 0);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_central_auth_core);
    lua_setfield(L, -2, "central.auth.core");
    lua_pop(L, 1);
    if (luaL_loadstring(L, check) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK) {
        (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    return L;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length) {
    static lua_State *L;
    if (L == NULL)
        L = start();
    if (length < 2)
        return 0;
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 100 + (bytes[0] | bytes[1] << 8) % 500);
    lua_pushlstring(L, (const char *)bytes + 2, length - 2);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    return 0;
}

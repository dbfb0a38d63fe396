/* libcurl as a function of Lua, with nothing around it. SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <lauxlib.h>
#include <string.h>

static CURL *easy;
static char body[1024 * 1024];
static size_t length;

static size_t keep(char *bytes, size_t size, size_t count, void *data) {
    (void)data;
    if (size * count > sizeof body - length)
        return 0;
    memcpy(body + length, bytes, size * count);
    length += size * count;
    return size * count;
}

/* get() -> the body */
static int get(lua_State *L) {
    length = 0;
    CURLcode error = curl_easy_perform(easy);
    if (error != CURLE_OK)
        return luaL_error(L, "%s", curl_easy_strerror(error));
    lua_pushlstring(L, body, length);
    return 1;
}

/* require("spec_libcurl")(url, ca_file, header line…) -> get */
static int open(lua_State *L) {
    struct curl_slist *lines = NULL;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, luaL_checkstring(L, 1));
    curl_easy_setopt(easy, CURLOPT_CAINFO, luaL_checkstring(L, 2));
    for (int i = 3; i <= lua_gettop(L); i++)
        lines = curl_slist_append(lines, luaL_checkstring(L, i));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    lua_pushcfunction(L, get);
    return 1;
}

int luaopen_spec_libcurl(lua_State *L);
int luaopen_spec_libcurl(lua_State *L) {
    lua_pushcfunction(L, open);
    return 1;
}

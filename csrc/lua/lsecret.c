/* Secrets for Lua: made from a string, joined into forms, compared, wiped; read for a ready-made token alone.
 * SPDX-License-Identifier: MIT */
#include "base/file.h"
#include "base/form.h"
#include "base/redact.h"
#include "base/utf8.h"
#include "cache/seal.h"
#include "fetch/secret_source.h"
#include "lua/lauth.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct auth_secret *check_secret(lua_State *L, int index) {
    return luaL_checkudata(L, index, AUTH_SECRET_TYPE);
}

static int wipe(lua_State *L) {
    auth_secret_wipe(check_secret(L, 1));
    return 0;
}

static int to_string(lua_State *L) {
    lua_pushliteral(L, "secret (hidden)");
    return 1;
}

static int length(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check_secret(L, 1)->length);
    return 1;
}

/* secret:can_seal() -> whether records are sealed with it: see cache/seal.h */
static int can_seal(lua_State *L) {
    lua_pushboolean(L, check_secret(L, 1)->length >= AUTH_SEAL_SECRET_MIN);
    return 1;
}

/* secret:reveal() -> its bytes as a string, which nothing wipes: for an access token alone */
static int reveal(lua_State *L) {
    const struct auth_secret *secret = check_secret(L, 1);
    lua_pushlstring(L, secret->length > 0 ? (const char *)secret->data : "", secret->length);
    return 1;
}

static int equal(lua_State *L) {
    lua_pushboolean(L, auth_secret_equal(check_secret(L, 1), check_secret(L, 2)));
    return 1;
}

static int from_string(lua_State *L) {
    size_t size = 0;
    const char *bytes = luaL_checklstring(L, 1, &size);
    struct auth_secret *secret = auth_lua_new_secret(L);
    if (size > AUTH_SECRET_MAX)
        return auth_lua_fail(L, "too long for a secret");
    return auth_secret_append(secret, bytes, size) ? 1 : auth_lua_no_memory(L);
}

/* secret_problem(secret) -> why it cannot be used, to follow the name of its option | nil */
static int secret_problem(lua_State *L) {
    char problem[AUTH_SECRET_PROBLEM_MAX];
    if (auth_secret_source_check(check_secret(L, 1), problem))
        return 0;
    lua_pushstring(L, problem);
    return 1;
}

/* read_secret({ kind = "file" | "command", value = path or command line }, seconds) -> secret | nil, the
 * problem, to follow the name of its option. Blocks for that time at most. */
static int read_secret(lua_State *L) {
    char problem[AUTH_SECRET_PROBLEM_MAX];
    const char *kind = auth_lua_text_field(L, 1, "kind");
    const char *text = auth_lua_text_field(L, 1, "value");
    bool is_file = kind != NULL && strcmp(kind, "file") == 0;
    bool is_command = kind != NULL && strcmp(kind, "command") == 0;
    luaL_argcheck(L, (is_file || is_command) && text != NULL, 1, "a file or a command expected");
    struct auth_deadline deadline = {.clock = &auth_clock_real,
                                     .at_ns = auth_clock_boot_ns(&auth_clock_real) + auth_lua_check_ns(L, 2)};
    struct auth_secret *secret = auth_lua_new_secret(L);
    struct auth_secret_source source = {.kind = is_file ? AUTH_SECRET_FILE : AUTH_SECRET_COMMAND,
                                        .text = (char *)text};
    bool complete = auth_secret_source_read_environment(&source);
    bool read = complete && auth_secret_source_read(&source, &deadline, secret, problem);
    source.text = NULL; /* it is Lua's */
    auth_secret_source_wipe(&source);
    if (!complete)
        return auth_lua_no_memory(L);
    return read ? 1 : auth_lua_fail(L, problem);
}

/* read_file(path [, hidden]) -> text, why it must not contain a secret, or nil | nil, the problem, and its
 * kind if it is "absent", "foreign" (another user's) or "closed" (no permission to read). With `hidden` the
 * text is nil, too. */
static int read_file(lua_State *L) {
    char problem[PATH_MAX + AUTH_SECRET_PROBLEM_MAX];
    struct auth_file_access access = {0};
    const char *path = luaL_checkstring(L, 1);
    bool hidden = lua_toboolean(L, 2) != 0;
    struct auth_secret *content = auth_lua_new_secret(L);
    int error = auth_file_read(path, getenv("CREDENTIALS_DIRECTORY"), content, &access);
    auth_file_explain(error, &access, path, problem, sizeof problem);
    bool is_foreign = access.verdict == AUTH_FILE_LINK || access.verdict == AUTH_FILE_OWNER;
    bool is_good = error == 0 && !is_foreign && access.verdict != AUTH_FILE_WRITABLE;
    if (is_good && !hidden)
        lua_pushlstring(L, content->data != NULL ? (const char *)content->data : "", content->length);
    else
        lua_pushnil(L);
    auth_secret_wipe(content);
    lua_pushstring(L, problem[0] != '\0' ? problem : NULL); /* nil for NULL */
    lua_pushstring(L, is_good                               ? NULL
                      : error == ENOENT || error == ENOTDIR ? "absent"
                      : error == EACCES                     ? "closed"
                      : error == 0 && is_foreign            ? "foreign"
                                                            : NULL);
    return 3;
}

/* replace_file(path [, text [, own_folder]]) -> true | nil, the problem, whether its folder is missing; the
 * path is absolute. Without text it only checks whether it could. `own_folder`: that of the profiles, which
 * is created. */
static int replace_file(lua_State *L) {
    size_t size = 0;
    const char *path = auth_lua_check_text(L, 1);
    const char *text = luaL_optlstring(L, 2, NULL, &size);
    bool own_folder = lua_toboolean(L, 3) != 0;
    struct auth_secret *bytes = auth_lua_new_secret(L);
    if (text != NULL && !auth_secret_append(bytes, text, size))
        return auth_lua_no_memory(L);
    int error = auth_file_write(path, text != NULL ? bytes : NULL, own_folder);
    auth_secret_wipe(bytes);
    if (error == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    auth_lua_fail(L, auth_file_problem(error));
    lua_pushboolean(L, error == ENOENT);
    return 3;
}

/* list_folder(path) -> the names in it, each with a slash behind it | nil, the problem */
static int list_folder(lua_State *L) {
    const char *path = auth_lua_check_text(L, 1);
    struct auth_secret *names = auth_lua_new_secret(L);
    int error = auth_file_names(path, names);
    if (error != 0)
        return auth_lua_fail(L, strerror(error));
    lua_pushlstring(L, names->length > 0 ? (const char *)names->data : "", names->length);
    return 1;
}

/* form{ name, value, name, value … } -> secret; each a string or a secret */
static int form(lua_State *L) {
    auth_lua_append_form(L, 1, auth_lua_new_secret(L));
    return 1;
}

/* basic(id, secret, encoded) -> secret: the header line */
static int basic(lua_State *L) {
    size_t id_length = 0;
    size_t secret_length = 0;
    const void *id = auth_lua_check_bytes(L, 1, &id_length);
    const void *secret = auth_lua_check_bytes(L, 2, &secret_length);
    bool encoded = lua_toboolean(L, 3) != 0;
    struct auth_secret *out = auth_lua_new_secret(L);
    if (!auth_form_basic(out, id, id_length, secret, secret_length, encoded))
        return auth_lua_no_memory(L);
    return 1;
}

/* The part of a needle that a server could send back: of a Basic header line the credentials. */
static const char *needle_at(lua_State *L, int index, size_t *size) {
    static const char prefix[] = AUTH_FORM_BASIC_PREFIX;
    const char *needle = auth_lua_check_bytes(L, index, size);
    if (*size < sizeof prefix || memcmp(needle, prefix, sizeof prefix - 1) != 0)
        return needle;
    *size -= sizeof prefix - 1;
    return needle + sizeof prefix - 1;
}

/* redact(text, needle…) -> text, of AUTH_REDACT_TEXT_MAX bytes at most; a needle is a string, a secret or nil
 */
static int redact(lua_State *L) {
    size_t size = 0;
    const char *text = luaL_checklstring(L, 1, &size);
    int last = lua_gettop(L);
    bool cut = size > AUTH_REDACT_TEXT_MAX;
    if (cut)
        size = AUTH_REDACT_TEXT_MAX;
    struct auth_secret *out = auth_lua_new_secret(L);
    if (!auth_secret_append(out, text, size))
        return auth_lua_no_memory(L);
    for (int i = 2; i <= last; i++) {
        if (lua_isnil(L, i))
            continue;
        size_t needle_length = 0;
        const char *needle = needle_at(L, i, &needle_length);
        if (!auth_redact(out, needle, needle_length, cut))
            return auth_lua_no_memory(L);
    }
    lua_pushlstring(L, (const char *)out->data, out->length);
    auth_secret_wipe(out);
    return 1;
}

/* random() -> a number from 0 to below 1, from the system's generator: the sequence of math.random is the
 * host's */
static int random_number(lua_State *L) {
    lua_pushnumber(L, (double)(auth_secret_random() >> 11) * 0x1p-53); /* as many bits as a double holds */
    return 1;
}

/* base64url_decode(text) -> bytes | nil, message */
static int base64url_decode(lua_State *L) {
    size_t size = 0;
    const char *text = luaL_checklstring(L, 1, &size);
    struct auth_secret *out = auth_lua_new_secret(L);
    if (size <= AUTH_SECRET_MAX && !auth_secret_reserve(out, size))
        return auth_lua_no_memory(L);
    if (!auth_secret_from_base64url(out, text, size))
        return auth_lua_fail(L, "not Base64url");
    lua_pushlstring(L, (const char *)out->data, out->length);
    auth_secret_wipe(out);
    return 1;
}

/* is_utf8(text) -> whether it is valid UTF-8 without a NUL; utf8.len takes a quarter of the time that
 * decoding JSON takes */
static int is_utf8(lua_State *L) {
    size_t size = 0;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_pushboolean(L, strlen(text) == size && auth_utf8_is_valid(text, size));
    return 1;
}

/* is_visible(text) -> whether it is not empty and all visible ASCII; a pattern takes ten times as long */
static int is_visible(lua_State *L) {
    size_t size = 0;
    const char *text = luaL_checklstring(L, 1, &size);
    size_t i = 0;
    while (i < size && text[i] > ' ' && text[i] <= '~')
        i++;
    lua_pushboolean(L, size > 0 && i == size);
    return 1;
}

void auth_lua_open_secret(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"length", length}, {"can_seal", can_seal}, {"reveal", reveal}, {"equal", equal},
        {"wipe", wipe},     {"__gc", wipe},         {"__close", wipe},  {"__tostring", to_string},
        {NULL, NULL}};
    static const luaL_Reg functions[] = {{"secret", from_string},
                                         {"secret_problem", secret_problem},
                                         {"read_secret", read_secret},
                                         {"read_file", read_file},
                                         {"replace_file", replace_file},
                                         {"list_folder", list_folder},
                                         {"form", form},
                                         {"basic", basic},
                                         {"redact", redact},
                                         {"random", random_number},
                                         {"base64url_decode", base64url_decode},
                                         {"is_utf8", is_utf8},
                                         {"is_visible", is_visible},
                                         {NULL, NULL}};
    auth_lua_type(L, AUTH_SECRET_TYPE, methods);
    luaL_setfuncs(L, functions, 0);
}

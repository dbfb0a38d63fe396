/* Opens central.auth.http: Lua's view of an exchange. Loaded only when a request really goes to the network.
 * SPDX-License-Identifier: MIT */
#include "exchange.h"
#include "lauth.h"

#define EXCHANGE_TYPE "central.auth.exchange"

/* While a request is under way these keep what it borrows from being collected. */
enum { CLOCK_SLOT = 1, BODY_SLOT, AUTHORIZATION_SLOT, SLOTS = AUTHORIZATION_SLOT };

struct handle {
    struct auth_exchange *exchange; /* NULL: closed */
    const struct auth_clock *clock;
};

static struct handle *check_open(lua_State *L) {
    struct handle *handle = luaL_checkudata(L, 1, EXCHANGE_TYPE);
    if (handle->exchange == NULL)
        luaL_error(L, "the exchange is closed");
    return handle;
}

static int handle_close(lua_State *L) {
    struct handle *handle = luaL_checkudata(L, 1, EXCHANGE_TYPE);
    struct auth_exchange *exchange = handle->exchange;
    handle->exchange = NULL;
    auth_exchange_free(exchange);
    return 0;
}

/* exchange(clock) -> closed on collection */
static int new_exchange(lua_State *L) {
    const struct auth_clock *clock = luaL_checkudata(L, 1, AUTH_CLOCK_TYPE);
    struct handle *handle = lua_newuserdatauv(L, sizeof *handle, SLOTS);
    *handle = (struct handle){.clock = clock};
    luaL_setmetatable(L, EXCHANGE_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CLOCK_SLOT);
    handle->exchange = auth_exchange_new();
    if (handle->exchange == NULL)
        return auth_lua_no_memory(L);
    return 1;
}

/* The string stays valid: it is in the request's table, which is on the stack. */
static const char *text_field(lua_State *L, const char *name) {
    int type = lua_getfield(L, 2, name);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(L, "%s: a string expected", name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static const struct auth_secret *secret_field(lua_State *L, const char *name, int slot) {
    int type = lua_getfield(L, 2, name);
    const struct auth_secret *secret = type == LUA_TNIL ? NULL : luaL_checkudata(L, -1, AUTH_SECRET_TYPE);
    lua_setiuservalue(L, 1, slot);
    return secret;
}

static long ms_field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    int64_t ms = auth_lua_check_ns(L, -1) / 1000000;
    lua_pop(L, 1);
    return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (long)ms; /* 0 would mean "no limit" */
}

/* exchange:start(request): fields as in struct auth_exchange_request, `timeout` and `connect_timeout` in
 * seconds */
static int handle_start(lua_State *L) {
    struct handle *handle = check_open(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    auth_exchange_cancel(handle->exchange); /* before what it borrowed is let go */
    struct auth_exchange_request request = {.url = text_field(L, "url"),
                                            .user_agent = text_field(L, "user_agent"),
                                            .ca_file = text_field(L, "ca_file"),
                                            .ca_path = text_field(L, "ca_path"),
                                            .crl_file = text_field(L, "crl_file"),
                                            .cert_file = text_field(L, "cert_file"),
                                            .key_file = text_field(L, "key_file"),
                                            .proxy = text_field(L, "proxy"),
                                            .body = secret_field(L, "body", BODY_SLOT),
                                            .authorization =
                                                secret_field(L, "authorization", AUTHORIZATION_SLOT),
                                            .timeout_ms = ms_field(L, "timeout"),
                                            .connect_timeout_ms = ms_field(L, "connect_timeout")};
    if (request.url == NULL || request.body == NULL || request.body->data == NULL)
        return luaL_error(L, "a request needs url and body");
    lua_pushboolean(L, auth_exchange_start(handle->exchange, &request, handle->clock));
    return 1;
}

/* exchange:step(seconds) -> done */
static int handle_step(lua_State *L) {
    struct handle *handle = check_open(L);
    int64_t wait_ms = auth_lua_check_ns(L, 2) / 1000000;
    int limited = wait_ms < 0 ? 0 : wait_ms > 60000 ? 60000 : (int)wait_ms;
    lua_pushboolean(L, auth_exchange_step(handle->exchange, limited));
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *text) {
    if (text[0] != '\0') {
        lua_pushstring(L, text);
        lua_setfield(L, -2, name);
    }
}

/* exchange:finish() -> raw reply | nil, message, code, proxy's status */
static int handle_finish(lua_State *L) {
    struct handle *handle = check_open(L);
    const struct auth_exchange_reply *reply = auth_exchange_finish(handle->exchange, handle->clock);
    if (reply->failure == AUTH_EXCHANGE_MEMORY)
        return auth_lua_no_memory(L);
    if (reply->failure != AUTH_EXCHANGE_OK) {
        lua_pushnil(L);
        lua_pushstring(L, reply->message);
        lua_pushstring(L, auth_exchange_failure_name(reply->failure));
        lua_pushinteger(L, reply->proxy_status);
        auth_exchange_cancel(handle->exchange);
        return 4;
    }
    lua_createtable(L, 0, 10);
    auth_lua_set_integer(L, "status", reply->status);
    auth_lua_set_seconds(L, "sent_boot", reply->sent.boot_ns);
    auth_lua_set_seconds(L, "sent_wall", reply->sent.wall_ns);
    auth_lua_set_seconds(L, "received_wall", reply->received.wall_ns);
    if (reply->date_s >= 0)
        auth_lua_set_integer(L, "date", reply->date_s);
    if (reply->retry_after_s >= 0)
        auth_lua_set_integer(L, "retry_after", reply->retry_after_s);
    set_text(L, "content_type", reply->content_type);
    set_text(L, "location_host", reply->location_host);
    lua_pushlstring(L, reply->body.data != NULL ? (const char *)reply->body.data : "", reply->body.length);
    lua_setfield(L, -2, "body");
    auth_exchange_cancel(handle->exchange);
    return 1;
}

static int handle_cancel(lua_State *L) {
    const struct handle *handle = luaL_checkudata(L, 1, EXCHANGE_TYPE);
    if (handle->exchange != NULL)
        auth_exchange_cancel(handle->exchange);
    return 0;
}

int luaopen_central_auth_http(lua_State *L) {
    static const luaL_Reg methods[] = {{"start", handle_start},   {"step", handle_step},
                                       {"finish", handle_finish}, {"cancel", handle_cancel},
                                       {"close", handle_close},   {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", handle_close}, {"__close", handle_close}, {NULL, NULL}};
    luaL_checkversion(L);
    if (!auth_exchange_init())
        return luaL_error(L, "central.auth.http: libcurl can't start");
    auth_lua_type(L, EXCHANGE_TYPE, methods, meta);
    lua_newtable(L);
    lua_pushcfunction(L, new_exchange);
    lua_setfield(L, -2, "exchange");
    lua_pushstring(L, auth_exchange_version());
    lua_setfield(L, -2, "version");
    return 1;
}

/* Opens central.auth.http: Lua's view of a job. Loaded only when a request really goes to the network.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"
#include "worker/job.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define JOB_TYPE "central.auth.job"

/* What a handle borrows must not be collected before it. */
enum { CLOCK_SLOT = 1, SLOTS = CLOCK_SLOT };

enum { HEADER_LINES_MAX = 64 };

struct handle {
    struct auth_job *job;        /* NULL: nothing was started since it was made or closed */
    struct auth_job_order order; /* on its way into the job */
    const struct auth_clock *clock;
    const char *headers[HEADER_LINES_MAX + 1]; /* those of the request's table, while it starts */
    bool shares;
    bool tells_headers;
};

static struct handle *check_handle(lua_State *L) {
    return luaL_checkudata(L, 1, JOB_TYPE);
}

static int handle_close(lua_State *L) {
    struct handle *handle = check_handle(L);
    struct auth_job *job = handle->job;
    handle->job = NULL;
    auth_job_free(job);
    auth_secret_wipe(&handle->order.body);
    auth_secret_wipe(&handle->order.authorization);
    auth_share_end(&handle->order.share);
    auth_share_free(&handle->order.share);
    return 0;
}

/* job(clock) -> closed on collection */
static int new_job(lua_State *L) {
    const struct auth_clock *clock = luaL_checkudata(L, 1, AUTH_CLOCK_TYPE);
    struct handle *handle = lua_newuserdatauv(L, sizeof *handle, SLOTS);
    *handle = (struct handle){.clock = clock};
    luaL_setmetatable(L, JOB_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CLOCK_SLOT);
    return 1;
}

/* The secret itself, as what it holds is moved on; NULL where there is none. */
static struct auth_secret *secret_field(lua_State *L, const char *name) {
    int type = lua_getfield(L, 2, name);
    struct auth_secret *secret = type == LUA_TNIL ? NULL : luaL_checkudata(L, -1, AUTH_SECRET_TYPE);
    lua_pop(L, 1);
    return secret;
}

static long ms_field(lua_State *L, const char *name) {
    int64_t ms = auth_lua_ns_field(L, 2, name) / 1000000;
    return ms < 1 ? 1 : ms > INT_MAX ? INT_MAX : (long)ms; /* 0 would mean "no limit" */
}

/* NULL where the request names none. The strings stay in its table. */
static const char *const *check_headers(lua_State *L, struct handle *handle) {
    lua_Integer count = 0;
    bool given = lua_getfield(L, 2, "headers") != LUA_TNIL;
    if (given) {
        luaL_checktype(L, -1, LUA_TTABLE);
        count = (lua_Integer)lua_rawlen(L, -1);
        if (count > HEADER_LINES_MAX)
            luaL_error(L, "more than %d header lines", HEADER_LINES_MAX);
    }
    for (lua_Integer i = 0; i < count; i++)
        handle->headers[i] = auth_lua_text_item(L, -1, i + 1);
    handle->headers[count] = NULL;
    lua_pop(L, 1);
    return given ? handle->headers : NULL;
}

static size_t check_body_max(lua_State *L) {
    int64_t bytes = auth_lua_integer_field(L, 2, "body_max", 0);
    return bytes < 0 || bytes > (int64_t)AUTH_TRANSFER_BODY_LIMIT ? AUTH_TRANSFER_BODY_LIMIT : (size_t)bytes;
}

static bool flag_field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    bool flag = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    return flag;
}

static struct auth_transfer_request check_request(lua_State *L, struct handle *handle) {
    luaL_checktype(L, 2, LUA_TTABLE);
    return (struct auth_transfer_request){.url = auth_lua_text_field(L, 2, "url"),
                                          .method = auth_lua_text_field(L, 2, "method"),
                                          .headers = check_headers(L, handle),
                                          .body_max = check_body_max(L),
                                          .http2 = flag_field(L, "http2"),
                                          .once = flag_field(L, "once"),
                                          .user_agent = auth_lua_text_field(L, 2, "user_agent"),
                                          .ca_file = auth_lua_text_field(L, 2, "ca_file"),
                                          .ca_path = auth_lua_text_field(L, 2, "ca_path"),
                                          .crl_file = auth_lua_text_field(L, 2, "crl_file"),
                                          .cert_file = auth_lua_text_field(L, 2, "cert_file"),
                                          .key_file = auth_lua_text_field(L, 2, "key_file"),
                                          .proxy = auth_lua_text_field(L, 2, "proxy"),
                                          .timeout_ms = ms_field(L, "timeout"),
                                          .connect_timeout_ms = ms_field(L, "connect_timeout")};
}

static void move(struct auth_secret *to, struct auth_secret *from) {
    auth_secret_wipe(to);
    if (from != NULL) {
        *to = *from;
        *from = (struct auth_secret){0};
    }
}

/* nil, why: the process has no descriptor left, which passes. Else it is memory that is short. */
static int fail_to_start(lua_State *L) {
    if (errno != EMFILE && errno != ENFILE)
        return auth_lua_no_memory(L);
    return auth_lua_fail(L, "no descriptor is left for a connection");
}

/* The job of this process, idle. false: errno says why there is none. */
static bool prepare(lua_State *L, struct handle *handle) {
    if (handle->job != NULL && !auth_job_is_ours(handle->job)) {
        auth_job_free(handle->job);
        handle->job = NULL;
    }
    if (handle->job != NULL && !auth_job_wait(handle->job, 0))
        luaL_error(L, "a request is under way");
    if (handle->job == NULL)
        handle->job = auth_job_new();
    return handle->job != NULL;
}

/* Fills the order's share, with branches of the stores and copies of the rest. false as above. */
static bool take_share(struct handle *handle, const struct auth_share *share, const char *held) {
    struct auth_share *own = &handle->order.share;
    auth_share_end(own); /* of a start that failed half-way */
    auth_share_free(own);
    *own = (struct auth_share){0};
    if (!auth_share_branch(own, share) ||
        (held != NULL && !auth_secret_append(&own->held, held, strlen(held))))
        return false;
    handle->shares = own->name[0] != '\0';
    return true;
}

/* The lock of a store: the one at 4, or in the table { near, far } there. NULL: none. */
static struct auth_lock *lock_of(lua_State *L, const struct auth_store *store, const char *name) {
    int type = lua_type(L, 4);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE || type == LUA_TUSERDATA, 4, "locks");
    if (type == LUA_TNIL || store == NULL)
        return NULL;
    if (type == LUA_TTABLE)
        type = lua_getfield(L, 4, name);
    else
        lua_pushvalue(L, 4);
    struct auth_lua_lock *lock = type == LUA_TNIL ? NULL : luaL_checkudata(L, -1, AUTH_LOCK_TYPE);
    lua_pop(L, 1);
    return lock != NULL && lock->from->store == store ? &lock->lock : NULL;
}

static void move_lock(struct auth_lock *to, struct auth_lock *from) {
    if (from != NULL) {
        *to = *from;
        *from = (struct auth_lock){0};
    }
}

/* job:start(request [, share [, lock [, alarm]]]) -> true | nil, why: request as struct
 * auth_transfer_request, `timeout` and `connect_timeout` in seconds, `headers` a list of lines, its secrets
 * moved out of their userdata, and the locks likewise; share as for cache_share, and `held`, the token its
 * owner has. With an alarm it runs on its own thread. */
static int handle_start(lua_State *L) {
    struct handle *handle = check_handle(L);
    struct auth_job_order *order = &handle->order;
    lua_settop(L, 5);
    struct auth_transfer_request request = check_request(L, handle);
    struct auth_secret *body = secret_field(L, "body");
    struct auth_secret *authorization = secret_field(L, "authorization");
    struct auth_lua_alarm *alarm = lua_isnil(L, 5) ? NULL : luaL_checkudata(L, 5, AUTH_ALARM_TYPE);
    struct auth_share share = {0};
    const char *held = NULL;
    if (!lua_isnil(L, 3)) {
        auth_lua_check_share(L, 3, &share);
        held = auth_lua_text_field(L, 3, "held");
    }
    if (request.url == NULL)
        return luaL_error(L, "a request needs a url");
    struct auth_lock *near = lock_of(L, share.stores[AUTH_SHARE_NEAR], "near");
    struct auth_lock *far = lock_of(L, share.stores[AUTH_SHARE_FAR], "far");
    errno = 0;
    if (!prepare(L, handle) || !take_share(handle, &share, held))
        return fail_to_start(L);
    order->request = request;
    move(&order->body, body);
    move(&order->authorization, authorization);
    handle->tells_headers = request.headers != NULL;
    move_lock(&order->share.locks[AUTH_SHARE_NEAR], near);
    move_lock(&order->share.locks[AUTH_SHARE_FAR], far);
    auth_job_start(handle->job, order, handle->clock, alarm != NULL ? &alarm->alarm : NULL);
    lua_pushboolean(L, 1);
    return 1;
}

/* A forked child has no thread to wait for, and must not touch what the parent's may be writing to. */
static bool is_foreign(const struct handle *handle) {
    return handle->job != NULL && !auth_job_is_ours(handle->job);
}

/* job:wait(seconds) -> done; at once in a forked child */
static int handle_wait(lua_State *L) {
    const struct handle *handle = check_handle(L);
    int64_t limit_ns = auth_lua_check_ns(L, 2);
    lua_pushboolean(L, handle->job == NULL || is_foreign(handle) || auth_job_wait(handle->job, limit_ns));
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *text) {
    if (text != NULL && text[0] != '\0') {
        lua_pushstring(L, text);
        lua_setfield(L, -2, name);
    }
}

static int push_failure(lua_State *L, const struct auth_transfer_reply *reply) {
    if (reply->failure == AUTH_TRANSFER_MEMORY)
        return auth_lua_no_memory(L);
    lua_pushnil(L);
    lua_pushstring(L, reply->message);
    lua_pushstring(L, auth_transfer_failure_name(reply->failure));
    lua_pushinteger(L, reply->proxy_status);
    lua_pushstring(L, auth_transfer_reached_name(reply->reached)); /* nil for NULL */
    return 5;
}

/* raw.headers = { name, value, name, value … }, as they came. */
static void set_headers(lua_State *L, const struct auth_job *job) {
    void *place = NULL;
    const char *name = NULL;
    const char *value = NULL;
    lua_Integer count = 0;
    lua_newtable(L);
    while (auth_job_next_header(job, &place, &name, &value)) {
        lua_pushstring(L, name);
        lua_seti(L, -2, ++count);
        lua_pushstring(L, value);
        lua_seti(L, -2, ++count);
    }
    lua_setfield(L, -2, "headers");
}

/* job:finish() -> raw reply; with `headers` where the request brought its own, with `shared` where that was
 * asked for and clear, `near_problem` and `far_problem` where it could not be | nil, message, code, proxy's
 * status, what was reached */
static int handle_finish(lua_State *L) {
    const struct handle *handle = check_handle(L);
    const char *problems[AUTH_SHARE_STORES] = {NULL};
    static const struct auth_transfer_reply forked = {.failure = AUTH_TRANSFER_NETWORK,
                                                      .message = "the process was forked meanwhile"};
    const struct auth_transfer_reply *reply = NULL;
    if (is_foreign(handle))
        return push_failure(L, &forked);
    if (handle->job != NULL && auth_job_wait(handle->job, 0))
        reply = auth_job_finish(handle->job, problems);
    if (reply == NULL)
        return luaL_error(L, "nothing has come yet");
    if (reply->failure != AUTH_TRANSFER_OK)
        return push_failure(L, reply);
    lua_createtable(L, 0, 12);
    auth_lua_set_integer(L, "status", reply->status);
    auth_lua_set_seconds(L, "sent_boot", reply->sent.boot_ns);
    auth_lua_set_seconds(L, "sent_wall", reply->sent.wall_ns);
    auth_lua_set_seconds(L, "received_boot", reply->received.boot_ns);
    auth_lua_set_seconds(L, "received_wall", reply->received.wall_ns);
    if (reply->date_s >= 0)
        auth_lua_set_integer(L, "date", reply->date_s);
    if (reply->retry_after_s >= 0)
        auth_lua_set_integer(L, "retry_after", reply->retry_after_s);
    set_text(L, "content_type", reply->content_type);
    set_text(L, "content_encoding", reply->content_encoding);
    set_text(L, "challenge", reply->challenge);
    set_text(L, "location_host", reply->location_host);
    set_text(L, "near_problem", problems[AUTH_SHARE_NEAR]);
    set_text(L, "far_problem", problems[AUTH_SHARE_FAR]);
    if (handle->tells_headers)
        set_headers(L, handle->job);
    lua_pushboolean(L, reply->sent_twice);
    lua_setfield(L, -2, "sent_twice");
    lua_pushboolean(L, handle->shares && auth_job_has_shared(handle->job));
    lua_setfield(L, -2, "shared");
    lua_pushlstring(L, reply->body.data != NULL ? (const char *)reply->body.data : "", reply->body.length);
    lua_setfield(L, -2, "body");
    return 1;
}

int luaopen_central_auth_http(lua_State *L) {
    static const luaL_Reg methods[] = {{"start", handle_start},
                                       {"wait", handle_wait},
                                       {"finish", handle_finish},
                                       {"close", handle_close},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", handle_close}, {"__close", handle_close}, {NULL, NULL}};
    luaL_checkversion(L);
    if (!auth_job_init())
        return luaL_error(L, "central.auth.http: libcurl can't start");
    auth_lua_type(L, JOB_TYPE, methods, meta);
    lua_newtable(L);
    lua_pushcfunction(L, new_job);
    lua_setfield(L, -2, "job");
    lua_pushstring(L, auth_transfer_version());
    lua_setfield(L, -2, "version");
    return 1;
}

/* Opens central.auth.http: Lua's view of a session, a libcurl handle that fetches tokens and makes API calls.
 * Loaded only when something really goes to the network, or to other machines. SPDX-License-Identifier: MIT
 */
#include "cache/folder_store.h"
#include "fetch/session.h"
#include "lua/lauth.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define TRANSFER_TYPE "central.auth.transfer"

/* What a handle borrows must not be collected before it. */
enum { CLOCK_SLOT = 1, BUDGET_SLOT, CONNECTION_SLOT, REQUEST_SLOT, SLOTS = REQUEST_SLOT };

struct handle {
    struct auth_session session;
    const struct auth_clock *clock;
    struct auth_budget *budget; /* gets that of the fetch when it has ended; NULL: it did, or none */
    bool has_connection;
    struct auth_request connection; /* what all requests have in common; the strings are its table's */
    struct auth_request request;    /* of the last call, if its table is in the slot; likewise */
    bool is_brief;                  /* its reply comes without times */
};

static struct handle *check_handle(lua_State *L) {
    return luaL_checkudata(L, 1, TRANSFER_TYPE);
}

/* --- the start of either --- */

static long limit_ms(int64_t limit_ns) {
    int64_t ms = limit_ns / AUTH_NS_PER_MS;
    return ms < 1 ? 1 : ms > INT_MAX ? INT_MAX : (long)ms; /* 0 would mean "no limit" */
}

/* How a server is reached. */
static struct auth_request check_connection(lua_State *L, int index) {
    return (struct auth_request){.trace = auth_lua_flag_field(L, index, "trace"),
                                 .user_agent = auth_lua_text_field(L, index, "user_agent"),
                                 .ca_file = auth_lua_text_field(L, index, "ca_file"),
                                 .ca_path = auth_lua_text_field(L, index, "ca_path"),
                                 .crl_file = auth_lua_text_field(L, index, "crl_file"),
                                 .cert_file = auth_lua_text_field(L, index, "cert_file"),
                                 .key_file = auth_lua_text_field(L, index, "key_file"),
                                 .proxy = auth_lua_text_field(L, index, "proxy"),
                                 .connect_timeout_ms =
                                     limit_ms(auth_lua_ns_field(L, index, "connect_timeout"))};
}

/* transfer(clock [, connection]) -> closed; closed again on collection. `connection`: how each of its
 * requests reaches the server, else each says so; a table that must not be changed any more. */
static int new_transfer(lua_State *L) {
    const struct auth_clock *clock = luaL_checkudata(L, 1, AUTH_CLOCK_TYPE);
    lua_settop(L, 2);
    bool has_connection = !lua_isnil(L, 2);
    struct auth_request connection = has_connection ? check_connection(L, 2) : (struct auth_request){0};
    struct handle *handle = auth_lua_new(L, TRANSFER_TYPE, sizeof *handle, SLOTS);
    handle->clock = clock;
    handle->has_connection = has_connection;
    handle->connection = connection;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CLOCK_SLOT);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, CONNECTION_SLOT);
    return 1;
}

/* NULL where none is given. */
static const struct auth_notifier *check_notifier(lua_State *L, int index) {
    if (lua_isnoneornil(L, index))
        return NULL;
    const struct auth_lua_notifier *handle = luaL_checkudata(L, index, AUTH_NOTIFIER_TYPE);
    bool is_open = handle->notifier.fd >= 0 && handle->owner == getpid(); /* at a fork it is closed */
    luaL_argcheck(L, is_open, index, "the notifier is closed");
    return &handle->notifier;
}

/* The seconds of one wait. */
static int64_t check_wait(lua_State *L, int index) {
    int64_t limit_ns = auth_lua_check_ns(L, index);
    return limit_ns < AUTH_LUA_WAIT_NS ? limit_ns : AUTH_LUA_WAIT_NS;
}

/* Tells Lua what the fetch has spent, once. */
static void return_budget(struct handle *handle) {
    const struct auth_fetch_result *result = auth_session_result(&handle->session);
    if (result != NULL && handle->budget != NULL)
        *handle->budget = result->budget;
    handle->budget = NULL;
}

/* A session of this process with nothing in it. false: errno says why there is none. */
static bool prepare(lua_State *L, struct handle *handle) {
    struct auth_session *session = &handle->session;
    if (auth_session_is_under_way(session) && !auth_session_wait(session, 0))
        luaL_error(L, "a request is under way");
    return_budget(handle);
    auth_session_discard(session);
    errno = 0;
    return auth_session_open(session);
}

/* nil, why: the process has no descriptor left, which passes. Else it is memory that is short. */
static int fail_to_start(lua_State *L) {
    if (errno != EMFILE && errno != ENFILE)
        return auth_lua_no_memory(L);
    return auth_lua_fail(L, "no descriptor is left for a connection");
}

static void move(struct auth_secret *to, struct auth_secret *from) {
    if (from != NULL) {
        *to = *from;
        *from = (struct auth_secret){0};
    }
}

/* What is sent, but for secrets and the body. */
static struct auth_request check_request(lua_State *L, const struct handle *handle) {
    luaL_checktype(L, 2, LUA_TTABLE);
    struct auth_request request = handle->has_connection ? handle->connection : check_connection(L, 2);
    request.url = auth_lua_text_field(L, 2, "url");
    request.method = auth_lua_text_field(L, 2, "method");
    request.headers = auth_lua_text_field(L, 2, "headers");
    request.body_max = (size_t)auth_lua_integer_field(L, 2, "body_max", 0);
    int64_t timeout_ns = auth_lua_ns_field(L, 2, "timeout");
    request.timeout_ms = timeout_ns > 0 ? limit_ms(timeout_ns) : INT_MAX;
    return request;
}

/* --- calls --- */

/* Bytes of a field, which stay in its table. */
struct bytes {
    const void *data; /* NULL where the field is nil */
    size_t length;
    struct auth_secret *secret; /* that has them; NULL where they are a string */
};

static struct bytes bytes_field(lua_State *L, const char *name) {
    struct bytes bytes = {0};
    if (lua_getfield(L, 2, name) != LUA_TNIL)
        bytes.data = auth_lua_check_bytes(L, -1, &bytes.length);
    bytes.secret = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return bytes;
}

static struct bytes secret_field(lua_State *L, const char *name) {
    struct bytes bytes = bytes_field(L, name);
    if (bytes.data != NULL && bytes.secret == NULL)
        luaL_error(L, "%s: a secret expected", name);
    return bytes;
}

/* Copies them; a secret is wiped. */
static bool take(struct auth_secret *to, struct bytes bytes) {
    bool taken = bytes.data == NULL || auth_secret_append(to, bytes.data, bytes.length);
    if (taken && bytes.secret != NULL)
        auth_secret_wipe(bytes.secret);
    return taken;
}

/* Many calls send the same as the one before; its table is kept, unless it has a body or a secret. */
static struct auth_request check_call(lua_State *L, struct handle *handle, struct bytes *body,
                                      struct bytes *authorization) {
    bool is_known = lua_getiuservalue(L, 1, REQUEST_SLOT) != LUA_TNIL && lua_rawequal(L, 2, -1);
    lua_pop(L, 1);
    if (is_known)
        return handle->request;
    struct auth_request request = check_request(L, handle);
    *body = bytes_field(L, "body");
    *authorization = secret_field(L, "authorization");
    bool is_brief = auth_lua_flag_field(L, 2, "is_brief");
    if (body->data == NULL && authorization->data == NULL)
        lua_pushvalue(L, 2);
    else
        lua_pushnil(L);
    lua_setiuservalue(L, 1, REQUEST_SLOT);
    handle->request = request;
    handle->is_brief = is_brief;
    return request;
}

static int finish(lua_State *L, struct handle *handle); /* pushes what has ended: see handle_finish */

/* transfer:call(request [, notifier [, token [, deadline [, no_repeat [, seconds]]]]]) -> what came, or
 * nothing yet | nil, why: starts an API call, and with `seconds` waits for its end, as `finish` does. The
 * request as struct auth_request, `timeout` in seconds, `headers` lines of one text. `body` is a string or a
 * secret, `authorization` a secret; secrets are wiped. `is_brief`: its reply comes without times, unless it
 * has no date. The rest of the table must not be changed. A token stands for the header line with it. The
 * deadline is a time of the boot clock. With a notifier it runs on a worker, else in here and in `wait`. */
static int handle_call(lua_State *L) {
    static const char bearer[] = "Authorization: Bearer ";
    struct handle *handle = check_handle(L);
    struct bytes body = {0};
    struct bytes authorization = {0};
    struct bytes token = {0};
    struct auth_request request = check_call(L, handle, &body, &authorization);
    token.data = luaL_optlstring(L, 4, NULL, &token.length);
    struct bytes prefix = {.data = token.data != NULL ? bearer : NULL, .length = sizeof bearer - 1};
    const struct auth_notifier *notifier = check_notifier(L, 3);
    struct auth_session *session = &handle->session;
    luaL_argcheck(L, request.url != NULL, 2, "a request needs a url");
    if (!lua_isnoneornil(L, 5)) {
        long left_ms = limit_ms(auth_lua_check_ns(L, 5) - auth_clock_boot_ns(handle->clock));
        request.timeout_ms = left_ms < request.timeout_ms ? left_ms : request.timeout_ms;
    }
    request.no_repeat = lua_toboolean(L, 6) != 0;
    int64_t limit_ns = lua_isnoneornil(L, 7) ? -1 : check_wait(L, 7);
    if (!prepare(L, handle))
        return fail_to_start(L);
    struct auth_secret *content = auth_session_body(session);
    struct auth_secret *line = auth_session_authorization(session);
    if (!take(content, body) || !take(line, authorization) || !take(line, prefix) || !take(line, token))
        return auth_lua_no_memory(L);
    request.body = body.data != NULL ? content : NULL;
    request.authorization = line;
    auth_session_call(session, &request, handle->clock, notifier);
    return limit_ns >= 0 && auth_session_wait(session, limit_ns) ? finish(L, handle) : 0;
}

/* --- the order of a fetch: whatever is allocated for it is stored in it at once --- */

static char *copy_text(lua_State *L, int index, const char *name) {
    const char *text = auth_lua_text_field(L, index, name);
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        auth_lua_no_memory(L);
    return copy;
}

/* Of a string or a secret in a field; nothing where it is nil. */
static void copy_bytes(lua_State *L, int index, const char *name, struct auth_secret *to) {
    size_t length = 0;
    if (lua_getfield(L, index, name) != LUA_TNIL) {
        const void *bytes = auth_lua_check_bytes(L, -1, &length);
        if (!auth_secret_append(to, bytes, length))
            auth_lua_no_memory(L);
    }
    lua_pop(L, 1);
}

/* The position of the field's string in `names`. */
static int option_field(lua_State *L, int index, const char *name, const char *const *names) {
    lua_getfield(L, index, name);
    int which = luaL_checkoption(L, lua_gettop(L), NULL, names);
    lua_pop(L, 1);
    return which;
}

/* { kind = "value" | "file" | "command", value = secret or string } | nil */
static void copy_source(lua_State *L, const char *name, struct auth_secret_source *source) {
    static const char *const names[] = {"value", "file", "command", NULL};
    static const enum auth_secret_kind kinds[] = {AUTH_SECRET_VALUE, AUTH_SECRET_FILE, AUTH_SECRET_COMMAND};
    if (lua_getfield(L, 2, name) != LUA_TNIL) {
        int index = lua_gettop(L);
        luaL_checktype(L, index, LUA_TTABLE);
        enum auth_secret_kind kind = kinds[option_field(L, index, "kind", names)];
        if (kind == AUTH_SECRET_VALUE)
            copy_bytes(L, index, "value", &source->value);
        else
            source->text = copy_text(L, index, "value");
        if (kind != AUTH_SECRET_VALUE && source->text == NULL)
            luaL_error(L, "%s: a value expected", name);
        source->kind = kind;
        if (!auth_secret_source_read_environment(source)) /* on this thread: the host may change it */
            auth_lua_no_memory(L);
    }
    lua_pop(L, 1);
}

static void copy_ids(lua_State *L, const char *name, uint64_t ids[AUTH_FETCH_IDS_MAX]) {
    if (lua_getfield(L, 2, name) != LUA_TNIL)
        (void)auth_lua_check_ids(L, -1, ids, AUTH_FETCH_IDS_MAX);
    lua_pop(L, 1);
}

static void fill_secrets(lua_State *L, struct auth_fetch_order *order) {
    static const char *const styles[] = {"post", "basic", "basic_raw", NULL};
    order->client_id = copy_text(L, 2, "client_id");
    if (order->client_id != NULL)
        order->style = (enum auth_fetch_style)option_field(L, 2, "style", styles);
    copy_source(L, "secret", &order->secret);
    copy_source(L, "assertion", &order->assertion);
    copy_bytes(L, 2, "current", &order->current);
    copy_bytes(L, 2, "former", &order->former);
    if (lua_getfield(L, 2, "form") != LUA_TNIL)
        auth_lua_append_form(L, lua_gettop(L), &order->form);
    lua_pop(L, 1);
    order->reread = auth_lua_flag_field(L, 2, "reread");
}

static void fill_records(lua_State *L, struct auth_fetch_order *order) {
    const char *folder = auth_lua_text_field(L, 2, "folder");
    copy_bytes(L, 2, "identity", &order->identity);
    copy_source(L, "password", &order->remote_password);
    copy_ids(L, "seen", order->seen);
    copy_ids(L, "forget", order->forget);
    order->forget_all = auth_lua_flag_field(L, 2, "forget_all");
    order->good = (uint64_t)auth_lua_integer_field(L, 2, "good", 0);
    order->failures = (uint32_t)auth_lua_integer_field(L, 2, "failures", 0);
    if (folder != NULL && (order->local = auth_folder_store_new(folder)) == NULL)
        auth_lua_no_memory(L);
}

static void fill_order(lua_State *L, const struct handle *handle, struct auth_fetch_order *order) {
    order->clock = *handle->clock;
    fill_secrets(L, order);
    fill_records(L, order);
    order->tries = (unsigned)auth_lua_integer_field(L, 2, "tries", AUTH_FETCH_TRIES_MAX);
    order->waits = auth_lua_flag_field(L, 2, "waits");
    order->not_before_ns = auth_lua_ns_field(L, 2, "not_before");
    order->deadline_ns = auth_clock_boot_ns(&order->clock) + auth_lua_ns_field(L, 2, "timeout");
}

/* transfer:fetch(order [, notifier [, here]]) -> true, and true again if `wait` is to run it | nil, why:
 * starts a fetch, which runs in here for so many seconds, one at most, and then on a worker. The order as
 * struct auth_fetch_order: times in seconds, `timeout` from now; `form` a list as of core.form; `remote` is
 * moved out of its userdata, secrets are copied; `budget` gets what the fetch has spent when it has ended. A
 * copy of the notifier is signalled at the end. Where no thread can be started and the order says `waits`,
 * the next `wait` runs it.
 */
static int handle_fetch(lua_State *L) {
    struct handle *handle = check_handle(L);
    struct auth_request request = check_request(L, handle);
    lua_settop(L, 4);
    const struct auth_notifier *notifier = check_notifier(L, 3);
    int64_t here_ns = lua_isnil(L, 4) ? 0 : check_wait(L, 4);
    struct auth_lua_store *remote = auth_lua_userdata_field(L, 2, "remote", AUTH_STORE_TYPE);
    bool look_only = auth_lua_flag_field(L, 2, "look_only");
    luaL_argcheck(L, request.url != NULL || look_only, 2, "an order needs a url");
    struct auth_fetch_order *order = prepare(L, handle) ? auth_session_order(&handle->session) : NULL;
    if (order == NULL)
        return fail_to_start(L);
    fill_order(L, handle, order);
    order->look_only = look_only;
    lua_getfield(L, 2, "budget");
    struct auth_budget *budget = lua_isnil(L, -1) ? NULL : luaL_checkudata(L, -1, AUTH_BUDGET_TYPE);
    lua_setiuservalue(L, 1, BUDGET_SLOT);
    if (!look_only && !auth_request_complete(&request))
        return auth_lua_no_memory(L);
    if (!look_only)
        order->request = request; /* its strings are the order's now */
    if (budget != NULL)
        order->budget = *budget;
    if (remote != NULL) {
        order->remote = remote->store;
        remote->store = NULL;
    }
    if (!auth_session_fetch(&handle->session, notifier, here_ns))
        return auth_lua_fail(L, "no thread can be started");
    handle->budget = budget;
    lua_pushboolean(L, 1);
    lua_pushboolean(L, 1);
    return handle->session.state == AUTH_SESSION_INLINE ? 2 : 1;
}

/* --- waiting --- */

/* transfer:wait(seconds [, most]) -> whether nothing is under way; waits one second at most, so that Ctrl-C
 * is heard. A fetch without a thread runs in here, as a whole: for `most` seconds, with 0 not at all.
 * True at once in a forked child. */
static int handle_wait(lua_State *L) {
    struct handle *handle = check_handle(L);
    int64_t limit_ns = check_wait(L, 2);
    bool may_run = lua_isnoneornil(L, 3) || auth_session_limit(&handle->session, auth_lua_check_ns(L, 3));
    lua_pushboolean(L, may_run && auth_session_wait(&handle->session, limit_ns));
    return 1;
}

/* transfer:notify(notifier) -> true | nil, why: a copy of this one, too, is signalled at the end of what is
 * under way on a worker; at once where nothing is */
static int handle_notify(lua_State *L) {
    struct handle *handle = check_handle(L);
    const struct auth_notifier *notifier = check_notifier(L, 2);
    luaL_argcheck(L, notifier != NULL, 2, "a notifier expected");
    if (!auth_session_notify(&handle->session, notifier))
        return auth_lua_fail(L, strerror(errno));
    lua_pushboolean(L, 1);
    return 1;
}

/* --- results --- */

static void push_reply(lua_State *L, const struct auth_reply *reply, bool is_brief) {
    lua_createtable(L, 0, 8); /* as many as most replies to API calls have */
    auth_lua_set_integer(L, "status", reply->status);
    if (!is_brief) {
        auth_lua_set_seconds(L, "sent_boot", reply->sent.boot_ns);
        auth_lua_set_seconds(L, "received_boot", reply->received.boot_ns);
    }
    if (!is_brief || reply->date_s < 0)
        auth_lua_set_seconds(L, "received_wall", reply->received.wall_ns);
    if (reply->date_s >= 0)
        auth_lua_set_integer(L, "date", reply->date_s);
    if (reply->retry_after_s >= 0)
        auth_lua_set_integer(L, "retry_after", reply->retry_after_s);
    auth_lua_set_text(L, "content_type", reply->content_type);
    auth_lua_set_text(L, "content_encoding", reply->content_encoding);
    auth_lua_set_text(L, "challenge", reply->challenge);
    auth_lua_set_text(L, "location_host", reply->location_host);
    auth_lua_set_text(L, "header_lines", (const char *)reply->headers.data); /* of a call alone */
    if (reply->sent_twice) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "sent_twice");
    }
    lua_pushlstring(L, reply->body.data != NULL ? (const char *)reply->body.data : "", reply->body.length);
    lua_setfield(L, -2, "body");
}

/* A raw reply, or why there is none. */
static void push_outcome(lua_State *L, const struct auth_reply *reply, bool is_brief) {
    if (reply->failure == AUTH_TRANSFER_OK) {
        push_reply(L, reply, is_brief);
        auth_lua_set_text(L, "trace", (const char *)reply->trace.data);
        return;
    }
    lua_createtable(L, 0, 7);
    auth_lua_set_text(L, "trace", (const char *)reply->trace.data);
    if (reply->sent.boot_ns > 0)
        auth_lua_set_seconds(L, "sent_boot", reply->sent.boot_ns);
    auth_lua_set_text(L, "code", auth_transfer_failure_name(reply->failure));
    auth_lua_set_text(L, "message", reply->message);
    auth_lua_set_text(L, "reached", auth_transfer_reached_name(reply->reached));
    auth_lua_set_seconds(L, "at", reply->received.boot_ns);
    if (reply->proxy_status != 0)
        auth_lua_set_integer(L, "proxy_status", reply->proxy_status);
}

static void set_attempts(lua_State *L, const struct auth_fetch_result *result) {
    lua_createtable(L, (int)result->count, 0);
    for (size_t i = 0; i < result->count; i++) {
        push_outcome(L, &result->attempts[i].reply, false);
        auth_lua_set_seconds(L, "sent_wall", result->attempts[i].reply.sent.wall_ns);
        if (result->attempts[i].id != 0)
            auth_lua_set_integer(L, "id", (int64_t)result->attempts[i].id);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "attempts");
}

static void set_record(lua_State *L, const char *name, const struct auth_fetch_shared *shared) {
    if (!shared->present)
        return;
    auth_lua_push_record(L, &shared->record);
    lua_setfield(L, -2, name);
}

/* An empty one in the field, or NULL if there is nothing to put into it. */
static struct auth_secret *set_secret(lua_State *L, const char *name, bool present) {
    if (!present)
        return NULL;
    struct auth_secret *secret = auth_lua_new_secret(L);
    lua_setfield(L, -2, name);
    return secret;
}

static const char *const OUTCOMES[] = {
    [AUTH_FETCH_REPLY] = "reply",         [AUTH_FETCH_SHARED] = "shared",
    [AUTH_FETCH_NOTHING] = "nothing",     [AUTH_FETCH_BUSY] = "busy",
    [AUTH_FETCH_UNCHANGED] = "unchanged", [AUTH_FETCH_LIMITED] = "limited",
    [AUTH_FETCH_FAILED] = "failed",       [AUTH_FETCH_CONFIG] = "config",
    [AUTH_FETCH_TIMEOUT] = "timeout",     [AUTH_FETCH_CANCELLED] = "cancelled",
    [AUTH_FETCH_MEMORY] = "memory"};

/* Secrets are moved last, when nothing can fail any more: until then a result can be taken again. */
static void push_result(lua_State *L, struct auth_fetch_result *result) {
    lua_createtable(L, 0, 12);
    auth_lua_set_text(L, "outcome", OUTCOMES[result->outcome]);
    set_attempts(L, result);
    set_record(L, "token", &result->records[AUTH_RECORD_TOKEN]);
    set_record(L, "last", &result->records[AUTH_RECORD_LAST]);
    if (result->outcome == AUTH_FETCH_CONFIG) {
        auth_lua_set_text(L, "option", result->option);
        auth_lua_set_text(L, "problem", result->problem);
    }
    if (result->outcome == AUTH_FETCH_LIMITED)
        auth_lua_set_seconds(L, "retry_after", result->retry_after_ns);
    auth_lua_set_text(L, "local_problem", result->local_problem);
    auth_lua_set_text(L, "lock_problem", result->lock_problem);
    auth_lua_set_text(L, "remote_problem", result->remote_problem);
    lua_pushboolean(L, result->remote_wrote);
    lua_setfield(L, -2, "remote_wrote");
    struct auth_secret *secret = set_secret(L, "secret", result->secret_was_read);
    struct auth_secret *assertion = set_secret(L, "assertion", result->assertion.length > 0);
    if (secret != NULL)
        move(secret, &result->secret);
    if (assertion != NULL)
        move(assertion, &result->assertion);
}

/* Of a fetch or of a call. */
static void push_forked(lua_State *L) {
    lua_createtable(L, 0, 3);
    auth_lua_set_text(L, "outcome", "forked");
    auth_lua_set_text(L, "code", auth_transfer_failure_name(AUTH_TRANSFER_NETWORK));
    auth_lua_set_text(L, "message", "the process was forked meanwhile");
}

/* transfer:finish([seconds]) -> what has ended, once; with `seconds` it waits for the end first, as `wait`
 * does, and returns nothing if there is none yet. Of a call: a raw reply with `header_lines`, or { code,
 * message, proxy_status, reached, at, sent_boot }; either with a `trace`, if the request asked for it. Of a
 * fetch: { outcome, attempts, … } as struct auth_fetch_result, an attempt being like what comes of a call,
 * its records raw replies. */
static int handle_finish(lua_State *L) {
    struct handle *handle = check_handle(L);
    if (!lua_isnoneornil(L, 2) && !auth_session_wait(&handle->session, check_wait(L, 2)))
        return 0;
    return finish(L, handle);
}

static int finish(lua_State *L, struct handle *handle) {
    struct auth_session *session = &handle->session;
    bool forked = !auth_session_is_ours(session) && session->state != AUTH_SESSION_IDLE;
    if (session->state == AUTH_SESSION_WORKER)
        (void)auth_session_wait(session, 0);
    struct auth_fetch_result *result = auth_session_result(session);
    const struct auth_reply *reply = auth_session_reply(session);
    bool lacks_memory = reply != NULL && reply->failure == AUTH_TRANSFER_MEMORY;
    if (result == NULL && reply == NULL && !forked)
        return luaL_error(L, "nothing has come yet");
    return_budget(handle);
    if (forked)
        push_forked(L);
    else if (result != NULL)
        push_result(L, result);
    else
        push_outcome(L, reply, handle->is_brief);
    auth_session_discard(session);
    return lacks_memory ? auth_lua_no_memory(L) : 1;
}

/* --- the end --- */

static void cancel(struct handle *handle) {
    auth_session_cancel(&handle->session);
    return_budget(handle);
}

/* transfer:cancel(): what is under way ends without a result; the next can start at once */
static int handle_cancel(lua_State *L) {
    struct handle *handle = check_handle(L);
    cancel(handle);
    auth_session_discard(&handle->session);
    return 0;
}

static int handle_close(lua_State *L) {
    struct handle *handle = check_handle(L);
    cancel(handle);
    auth_session_close(&handle->session);
    return 0;
}

/* At the end of a to-be-closed variable's scope: closes it, unless nothing is under way. */
static int handle_leave(lua_State *L) {
    return auth_session_is_under_way(&check_handle(L)->session) ? handle_close(L) : 0;
}

/* transfer:ours() -> whether this process started what it does; true where it does nothing yet */
static int handle_ours(lua_State *L) {
    lua_pushboolean(L, auth_session_is_ours(&check_handle(L)->session));
    return 1;
}

int luaopen_central_auth_http(lua_State *L) {
    static const luaL_Reg methods[] = {{"fetch", handle_fetch},
                                       {"call", handle_call},
                                       {"wait", handle_wait},
                                       {"notify", handle_notify},
                                       {"finish", handle_finish},
                                       {"cancel", handle_cancel},
                                       {"ours", handle_ours},
                                       {"close", handle_close},
                                       {"__gc", handle_close},
                                       {"__close", handle_leave},
                                       {NULL, NULL}};
    luaL_checkversion(L);
    if (!auth_session_init())
        return luaL_error(L, "central.auth.http: libcurl can't start");
    auth_lua_type(L, TRANSFER_TYPE, methods);
    lua_newtable(L);
    lua_pushcfunction(L, new_transfer);
    lua_setfield(L, -2, "transfer");
    lua_pushstring(L, auth_transfer_version());
    lua_setfield(L, -2, "version");
    return 1;
}

/* Time and expiry for Lua: the clock, the tracker, which has a token and its lifetime, and the getter, the C
 * function behind `auth.token()`. With a fresh token it reads one clock: no lock, no table, no Lua code.
 * SPDX-License-Identifier: MIT */
#include "base/lifetime.h"
#include "lua/lauth.h"

#include <math.h>

#define TRACKER_TYPE "central.auth.tracker"

/* Coarse readings of the clocks are enough for this time; then both clocks are read exactly again. */
#define RECHECK_NS AUTH_NS_PER_S

enum { CLOCK_SLOT = 1, TOKEN_SLOT = 2, SLOTS = TOKEN_SLOT };

struct tracker {
    struct auth_lifetime lifetime;
    const struct auth_clock *clock; /* kept alive by CLOCK_SLOT */
    struct auth_instant checked;    /* coarse, taken with the last exact reading of both clocks … */
    uint64_t fresh_for_ns;          /* … and the time after it in which coarse readings are enough */
};

/* --- clock --- */

static struct auth_clock *check_clock(lua_State *L, int index) {
    return luaL_checkudata(L, index, AUTH_CLOCK_TYPE);
}

static int new_clock(lua_State *L) {
    auth_lua_new(L, AUTH_CLOCK_TYPE, sizeof(struct auth_clock), 0);
    return 1;
}

static int clock_boot(lua_State *L) {
    auth_lua_push_seconds(L, auth_clock_boot_ns(check_clock(L, 1)));
    return 1;
}

static int clock_wall(lua_State *L) {
    auth_lua_push_seconds(L, auth_clock_wall_ns(check_clock(L, 1)));
    return 1;
}

/* clock:shift(boot_seconds, wall_seconds): moves time, for specs */
static int clock_shift(lua_State *L) {
    struct auth_clock *clock = check_clock(L, 1);
    int64_t boot_ns = auth_lua_check_ns(L, 2);
    int64_t wall_ns = auth_lua_check_ns(L, 3);
    clock->boot_shift_ns += boot_ns;
    clock->wall_shift_ns += wall_ns;
    return 0;
}

/* clock:stop(): time moves by shifts only from now on, for specs */
static int clock_stop(lua_State *L) {
    auth_clock_stop(check_clock(L, 1));
    return 0;
}

static int clock_sleep(lua_State *L) {
    check_clock(L, 1);
    auth_clock_sleep(auth_lua_check_ns(L, 2));
    return 0;
}

/* --- tracker --- */

static struct tracker *check_tracker(lua_State *L, int index) {
    return luaL_checkudata(L, index, TRACKER_TYPE);
}

static int new_tracker(lua_State *L) {
    const struct auth_clock *clock = check_clock(L, 1);
    struct tracker *tracker = auth_lua_new(L, TRACKER_TYPE, sizeof *tracker, SLOTS);
    tracker->clock = clock;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CLOCK_SLOT);
    return 1;
}

/* Reads both clocks; returns the state, and the age of the token. */
static enum auth_lifetime_state check(struct tracker *tracker, int64_t *age_ns) {
    struct auth_instant checked =
        auth_clock_coarse_now(tracker->clock); /* first: a pause between the two must age the token */
    struct auth_instant now = auth_clock_now(tracker->clock);
    *age_ns = auth_lifetime_age_ns(&tracker->lifetime, now);
    enum auth_lifetime_state state = auth_lifetime_state_at(&tracker->lifetime, *age_ns);
    int64_t good_ns = state == AUTH_LIFETIME_FRESH ? tracker->lifetime.fresh_ns - *age_ns : 0;
    tracker->checked = checked;
    tracker->fresh_for_ns = (uint64_t)(good_ns < RECHECK_NS ? good_ns : RECHECK_NS);
    return state;
}

/* Unsigned, so that a clock that was set back counts as far ahead, which leads to an exact reading. */
static bool is_fresh(struct tracker *tracker) {
    struct auth_instant now = auth_clock_coarse_now(tracker->clock);
    int64_t age_ns = 0;
    if ((uint64_t)(now.boot_ns - tracker->checked.boot_ns) < tracker->fresh_for_ns &&
        (uint64_t)(now.wall_ns - tracker->checked.wall_ns) < tracker->fresh_for_ns)
        return true;
    return check(tracker, &age_ns) == AUTH_LIFETIME_FRESH;
}

static double number_field(lua_State *L, int table, const char *name) {
    int type = lua_getfield(L, table, name);
    double value = type == LUA_TNUMBER ? lua_tonumber(L, -1) : (double)NAN;
    lua_pop(L, 1);
    return value;
}

/* tracker:begin(token, { sent_boot, sent_wall, expires_in?, refresh_in?, renew_before?, jitter?, took?,
 * ready_made? } [, unless_expired]) -> whether it has begun. All but `ready_made` are seconds; `jitter` is in
 * place of the token's, for specs. With `unless_expired` a token that has expired leaves the former one. */
static int tracker_begin(lua_State *L) {
    struct tracker *tracker = check_tracker(L, 1);
    size_t length = 0;
    const char *token = luaL_checklstring(L, 2, &length);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 4);
    lua_getfield(L, 3, "sent_boot"); /* both are required: a token of unknown age would outlive its end */
    lua_getfield(L, 3, "sent_wall");
    struct auth_instant sent = {.boot_ns = auth_lua_check_ns(L, 5), .wall_ns = auth_lua_check_ns(L, 6)};
    struct auth_lifetime_terms terms = {.expires_in_s = number_field(L, 3, "expires_in"),
                                        .refresh_in_s = number_field(L, 3, "refresh_in"),
                                        .renew_before_s = number_field(L, 3, "renew_before"),
                                        .jitter = number_field(L, 3, "jitter"),
                                        .took_s = number_field(L, 3, "took"),
                                        .ready_made = auth_lua_flag_field(L, 3, "ready_made")};
    if (isnan(terms.jitter))
        terms.jitter = auth_lifetime_jitter(token, length);
    struct auth_lifetime lifetime = auth_lifetime_begin(sent, terms);
    int64_t age_ns = auth_lifetime_age_ns(&lifetime, auth_clock_now(tracker->clock));
    bool expired = auth_lifetime_state_at(&lifetime, age_ns) == AUTH_LIFETIME_EXPIRED;
    bool begins = !expired || !lua_toboolean(L, 4);
    if (begins) {
        lua_pushvalue(L, 2);
        lua_setiuservalue(L, 1, TOKEN_SLOT);
        tracker->lifetime = lifetime;
        tracker->fresh_for_ns = 0;
    }
    lua_pushboolean(L, begins);
    return 1;
}

static int tracker_forget(lua_State *L) {
    struct tracker *tracker = check_tracker(L, 1);
    tracker->lifetime = (struct auth_lifetime){0};
    tracker->fresh_for_ns = 0;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, TOKEN_SLOT);
    return 0;
}

static int tracker_token(lua_State *L) {
    check_tracker(L, 1);
    lua_getiuservalue(L, 1, TOKEN_SLOT);
    return 1;
}

/* tracker:fresh() -> the token if it is fresh, as of a getter | nil */
static int tracker_fresh(lua_State *L) {
    if (!is_fresh(check_tracker(L, 1)))
        return 0;
    lua_getiuservalue(L, 1, TOKEN_SLOT);
    return 1;
}

/* tracker:state() -> "none" | "fresh" | "stale" | "expired", remaining, life, until renewal; seconds */
static int tracker_state(lua_State *L) {
    static const char *const names[] = {"none", "fresh", "stale", "expired"};
    struct tracker *tracker = check_tracker(L, 1);
    int64_t age_ns = 0;
    enum auth_lifetime_state state = check(tracker, &age_ns);
    int64_t left_ns = tracker->lifetime.life_ns - age_ns;
    int64_t fresh_ns = tracker->lifetime.fresh_ns - age_ns;
    bool none = state == AUTH_LIFETIME_NONE;
    lua_pushstring(L, names[state]);
    auth_lua_push_seconds(L, none || left_ns < 0 ? 0 : left_ns);
    auth_lua_push_seconds(L, tracker->lifetime.life_ns);
    auth_lua_push_seconds(L, none || fresh_ns < 0 ? 0 : fresh_ns);
    return 4;
}

/* --- getter --- */

static int all_results(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return lua_gettop(L);
}

/* Upvalues: the tracker and the function `slow`. Without options it returns a fresh token itself; otherwise
 * it calls `slow(...)`, with a continuation, so that `slow` may yield. */
static int get_token(lua_State *L) {
    struct tracker *tracker = lua_touserdata(L, lua_upvalueindex(1));
    if (lua_isnoneornil(L, 1) && is_fresh(tracker)) {
        lua_getiuservalue(L, lua_upvalueindex(1), TOKEN_SLOT);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, all_results);
    return all_results(L, LUA_OK, 0);
}

/* getter(tracker, slow) -> function */
static int new_getter(lua_State *L) {
    check_tracker(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushcclosure(L, get_token, 2);
    return 1;
}

/* follow(getter, tracker): from now on the getter returns the token of this tracker. The function stays the
 * same, so that programs with a copy of it in a local variable follow, too. */
static int follow(lua_State *L) {
    luaL_argexpected(L, lua_tocfunction(L, 1) == get_token, 1, "getter");
    check_tracker(L, 2);
    lua_settop(L, 2);
    lua_setupvalue(L, 1, 1);
    return 0;
}

void auth_lua_open_lifetime(lua_State *L) {
    static const luaL_Reg clock[] = {{"boot", clock_boot}, {"wall", clock_wall},   {"shift", clock_shift},
                                     {"stop", clock_stop}, {"sleep", clock_sleep}, {NULL, NULL}};
    static const luaL_Reg tracker[] = {{"begin", tracker_begin}, {"forget", tracker_forget},
                                       {"token", tracker_token}, {"fresh", tracker_fresh},
                                       {"state", tracker_state}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"clock", new_clock},
                                         {"tracker", new_tracker},
                                         {"getter", new_getter},
                                         {"follow", follow},
                                         {NULL, NULL}};
    auth_lua_type(L, AUTH_CLOCK_TYPE, clock);
    auth_lua_type(L, TRACKER_TYPE, tracker);
    luaL_setfuncs(L, functions, 0);
}

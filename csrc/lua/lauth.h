/* What the binding's files share: names of userdata, their bodies, how a module is opened.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_LAUTH_H
#define AUTH_LAUTH_H

#include "base/clock.h"
#include "base/notifier.h"
#include "base/secret.h"
#include "cache/budget.h"
#include "cache/seal.h"

#include <lauxlib.h>
#include <lua.h>
#include <sys/types.h>

#if LUA_VERSION_NUM < 504
#error "central-auth needs Lua 5.4 or newer"
#endif

#define AUTH_SECRET_TYPE "central.auth.secret" /* body: struct auth_secret */
#define AUTH_CLOCK_TYPE "central.auth.clock"   /* body: struct auth_clock */

#define AUTH_NOTIFIER_TYPE "central.auth.notifier" /* body: struct auth_lua_notifier */
#define AUTH_STORE_TYPE "central.auth.store"       /* body: struct auth_lua_store */
#define AUTH_BUDGET_TYPE "central.auth.budget"     /* body: struct auth_budget */

struct auth_lua_notifier {
    struct auth_notifier notifier;
    pid_t owner; /* the process that made it */
};

struct auth_lua_store {
    struct auth_store *store; /* NULL: closed, or moved into a fetch */
    struct auth_secret key;   /* during a call, likewise the name, … */
    char name[AUTH_SEAL_NAME_LENGTH + 1];
    struct auth_secret last; /* … and the bytes of both records during a read; all keep their memory */
    struct auth_secret token;
};

#define AUTH_LUA_WAIT_NS AUTH_NS_PER_S /* the longest wait of one call, so that Lua hears Ctrl-C */

#define AUTH_EXPORT __attribute__((visibility("default")))

/* Makes the metatable of a userdata type: methods whose names begin with __ are its own, the others are in a
 * table behind it; `__metatable` is false. Harmless when the other shared object has made it already: both
 * are built from the same files. */
void auth_lua_type(lua_State *L, const char *name, const luaL_Reg *methods);

/* Pushes a userdata of this type, all zero, that already has its finalizer; the caller then fills it. A
 * secret is empty. */
void *auth_lua_new(lua_State *L, const char *type, size_t size, int slots);
struct auth_secret *auth_lua_new_secret(lua_State *L);

/* Pushes a closed store that already has its finalizer; the caller then fills it. */
struct auth_lua_store *auth_lua_new_store(lua_State *L);

/* The bytes of a string or of a secret at `index`; anything else raises. Valid while the value stays on the
 * stack. */
const void *auth_lua_check_bytes(lua_State *L, int index, size_t *length);

/* Appends names and values, one after the other in the list at `index` (not relative to the top), as a form;
 * each a string or a secret, anything else raises. */
void auth_lua_append_form(lua_State *L, int index, struct auth_secret *out);

/* The text at `index`, or in the field `name` of the table there, where a string without NUL
 * is expected; NULL for a field that is nil. Valid while the value, or the table, stays on the stack: in a
 * table only strings count that are in it, for those that a metamethod or a conversion makes may be
 * collected. */
const char *auth_lua_check_text(lua_State *L, int index);
const char *auth_lua_text_field(lua_State *L, int index, const char *name);

/* The ids of records in the list at `index`, `most` at most, and their number; anything else raises. */
size_t auth_lua_check_ids(lua_State *L, int index, uint64_t *ids, size_t most);

/* A number of seconds at `index` as ns, cut to a century either way; NaN raises. */
int64_t auth_lua_check_ns(lua_State *L, int index);

/* The field `name` of the table at `index`: a whole number, `otherwise` where it is nil; a number of seconds
 * as above, 0 where it is nil; whether it is true. Other types raise. */
int64_t auth_lua_integer_field(lua_State *L, int index, const char *name, int64_t otherwise);
int64_t auth_lua_ns_field(lua_State *L, int index, const char *name);
bool auth_lua_flag_field(lua_State *L, int index, const char *name);

/* The userdata of this type in the field `name` of the table at `index`; it stays the table's. NULL where
 * that is nil; other types raise. */
void *auth_lua_userdata_field(lua_State *L, int index, const char *name, const char *type);

/* table[name] = value, of the table on top of the stack. */
void auth_lua_set_seconds(lua_State *L, const char *name, int64_t ns);
void auth_lua_set_integer(lua_State *L, const char *name, int64_t value);
void auth_lua_set_text(lua_State *L, const char *name, const char *text); /* nothing if NULL or empty */

/* Pushes a record as the table of a raw reply, whose `shared` is true. */
void auth_lua_push_record(lua_State *L, const struct auth_record *record);

/* ns as a Lua number of seconds. */
void auth_lua_push_seconds(lua_State *L, int64_t ns);

/* nil, message: a failure of the world. */
int auth_lua_fail(lua_State *L, const char *message);

/* Raises what Lua raises when memory runs out; never returns. */
int auth_lua_no_memory(lua_State *L);

/* Lets `require` find the package's modules in this object, after package.preload and before the path. */
void auth_lua_open_modules(lua_State *L);

/* Registers types and adds functions to the module table on top of the stack. */
void auth_lua_open_secret(lua_State *L);
void auth_lua_open_lifetime(lua_State *L);
void auth_lua_open_store(lua_State *L);
void auth_lua_open_notifier(lua_State *L);

AUTH_EXPORT int luaopen_central_auth_core(lua_State *L);
AUTH_EXPORT int luaopen_central_auth_http(lua_State *L);
AUTH_EXPORT int luaopen_central_auth_console(lua_State *L);
AUTH_EXPORT int luaopen_central_auth_redis(lua_State *L);

#endif

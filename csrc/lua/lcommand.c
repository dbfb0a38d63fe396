/* Lua's view of commands that print a secret.
 * SPDX-License-Identifier: MIT */
#include "lua/lauth.h"
#include "worker/command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_TYPE "central.auth.command"

enum { SECRET_SLOT = 1, WAIT_MAX_MS = 1000, NS_PER_MS = 1000000 };

struct command {
    struct auth_command command;
    struct auth_secret *secret; /* of the slot; NULL: handed out, or wiped */
    bool over;
};

static struct command *check_command(lua_State *L) {
    return luaL_checkudata(L, 1, COMMAND_TYPE);
}

static int command_close(lua_State *L) {
    struct command *command = check_command(L);
    auth_command_close(&command->command);
    if (!command->over)
        command->command.error = ECANCELED;
    command->over = true;
    if (command->secret != NULL)
        auth_secret_wipe(command->secret);
    command->secret = NULL;
    return 0;
}

/* command(line, seconds) -> command | nil, what is wrong: starts it; it may take so long */
static int new_command(lua_State *L) {
    const char *line = auth_lua_check_text(L, 1);
    int64_t limit_ns = auth_lua_check_ns(L, 2);
    struct command *command = lua_newuserdatauv(L, sizeof *command, 1);
    *command = (struct command){.command = AUTH_COMMAND_CLOSED};
    luaL_setmetatable(L, COMMAND_TYPE);
    command->secret = auth_lua_new_secret(L);
    lua_setiuservalue(L, -2, SECRET_SLOT);
    int error = auth_command_start(&command->command, line, limit_ns);
    return error == 0 ? 1 : auth_lua_fail(L, strerror(error));
}

/* command:wait(seconds) -> whether it is over; waits so long at most, one second at a time */
static int command_wait(lua_State *L) {
    struct command *command = check_command(L);
    int64_t limit_ms = (auth_lua_check_ns(L, 2) + NS_PER_MS - 1) / NS_PER_MS;
    if (!command->over)
        command->over = auth_command_step(&command->command, command->secret);
    if (!command->over && limit_ms > 0) {
        auth_command_wait(&command->command, limit_ms > WAIT_MAX_MS ? WAIT_MAX_MS : (int)limit_ms);
        command->over = auth_command_step(&command->command, command->secret);
    }
    lua_pushboolean(L, command->over);
    return 1;
}

/* command:is_inherited() -> whether this is a forked child of the process that started it */
static int command_is_inherited(lua_State *L) {
    lua_pushboolean(L, check_command(L)->command.owner != getpid());
    return 1;
}

/* command:secret() -> secret | nil, what happened; once, of one that is over */
static int command_secret(lua_State *L) {
    struct command *command = check_command(L);
    int error = !command->over ? EAGAIN : command->secret == NULL ? ECANCELED : command->command.error;
    if (error != 0)
        return auth_lua_fail(L, error == ETIMEDOUT ? "did not end in time"
                                : error == ECHILD  ? "ended in an unknown way"
                                                   : strerror(error));
    if (command->command.status != 0) {
        lua_pushnil(L);
        lua_pushfstring(L, "ended with status %d", command->command.status);
        return 2;
    }
    auth_lua_drop_line_end(command->secret);
    lua_getiuservalue(L, 1, SECRET_SLOT);
    command->secret = NULL;
    return 1;
}

void auth_lua_open_command(lua_State *L) {
    static const luaL_Reg methods[] = {{"wait", command_wait},
                                       {"is_inherited", command_is_inherited},
                                       {"secret", command_secret},
                                       {"close", command_close},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", command_close}, {"__close", command_close}, {NULL, NULL}};
    auth_lua_type(L, COMMAND_TYPE, methods, meta);
    lua_pushcfunction(L, new_command);
    lua_setfield(L, -2, "command");
}

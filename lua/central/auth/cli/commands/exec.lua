-- central-auth exec: executes another program in place of this process, with the token in its environment.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local console = require "central.auth.console"
local errors = require "central.auth.errors"
local session = require "central.auth.cli.session"

local exec = {}

local NOT_EXECUTABLE, NOT_FOUND = 126, 127

exec.summary = "Run a program with CENTRAL_TOKEN in its environment."
exec.description = "Executes CMD in place of this process, with a valid token in CENTRAL_TOKEN. All other variables"
  .. " whose names begin with CENTRAL_ are removed, the credentials among them. Signals and the exit status are those"
  .. " of CMD."
exec.options = {
  { "--min-valid", value = "DURATION", number = "duration", help = "Get a token that is valid for at least this time,"
    .. " like 90 (seconds), 500ms, 2m or 1h, if possible: CMD cannot get a newer one later." },
}
exec.arguments = { { name = "cmd", args = "+", help = "The program and its arguments." } }
exec.statuses = {
  { NOT_EXECUTABLE, "CMD can't be executed." },
  { NOT_FOUND, "CMD was not found. Any other status is that of CMD." },
}
exec.examples = { { "central-auth exec --min-valid 600 ./report.sh --all", "A script that takes ten minutes." } }

--- Prints why a program could not be executed, and returns the exit status.
---@param cmd string[]
---@param _ nil
---@param why string
---@param absent boolean
---@return integer
function exec.failed(cmd, _, why, absent)
  io.stderr:write(("central-auth: %s: %s\n"):format(errors.printable(cmd[1]), why))
  return absent and NOT_FOUND or NOT_EXECUTABLE
end

--- Executes the program; returns only on failure.
---@param options table
function exec.run(options)
  local value = session.token(options)
  value = session.finish_renewal() or value
  auth.close()
  return exec.failed(options.cmd, console.exec(options.cmd, "CENTRAL_", { "CENTRAL_TOKEN=" .. value }))
end

return exec

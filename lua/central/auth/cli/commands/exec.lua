-- central-auth exec: becomes another program, which finds the token in its environment.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local console = require "central.auth.console"
local note_shortfall = require "central.auth.cli.min_valid_warning"
local session = require "central.auth.cli.session"

local exec = {}

local CANNOT, ABSENT = 126, 127

exec.summary = "Run a program with CENTRAL_TOKEN in its environment."
exec.description = "Becomes CMD, which finds a valid token in CENTRAL_TOKEN. All other variables whose names begin with"
  .. " CENTRAL_ are taken away, the credentials among them. As CMD takes the place of this process, signals and the"
  .. " exit status are its own."
exec.options = {
  { "--min-valid", value = "SECONDS", number = "seconds", help = "Get a token that is good for at least so long,"
    .. " where one can be had: CMD keeps the one it was given." },
}
exec.arguments = { { name = "cmd", args = "+", help = "The program and its arguments; write -- before it." } }
exec.statuses = {
  { CANNOT, "CMD is there and can't be run." },
  { ABSENT, "There is no CMD. Any other status is that of CMD." },
}
exec.examples = { { "central-auth exec --min-valid 600 -- ./report.sh --all", "A script that takes ten minutes." } }

--- Becomes the program; returns only where that is impossible.
---@param options table
function exec.run(options)
  if options.cmd[1] == "" then
    return nil, "CMD is empty: is a variable unset?", "usage"
  end
  local value, message, code, detail = session.token(options)
  if not value then
    return nil, message, code, detail
  end
  note_shortfall(options, message)
  value = session.finish() or value
  auth.close()
  local _, why, absent = console.become(options.cmd, "CENTRAL_", "CENTRAL_TOKEN", value)
  io.stderr:write(("central-auth: %s: %s\n"):format(options.cmd[1], why))
  return absent and ABSENT or CANNOT
end

return exec

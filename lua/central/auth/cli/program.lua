-- Programs that the user names: what the subcommands that run one say of it.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"

local program = {}

local NOT_EXECUTABLE, NOT_FOUND = 126, 127

program.statuses = {
  { NOT_EXECUTABLE, "CMD can't be executed." },
  { NOT_FOUND, "CMD was not found. Any other status is that of CMD." },
}

--- Prints why a program could not be executed, and returns the exit status.
---@param cmd string[]
---@param _ nil
---@param why string
---@param absent boolean
---@return integer
function program.failed(cmd, _, why, absent)
  io.stderr:write(("central-auth: %s: %s\n"):format(errors.printable(cmd[1]), why))
  return absent and NOT_FOUND or NOT_EXECUTABLE
end

return program

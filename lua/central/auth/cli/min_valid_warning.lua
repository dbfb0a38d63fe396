-- Warns about a token that is valid for less time than --min-valid.
-- SPDX-License-Identifier: MIT

local duration = require("central.auth.util").duration
local terminal = require "central.auth.cli.terminal"

--- Prints the warning.
---@param options table
---@param remaining? number seconds; nil: the token is valid long enough
return function(options, remaining)
  if remaining then
    terminal.note(options, ("central-auth: this token is valid for %s, less than --min-valid"):format(
      duration(remaining)))
  end
end

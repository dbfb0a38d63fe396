-- What a token is good for that falls short of --min-valid: whoever needs more should know before it ends.
-- SPDX-License-Identifier: MIT

local duration = require "central.auth.duration"
local terminal = require "central.auth.cli.terminal"

--- Says so.
---@param options table
---@param remaining? number seconds; nil: it does not fall short
return function(options, remaining)
  if remaining then
    terminal.note(options, ("central-auth: this token is good for %s, less than --min-valid asks for"):format(
      duration(remaining)))
  end
end

-- Ends the command if a function failed: central.auth.cli.main prints the failure.
-- SPDX-License-Identifier: MIT

local errors = require("central.auth.util").lazy "central.auth.errors"

--- Takes the results of a function. Returns the first two of them, or raises the failure.
---@param value any nil on failure
---@param message any
---@param code? central.auth.Code | "usage"
---@param detail? central.auth.Detail
return function(value, message, code, detail)
  if value == nil and code then
    errors.raise(message, code, detail)
  end
  return value, message
end

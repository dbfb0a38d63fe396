-- Ends the command where a function fails: central.auth.cli.main prints the failure.
-- SPDX-License-Identifier: MIT

local errors = require("central.auth.util").lazy "central.auth.errors"

--- Returns the first two of its arguments, the results of a function; or raises the failure that they are.
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

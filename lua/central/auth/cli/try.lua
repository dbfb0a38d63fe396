-- Turns a returned failure into a raised one, which errors.catch or the main function of the command takes.
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

-- The doctor's check of environment variables: names that begin like those of options, but are not, and have no effect.
-- SPDX-License-Identifier: MIT

local unknown_variables = require "central.auth.config.unknown_variables"

--- Reports each variable without effect.
---@param _ table the context
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(_, report)
  for _, message in ipairs(unknown_variables()) do
    report("note", "variables", message)
  end
end

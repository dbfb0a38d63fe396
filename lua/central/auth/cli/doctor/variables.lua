-- The doctor's check of environment variables: those that are misspelt or empty have no effect.
-- SPDX-License-Identifier: MIT

local ignored_variables = require "central.auth.config.ignored_variables"

--- Reports each variable without effect.
---@param _ table the context
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(_, report)
  for _, message in ipairs(ignored_variables()) do
    report("note", "variables", message)
  end
end

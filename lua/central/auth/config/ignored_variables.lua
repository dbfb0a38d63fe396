-- Finds environment variables that have no effect: their names begin like those of options, but are not, or they are
-- empty.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local sorted_names = require("central.auth.util").sorted_names

local known, names = {}, {}
for _, row in ipairs(require "central.auth.config.environment") do
  for variable in row[1]:gmatch "CENTRAL_[%u_]+" do
    known[variable] = true
  end
end
for _, name in ipairs(options.names()) do
  if not options.get(name).arguments_only then
    names[#names + 1] = name
    known["CENTRAL_" .. name:upper()] = true
  end
end

--- Returns a message for each such variable, with the nearest known name.
---@return string[]
return function()
  local messages = {}
  for _, variable in ipairs(sorted_names(core.variables "")) do
    local name = variable:lower():match "^central_(.*)"
    if name and not known[variable] then
      local nearest = errors.suggest(name, names):gsub('"(.-)"', function(near) return "CENTRAL_" .. near:upper() end)
      messages[#messages + 1] = ("%s is not a variable of central-auth, and is ignored%s"):format(
        errors.printable(variable), nearest)
    end
  end
  for _, name in ipairs(names) do
    local variable = "CENTRAL_" .. name:upper()
    messages[#messages + 1] = os.getenv(variable) == "" and variable .. " is empty, and is ignored" or nil
  end
  return messages
end

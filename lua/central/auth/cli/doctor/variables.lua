-- The doctor's check of environment variables: names that begin like those of options, but are not, and have no effect.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local options = require "central.auth.config.options"

local known, names = { CENTRAL_TOKEN = true }, { "central_token" } -- what `central-auth exec` sets
for _, name in ipairs(options.names) do
  if not options.get(name).arguments_only then
    names[#names + 1] = "central_" .. name
    known[names[#names]:upper()] = true
  end
end

-- Returns the environment of the process at its start. The values may be secrets and are not stored.
local function environment()
  local file <close> = io.open "/proc/self/environ"
  return file and file:read "a" or ""
end

--- Reports each variable without effect.
---@param _ table the context
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(_, report)
  for name in ("\0" .. environment()):gmatch "%z([^=%z]*)=" do
    if name:lower():find "^central_" and not known[name] then
      local near = errors.suggest(name, names):gsub('"(.-)"', string.upper)
      report("note", "variables", ("%s is not a variable of central-auth, and is ignored%s"):format(
        errors.printable(name), near))
    end
  end
end

-- What the doctor sees of the environment: variables that look like ours and are none, which nobody else would notice.
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

-- Of the process as it began; of values, which may be secrets, nothing is kept.
local function environment()
  local file <close> = io.open "/proc/self/environ"
  return file and file:read "a" or ""
end

--- Tells of each.
---@param _ table what is known so far
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(_, tell)
  for name in ("\0" .. environment()):gmatch "%z([^=%z]*)=" do
    if name:lower():find "^central_" and not known[name] then
      local near = errors.suggest(name, names):gsub('"(.-)"', string.upper)
      tell("note", "variables", ("%s is none of ours, and ignored%s"):format(errors.printable(name), near))
    end
  end
end

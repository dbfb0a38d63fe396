-- Writes a profile as a whole file, mode 0600: the new values, and the other options that the profile already has.
-- Comments in the file are lost. Failures are raised.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"
local sorted_names = require("central.auth.util").sorted_names

local profile_store = {}

local HEAD = "-- Written by %s. Comments are lost when this file is written again.\n"

-- Returns a value as Lua text on one line. The values are checked: lists contain strings only.
local function literal(value)
  if type(value) == "string" then
    return (("%q"):format(value):gsub("\\\n", "\\n"))
  elseif type(value) == "number" then
    return (("%.15g"):format(value):gsub("[^%de+-]+", ".")) -- the locale's decimal point may be another
  elseif type(value) == "boolean" then
    return tostring(value)
  end
  local parts = {}
  for i, item in ipairs(value) do
    parts[i] = literal(item)
  end
  for _, name in ipairs(#value == 0 and sorted_names(value) or {}) do
    parts[#parts + 1] = ("[%s] = %s"):format(literal(name), literal(value[name]))
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function text_of(values, writer)
  local lines = { HEAD:format(writer), "return {\n" }
  for _, name in ipairs(options.names()) do
    lines[#lines + 1] = values[name] ~= nil and ("  %s = %s,\n"):format(name, literal(values[name])) or nil
  end
  return table.concat(lines) .. "}\n"
end

--- Returns the options that the profile will have: the new ones, else its current ones.
---@param name string
---@param source central.auth.OptionSource
---@return table<string, any> values
function profile_store.merge(name, source)
  local entry = profile.find(name)
  return config.collect { source, entry and { values = entry.options, from = entry.from } }
end

--- Writes a profile. Returns the path of its file.
---@param name string
---@param source central.auth.OptionSource the new options
---@param writer string the program, for the comment at the start
---@param dry_run? boolean only check whether the file can be written
---@return string path
function profile_store.put(name, source, writer, dry_run)
  local values = profile_store.merge(name, source)
  local path = paths.profile(name)
  local ok, why = core.replace_file(path, not dry_run and text_of(values, writer) or nil, true)
  if not ok then
    errors.raise(("the profile %s can't be written: %s"):format(path, why), "config", { source = path })
  end
  return path
end

return profile_store

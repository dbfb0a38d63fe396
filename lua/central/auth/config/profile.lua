-- Reads profiles: named sets of options in $XDG_CONFIG_HOME/central-auth/config.lua, a Lua table that is loaded as text
-- in an empty environment.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local known = require "central.auth.config.options"
local paths = require "central.auth.config.paths"

---@class central.auth.Profile
---@field name string
---@field options table<string, any>
---@field from string its name and file, for messages

local profile = {}

local DEFAULT = "default"

local function fail(path, message)
  return errors.fail("config", ("the profile file %s: %s"):format(path, message), { source = path })
end

local SECRETS = { "client_secret", "client_assertion", "cache_password", "proxy" }
local COMMANDS = { "client_secret_command", "client_assertion_command" }

-- Whether one of the profiles has one of these options.
local function have(profiles, names)
  for _, options in pairs(profiles) do
    for _, name in ipairs(type(options) == "table" and names or {}) do
      if options[name] then
        return true
      end
    end
  end
  return false
end

--- Evaluates the text of a profile file. Lua's message for a syntax error quotes text, which may be a secret: only the
--- line number is used.
---@param path string for messages
---@param text string
---@return table<string, table>? profiles
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.evaluate(path, text)
  local chunk, why = load(text, "=profile", "t", {})
  if not chunk then
    return fail(path, ("line %s: not valid Lua"):format(why:match("^profile:(%d+):") or "1"))
  end
  local ok, profiles = pcall(chunk)
  if not ok then
    return fail(path, ("line %s: it fails when run: it must only return a table, and can call no functions"):format(
      tostring(profiles):match("^profile:(%d+):") or "1"))
  elseif type(profiles) ~= "table" then
    return fail(path, 'it must return a table: return { default = { client_id = "…" } }')
  end
  return profiles
end

local function names_of(profiles)
  local names = {}
  for key, value in pairs(profiles) do
    names[#names + 1] = type(value) == "table" and errors.printable(tostring(key)) or nil
  end
  table.sort(names)
  return names
end

local function check(entry)
  for name, value in pairs(entry.options) do
    local option = known.get(name)
    if not option or option.arguments_only or name == "profile" then
      local shown = errors.printable(tostring(name))
      return errors.invalid_option(shown, entry.from, "there is no such option" .. errors.suggest(shown, known.names))
    elseif type(value) == "function" or not known.has_type(name, value) then
      return errors.invalid_option(name, entry.from, ("a %s is needed, not a %s"):format(option[1], type(value)))
    end
  end
  return entry
end

local function choose(path, profiles, wanted)
  local name = wanted or DEFAULT
  local options = profiles[name]
  local names = names_of(profiles)
  if next(profiles) ~= nil and #names == 0 then
    return fail(path, 'it must contain named profiles: return { default = { client_id = "…" } }')
  elseif options == nil and not wanted then
    return nil, #names > 0 and ("it has no profile %q, only %s"):format(DEFAULT, table.concat(names, ", ")) or nil
  elseif type(options) ~= "table" then
    return fail(path, ("it has no profile %q%s%s"):format(errors.printable(name),
      #names > 0 and ", only " .. table.concat(names, ", ") or "", errors.suggest(name, names)))
  end
  return check { name = name, options = options, from = ("the profile %q in %s"):format(errors.printable(name), path) }
end

--- Loads the profile with this name; without a name the one called `default`, or nil if there is none.
---@param wanted? string
---@return central.auth.Profile? profile
---@return string? message without a code: why there is no default profile, which is not a failure
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.load(wanted)
  local path = paths.profiles()
  if not path then
    if wanted then
      return errors.fail("config", "a profile was requested, but neither XDG_CONFIG_HOME nor HOME is set")
    end
    return nil
  end
  local text, problem, unusable = core.read_file(path)
  if not text and unusable and not wanted then
    return nil, unusable ~= "absent" and problem or nil
  elseif not text then
    return fail(path, problem)
  end
  local profiles, message, code, detail = profile.evaluate(path, text)
  if not profiles then
    return nil, message, code, detail
  elseif problem and have(profiles, SECRETS) then
    return fail(path, "it contains a secret and " .. problem)
  elseif problem and have(profiles, COMMANDS) then
    return fail(path, "it contains a command and " .. problem)
  end
  return choose(path, profiles, wanted)
end

return profile

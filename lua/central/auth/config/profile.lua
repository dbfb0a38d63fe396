-- Profiles: named sets of options in $XDG_CONFIG_HOME/central-auth/config.lua, a Lua table loaded as text in an empty
-- environment. Reads, never writes.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local known = require "central.auth.config.options"
local paths = require "central.auth.config.paths"

---@class central.auth.Profile
---@field name string
---@field options table<string, any>
---@field from string where it is, for messages

local profile = {}

local DEFAULT = "default"

local function wrong(path, message)
  return errors.fail("config", ("the profile file %s: %s"):format(path, message), { source = path })
end

local SECRETS = { "client_secret", "client_assertion", "cache_password", "proxy" }
local COMMANDS = { "client_secret_command", "client_assertion_command" }

-- Whether one of the profiles has one of these options.
local function holds(profiles, names)
  for _, options in pairs(profiles) do
    for _, name in ipairs(type(options) == "table" and names or {}) do
      if options[name] then
        return true
      end
    end
  end
  return false
end

--- What the text of a profile file holds. Lua's message for a syntax error quotes the text near it, which may be a
--- secret: only the line number is told.
---@param path string for messages
---@param text string
---@return table<string, table>? profiles
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.evaluate(path, text)
  local chunk, why = load(text, "=profile", "t", {})
  if not chunk then
    return wrong(path, ("line %s: not valid Lua"):format(why:match("^profile:(%d+):") or "1"))
  end
  local ok, profiles = pcall(chunk)
  if not ok then
    return wrong(path, ("line %s: it fails when run: there are no functions in it, it must only return a table"):format(
      tostring(profiles):match("^profile:(%d+):") or "1"))
  elseif type(profiles) ~= "table" then
    return wrong(path, 'it must return a table: return { default = { client_id = "…" } }')
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
      return errors.wrong(shown, entry.from, "there is no such option" .. errors.suggest(shown, known.names))
    elseif type(value) == "function" or not known.fits(name, value) then
      return errors.wrong(name, entry.from, ("a %s is needed, not a %s"):format(option[1], type(value)))
    end
  end
  return entry
end

local function choose(path, profiles, wanted)
  local name = wanted or DEFAULT
  local options = profiles[name]
  local names = names_of(profiles)
  if next(profiles) ~= nil and #names == 0 then
    return wrong(path, 'it must hold named profiles: return { default = { client_id = "…" } }')
  elseif options == nil and not wanted then
    return nil, #names > 0 and ("it has no profile %q, only %s"):format(DEFAULT, table.concat(names, ", ")) or nil
  elseif type(options) ~= "table" then
    return wrong(path, ("it has no profile %q%s%s"):format(errors.printable(name),
      #names > 0 and ", only " .. table.concat(names, ", ") or "", errors.suggest(name, names)))
  end
  return check { name = name, options = options, from = ("the profile %q in %s"):format(errors.printable(name), path) }
end

--- The profile of this name; without a name the one called `default`, nil where there is none.
---@param wanted? string
---@return central.auth.Profile? profile
---@return string? message without a code: why there is no default, which is no failure
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.load(wanted)
  local path = paths.profiles()
  if not path then
    if wanted then
      return errors.fail("config", "a profile is asked for, but neither XDG_CONFIG_HOME nor HOME says where it is")
    end
    return nil
  end
  local text, problem, unusable = core.read_file(path)
  if not text and unusable and not wanted then
    return nil, unusable ~= "absent" and ("which " .. problem) or nil
  elseif not text then
    return wrong(path, problem)
  end
  local profiles, message, code, detail = profile.evaluate(path, text)
  if not profiles then
    return nil, message, code, detail
  elseif problem and holds(profiles, SECRETS) then
    return wrong(path, "it holds a secret and " .. problem)
  elseif problem and holds(profiles, COMMANDS) then
    return wrong(path, "it holds a command and " .. problem)
  end
  return choose(path, profiles, wanted)
end

return profile

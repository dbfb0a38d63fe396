-- Reads profiles. A profile is a set of options in $XDG_CONFIG_HOME/central-auth/NAME.lua: a Lua table, which is loaded
-- as text in an empty environment. Failures are raised.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local known = require "central.auth.config.options"
local paths = require "central.auth.config.paths"
local validate = require "central.auth.config.validate"

---@class central.auth.Profile
---@field name string
---@field options table<string, any>
---@field path string
---@field from string its name and file, for messages

local profile = {}

local SECRETS = { "access_token", "client_secret", "client_assertion", "cache_password", "proxy" }
local COMMANDS = { "access_token_command", "client_secret_command", "client_assertion_command" }

local function fail(path, message)
  errors.raise(("the profile %s: %s"):format(path, message), "config", { source = path })
end

local function folder_of_profiles()
  return paths.profiles()
    or errors.raise("there is no folder for profiles: neither XDG_CONFIG_HOME nor HOME is set; set HOME", "config")
end

local function has(options, names)
  for _, name in ipairs(names) do
    if options[name] then
      return true
    end
  end
  return false
end

-- Returns the table of a profile. Lua's message for a syntax error quotes text, which may be a secret:
-- only the line number is used.
local function evaluate(path, text)
  local chunk, why = load(text, "=profile", "t", {})
  if not chunk then
    fail(path, ("line %s: not valid Lua"):format(why:match("^profile:(%d+):") or "1"))
  end
  local ok, options = pcall(chunk)
  if not ok then
    fail(path, ("line %s: the code fails; it must only return a table, without calling functions"):format(
      tostring(options):match("^profile:(%d+):") or "1"))
  elseif type(options) ~= "table" then
    fail(path, 'the file must return a table of options: return { client_id = "…", cluster = "…" }')
  end
  return options
end

local function check(entry)
  for name, value in pairs(entry.options) do
    local option = known.get(name)
    if not option or option.arguments_only or name == "profile" then
      local shown = errors.printable(tostring(name))
      error(errors.invalid_option(shown, entry.from, "unknown option" .. errors.suggest(shown, known.names())), 0)
    elseif type(value) == "function" or not known.has_type(name, value) then
      error(errors.invalid_option(name, entry.from, ("%s expected, got %s"):format(
        option.types:match "%l+", type(value))), 0)
    end
  end
  return entry
end

-- `optional`: a file that this user may not read is treated like a missing one.
local function read(name, optional)
  local path = folder_of_profiles() and paths.profile(name)
  local text, problem, unusable = core.read_file(path)
  if unusable == "absent" then
    return nil
  elseif not text and unusable and optional then
    return nil, problem
  elseif not text then
    fail(path, problem)
  end
  local options = evaluate(path, text)
  if problem and has(options, SECRETS) then
    fail(path, "the file contains a secret and " .. problem)
  elseif problem and has(options, COMMANDS) then
    fail(path, "the file contains a command and " .. problem)
  end
  return check { name = name, options = options, path = path, from = ("the profile %q in %s"):format(name, path) }
end

--- Returns the names of the profiles in alphabetical order.
---@return string[] names
function profile.names()
  local folder = folder_of_profiles()
  local files, problem = core.list_folder(folder)
  if not files then
    errors.raise(("the profiles in %s: %s"):format(folder, problem), "config", { source = folder })
  end
  local names = {}
  for name in files:gmatch "([^/]+)%.lua/" do
    names[#names + 1] = validate.profile(name)
  end
  table.sort(names)
  return names
end

--- Fails because a profile does not exist.
---@param name string
function profile.missing(name)
  local names = errors.catch(profile.names) or {}
  local hint = #names == 0 and (': run "central-auth login --profile %s"'):format(name)
    or ("; existing profiles: %s%s"):format(table.concat(names, ", "), errors.suggest(name, names))
  errors.raise(("there is no profile %q in %s%s"):format(name, paths.profiles(), hint), "config",
    { option = "profile", source = paths.profiles() })
end

--- Loads the profile with this name; nil if it does not exist.
---@param name string
---@return central.auth.Profile? profile
function profile.find(name)
  return read(name, false)
end

--- Loads the profile with this name; without a name the default one, or nil if it does not exist.
---@param wanted? string
---@return central.auth.Profile? profile
---@return string? reason why the default profile cannot be read, which is not a failure
function profile.load(wanted)
  local entry, reason = read(wanted or paths.DEFAULT_PROFILE, not wanted)
  if not entry and wanted then
    profile.missing(wanted)
  end
  return entry, reason
end

--- Returns a function that reads an option of a profile again; it returns nil if the profile no longer has the option.
---@param name string
---@param option string
---@return fun(): string?
function profile.reader(name, option)
  return function()
    local entry = errors.catch(profile.load, name)
    local value = entry and entry.options[option]
    return type(value) == "string" and value or nil
  end
end

return profile

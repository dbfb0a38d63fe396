-- Reads profiles. A profile is a set of options in $XDG_CONFIG_HOME/central-auth/NAME.lua: a Lua table, which is loaded
-- as text in an empty environment.
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
  return errors.fail("config", ("the profile %s: %s"):format(path, message), { source = path })
end

local function no_folder()
  return errors.fail("config", "there is no folder for profiles: neither XDG_CONFIG_HOME nor HOME is set; set HOME")
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
    return fail(path, ("line %s: not valid Lua"):format(why:match("^profile:(%d+):") or "1"))
  end
  local ok, options = pcall(chunk)
  if not ok then
    return fail(path, ("line %s: the code fails; it must only return a table, without calling functions"):format(
      tostring(options):match("^profile:(%d+):") or "1"))
  elseif type(options) ~= "table" then
    return fail(path, 'the file must return a table of options: return { client_id = "…", cluster = "…" }')
  end
  return options
end

local function check(entry)
  for name, value in pairs(entry.options) do
    local option = known.get(name)
    if not option or option.arguments_only or name == "profile" then
      local shown = errors.printable(tostring(name))
      return errors.invalid_option(shown, entry.from, "unknown option" .. errors.suggest(shown, known.names()))
    elseif type(value) == "function" or not known.has_type(name, value) then
      return errors.invalid_option(name, entry.from, ("%s expected, got %s"):format(
        option.types:match "%l+", type(value)))
    end
  end
  return entry
end

-- `optional`: a file that this user may not read is treated like a missing one.
local function read(name, optional)
  local path = paths.profile(name)
  if not path then
    return no_folder()
  end
  local text, problem, unusable = core.read_file(path)
  if unusable == "absent" then
    return nil
  elseif not text and unusable and optional then
    return nil, problem
  elseif not text then
    return fail(path, problem)
  end
  local options, message, code, detail = evaluate(path, text)
  if not options then
    return nil, message, code, detail
  elseif problem and has(options, SECRETS) then
    return fail(path, "the file contains a secret and " .. problem)
  elseif problem and has(options, COMMANDS) then
    return fail(path, "the file contains a command and " .. problem)
  end
  return check { name = name, options = options, path = path, from = ("the profile %q in %s"):format(name, path) }
end

--- Returns the names of the profiles in alphabetical order.
---@return string[]? names
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.names()
  local folder = paths.profiles()
  if not folder then
    return no_folder()
  end
  local files, problem = core.list_folder(folder)
  if not files then
    return errors.fail("config", ("the profiles in %s: %s"):format(folder, problem), { source = folder })
  end
  local names = {}
  for name in files:gmatch "([^/]+)%.lua/" do
    names[#names + 1] = validate.profile(name)
  end
  table.sort(names)
  return names
end

--- Returns the failure of a profile that does not exist.
---@param name string
function profile.missing(name)
  local names = profile.names() or {}
  local hint = #names == 0 and (': run "central-auth login --profile %s"'):format(name)
    or ("; existing profiles: %s%s"):format(table.concat(names, ", "), errors.suggest(name, names))
  return errors.fail("config", ("there is no profile %q in %s%s"):format(name, paths.profiles(), hint),
    { option = "profile", source = paths.profiles() })
end

--- Loads the profile with this name; nil without a code if it does not exist.
---@param name string
---@return central.auth.Profile? profile
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.find(name)
  return read(name, false)
end

--- Loads the profile with this name; without a name the default one, or nil if it does not exist.
---@param wanted? string
---@return central.auth.Profile? profile
---@return string? message without a code: why there is no default profile, which is not a failure
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile.load(wanted)
  local entry, message, code, detail = read(wanted or paths.DEFAULT_PROFILE, not wanted)
  if not entry and not code and wanted then
    return profile.missing(wanted)
  end
  return entry, message, code, detail
end

--- Returns a function that reads an option of a profile again; it returns nil if the profile no longer has the option.
---@param name string
---@param option string
---@return fun(): string?
function profile.reader(name, option)
  return function()
    local entry = profile.load(name)
    local value = entry and entry.options[option]
    return type(value) == "string" and value or nil
  end
end

return profile

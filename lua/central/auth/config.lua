-- Options from arguments, then the environment, then a profile -> one checked, immutable description of how to get a
-- token. Each mistake is named with its option and its source. Knows no network.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.options"
local profile = require "central.auth.profile"

---@class central.auth.Config: central.auth.Options
---@field secret? central.auth.Source
---@field assertion? central.auth.Source
---@field from table<string, string> where each option was set

local config = {}

config.VERSION = "0.1.0"

local TOKEN_URL = "https://sso.common.cloud.hpe.com/as/token.oauth2"
local WORKSPACE_URL = "https://global.api.greenlake.hpe.com/authorization/v2/oauth2/%s/token"

local function wrong(name, from, message)
  return errors.fail("config", ("%s (from %s): %s"):format(name, from, message), { option = name, source = from })
end

-- --- sources: a function from an option's name to its value, where it came from, and what is wrong with it ----------

-- Arguments are code: a wrong name or type is the caller's mistake and raises.
local function arguments(given)
  if type(given) ~= "table" then
    errors.mistake("a table of options expected, got " .. type(given))
  elseif type(given.configure) == "function" then
    errors.mistake("call functions of the module with a dot: auth.configure{ … }")
  end
  for name, value in pairs(given) do
    local option = options.get(name)
    if not option then
      errors.mistake(("unknown option %q%s"):format(tostring(name), errors.suggest(tostring(name), options.names)))
    elseif not options.fits(name, value) then
      errors.mistake(("option %s: %s expected, got %s"):format(name, table.concat(option, " or "), type(value)))
    end
  end
  return function(name)
    return given[name], "the argument " .. name
  end
end

local function environment(name)
  local variable = "CENTRAL_" .. name:upper()
  local value = not options.get(name).arguments_only and os.getenv(variable)
  if not value or value == "" then
    return nil
  end
  local parsed, problem = options.parse(name, value)
  return parsed, "the environment variable " .. variable, problem
end

local function from_profile(entry)
  for name, value in pairs(entry.options) do
    local option = options.get(name)
    if not option or option.arguments_only or name == "profile" then
      local shown = errors.printable(tostring(name))
      return wrong(shown, entry.from, "there is no such option" .. errors.suggest(shown, options.names))
    elseif type(value) == "function" or not options.fits(name, value) then
      return wrong(name, entry.from, ("a %s is needed, not a %s"):format(option[1], type(value)))
    end
  end
  return function(name)
    return entry.options[name], entry.from
  end
end

-- --- collecting -----------------------------------------------------------------------------------------------------

-- Options that say the same thing in different ways: the first source that sets one overrules the sources below.
local SECRETS = {
  "client_secret", "client_secret_file", "client_secret_command",
  "client_assertion", "client_assertion_file", "client_assertion_command",
}
local ENDPOINTS = { "token_url", "workspace_id" }

local function groups()
  local list, grouped = { SECRETS, ENDPOINTS }, {}
  for _, names in ipairs(list) do
    for _, name in ipairs(names) do
      grouped[name] = true
    end
  end
  for _, name in ipairs(options.names) do
    list[#list + 1] = not grouped[name] and { name } or nil
  end
  return list
end

local GROUPS = groups()

-- The one of `names` that a source sets, checked: name, value, where. Setting two is a mistake.
local function pick_from(source, names)
  local found, value, from
  for _, name in ipairs(names) do
    local candidate, where, problem = source(name)
    if candidate ~= nil and found then
      return wrong(name, where, ("%s says the same thing another way; give one of them"):format(found))
    elseif candidate ~= nil then
      candidate, problem = options.check(name, candidate)
      found, value, from = name, candidate, where
    end
    if problem then
      return wrong(name, where, problem)
    end
  end
  return found, value, from
end

local function collect(sources, lists)
  local values, from = {}, {}
  for _, names in ipairs(lists) do
    for _, source in ipairs(sources) do
      local name, value, where, detail = pick_from(source, names)
      if name then
        values[name], from[name] = value, where
        break
      elseif value then
        return nil, value, where, detail
      end
    end
  end
  values.from = from
  return values
end

-- --- the description --------------------------------------------------------------------------------------------

local KINDS = { [""] = "value", _file = "file", _command = "command" }

-- Takes a secret out of the values: from now on it is native memory, or a way to get it.
local function take_source(values, base, entry)
  for suffix, kind in pairs(KINDS) do
    local name = base .. suffix
    local value, from = values[name], values.from[name]
    values[name] = nil
    if type(value) == "function" then
      return { name = name, from = from, kind = "function", value = value }
    elseif value and kind ~= "value" then
      return { name = name, from = from, kind = kind, value = value }
    elseif value then
      local reload = entry and from == entry.from and function()
        local again = profile.load(entry.name)
        local fresh = again and again.options[name]
        return type(fresh) == "string" and fresh or nil
      end
      return { name = name, from = from, kind = kind, value = core.secret(value), reload = reload or nil }
    end
  end
end

local MISSING = "%s is needed%s: give it as an argument (auth.configure{ %s = … }), in the environment variable"
  .. " CENTRAL_%s, or in the profile %s%s. To create one: sign in to HPE GreenLake, open Manage Workspace, Personal API"
  .. " clients, Create Personal API client, choose Aruba Central, and copy the client id and the client secret, which"
  .. " is shown once"

local function missing(name, alternatives, no_profile)
  local path = profile.path() or "central-auth/config.lua"
  return errors.fail("config", MISSING:format(name, alternatives, name, name:upper(), path,
    no_profile and (" (%s)"):format(no_profile) or ""), { option = name })
end

local function describe(values, entry, no_profile)
  values.secret = take_source(values, "client_secret", entry)
  values.assertion = take_source(values, "client_assertion", entry)
  if not values.client_id then
    return missing("client_id", "", no_profile)
  elseif not (values.secret or values.assertion or values.cert_file) then
    return missing("client_secret", " (or client_secret_file, or client_secret_command)", no_profile)
  elseif values.key_file and not values.cert_file then
    return wrong("key_file", values.from.key_file, "it needs a cert_file beside it")
  end
  local workspace = values.workspace_id
  values.token_url = values.token_url or (workspace and WORKSPACE_URL:format(workspace)) or TOKEN_URL
  values.auth_style = values.auth_style or "post"
  values.timeout = values.timeout or 30
  values.connect_timeout = math.min(values.connect_timeout or 10, values.timeout)
  values.user_agent = values.user_agent or ("central-auth/%s (%s)"):format(config.VERSION, _VERSION)
  return values
end

--- Options from all sources, checked. Mistakes in the argument table itself raise.
---@param given central.auth.Options
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.resolve(given)
  local sources = { arguments(given), environment }
  local chosen, message, code, detail = collect(sources, { { "profile" } })
  if not chosen then
    return nil, message, code, detail
  end
  local entry
  entry, message, code, detail = profile.load(chosen.profile)
  local no_profile = not entry and message or nil
  if entry then
    sources[3], message, code, detail = from_profile(entry)
  end
  if code then
    return nil, message, code, detail
  end
  local values
  values, message, code, detail = collect(sources, GROUPS)
  if not values then
    return nil, message, code, detail
  end
  return describe(values, entry, no_profile)
end

return config

-- Options from arguments, then the environment, then a profile -> one checked, immutable description of how to get a
-- token. Each mistake is named with its option and its source. Knows no network.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"

local clusters = lazy "central.auth.config.clusters"
local errors = lazy "central.auth.errors"
local profile = lazy "central.auth.config.profile"
local text_value = lazy "central.auth.config.text_value"

---@class central.auth.Config: central.auth.Options
---@field secret? central.auth.Source
---@field assertion? central.auth.Source
---@field cache_secret? central.auth.Source
---@field from table<string, string> where each option was set

local config = {}

config.VERSION = "1.0.0"

local TOKEN_URL = "https://sso.common.cloud.hpe.com/as/token.oauth2"
local GREENLAKE_URL = "https://global.api.greenlake.hpe.com"
local WORKSPACE_PATH = "/authorization/v2/oauth2/%s/token"

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
    local value = given[name]
    return value, value ~= nil and "the argument " .. name or nil
  end
end

local function environment(name)
  local option, variable, problem = options.get(name), "CENTRAL_" .. name:upper(), nil
  local value = not option.arguments_only and os.getenv(variable)
  if not value or value == "" then
    return nil
  elseif option.text then
    value, problem = text_value[option.text](value)
  end
  return value, "the environment variable " .. variable, problem
end

local function from_profile(entry)
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
local BASES = { "base_url", "cluster" }
local CACHE_PASSWORDS = { "cache_password", "cache_password_file" }

local function groups()
  local list, grouped = { SECRETS, ENDPOINTS, BASES, CACHE_PASSWORDS }, {}
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
      return errors.wrong(name, where, ("%s says the same thing another way; give one of them"):format(found))
    elseif candidate ~= nil then
      candidate, problem = options.check(name, candidate)
      found, value, from = name, candidate, where
    end
    if problem then
      return errors.wrong(name, where, problem)
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
  local path = paths.profiles() or "central-auth/config.lua"
  return errors.fail("config", MISSING:format(name, alternatives, name, name:upper(), path,
    no_profile and (" (%s)"):format(no_profile) or ""), { option = name })
end

--- GreenLake's token endpoint of a workspace.
---@param values { greenlake_url: string }
---@param workspace string
---@return string
function config.workspace_url(values, workspace)
  return values.greenlake_url .. WORKSPACE_PATH:format(workspace)
end

--- Where API calls go; nil where neither base_url nor cluster says.
---@param values { base_url?: string, cluster?: string }
---@return string?
function config.base_url(values)
  return values.base_url or values.cluster and clusters.base_url(values.cluster) or nil
end

local function describe(values, entry, no_profile)
  values.secret = take_source(values, "client_secret", entry)
  values.assertion = take_source(values, "client_assertion", entry)
  values.cache_secret = take_source(values, "cache_password", entry)
  if not values.client_id then
    return missing("client_id", "", no_profile)
  elseif not (values.secret or values.assertion or values.cert_file) then
    return missing("client_secret", " (or client_secret_file, or client_secret_command)", no_profile)
  elseif values.key_file and not values.cert_file then
    return errors.wrong("key_file", values.from.key_file, "it needs a cert_file beside it")
  end
  local workspace = values.workspace_id
  values.greenlake_url = values.greenlake_url or GREENLAKE_URL
  values.token_url = values.token_url or (workspace and config.workspace_url(values, workspace)) or TOKEN_URL
  values.base_url = config.base_url(values)
  values.auth_style = values.auth_style or "post"
  values.timeout = values.timeout or 30
  values.connect_timeout = math.min(values.connect_timeout or 10, values.timeout)
  values.user_agent = values.user_agent or ("central-auth/%s (%s)"):format(config.VERSION, _VERSION)
  return values
end

local ENOENT = 2

-- Most have no profiles; then there is no need to load what reads them.
local function may_exist(path)
  local file, _, errno = io.open(path or "", "rb")
  if file then
    file:close()
  end
  return path ~= nil and errno ~= ENOENT
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
  if chosen.profile or chosen.profile == nil and may_exist(paths.profiles()) then
    entry, message, code, detail = profile.load(chosen.profile)
  end
  local no_profile = not entry and message or nil
  if entry then
    sources[3] = from_profile(entry)
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

-- Merges the options of arguments, environment and profile, in this order of precedence, into one configuration, and
-- checks it. An invalid value is reported with its option and its source. Makes no requests.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"

local clusters = lazy "central.auth.config.clusters"
local errors = lazy "central.auth.errors"
local problems = lazy "central.auth.config.problems"
local profile = lazy "central.auth.config.profile"
local text_value = lazy "central.auth.config.text_value"
local validate = lazy "central.auth.config.validate"

---@class central.auth.Config: central.auth.Options
---@field ready_made? central.auth.Source of a ready-made token; then there is no other credential
---@field secret? central.auth.Source
---@field assertion? central.auth.Source
---@field cache_secret? central.auth.Source
---@field from table<string, string> where each option was set
---@field trace? boolean requests are traced

local config = {}

config.VERSION = "1.0.0"

local TOKEN_URL = "https://sso.common.cloud.hpe.com/as/token.oauth2"
local GREENLAKE_URL = "https://global.api.greenlake.hpe.com"
local WORKSPACE_PATH = "/authorization/v2/oauth2/%s/token"

-- --- sources --------------------------------------------------------------------------------------------------------

--- Takes an option's name; returns its value, where it was set, and the problem with it.
---@alias central.auth.OptionSource fun(name: string): any, string?, string?

-- The arguments as a source of options. Raises if they are not valid.
local function arguments(given)
  local is_valid = type(given) == "table"
  for name, value in pairs(is_valid and given or {}) do
    is_valid = is_valid and options.has_type(name, value)
  end
  if not is_valid then
    problems.raise(given)
  end
  return function(name)
    local value = given[name]
    return value, value ~= nil and "the argument " .. name or nil
  end
end

--- The environment as a source of options.
---@type central.auth.OptionSource
function config.environment(name)
  local option, variable, problem = options.get(name), "CENTRAL_" .. name:upper(), nil
  local value = not option.arguments_only and os.getenv(variable)
  if not value or value == "" then
    return nil
  elseif option.parse then
    value, problem = text_value[option.parse](value)
  end
  return value, "the environment variable " .. variable, problem
end

--- Makes a source of a table of options.
---@param values table<string, any>
---@param from string | table<string, string> where they were set: one place for all, or one for each
---@return central.auth.OptionSource
function config.source(values, from)
  return function(name)
    return values[name], type(from) == "table" and from[name] or from
  end
end

-- --- collecting -----------------------------------------------------------------------------------------------------

-- Alternative options: the first source that sets one of a group overrides the whole group of later sources.
local SECRETS = {
  "client_secret", "client_secret_file", "client_secret_command",
  "client_assertion", "client_assertion_file", "client_assertion_command",
  "access_token", "access_token_file", "access_token_command",
}
local ENDPOINTS = { "token_url", "workspace_id" }
local BASES = { "base_url", "cluster" }
local CACHE_PASSWORDS = { "cache_password", "cache_password_file" }

local function all_groups()
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

local ALL_GROUPS, PROFILE_ONLY = all_groups(), { { "profile" } }

--- Checks the value of an option; returns the value to be used, or nil and the problem.
---@param name string
---@param value any
---@return any value
---@return string? problem
function config.check(name, value)
  local check = options.get(name).check
  if check then
    return (options.checks[check] or validate[check])(value)
  end
  return value
end

-- Returns the option of a group that a source sets: its name, its checked value, and where it was set. Fails if the
-- source sets two.
local function pick_from(source, names)
  local found, value, from
  for _, name in ipairs(names) do
    local candidate, where, problem = source(name)
    if candidate ~= nil and found then
      return errors.invalid_option(name, where, ("conflicts with %s; set only one of them"):format(found))
    elseif candidate ~= nil then
      candidate, problem = config.check(name, candidate)
      found, value, from = name, candidate, where
    end
    if problem then
      return errors.invalid_option(name, where, problem)
    end
  end
  return found, value, from
end

--- Merges sources, given in order of precedence, and checks the values. `from` in the result has the place where each
--- was set.
---@param sources central.auth.OptionSource[]
---@param groups? string[][] options by groups of alternatives; default: all options
---@return table<string, any>? values
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.collect(sources, groups)
  local values, from = {}, {}
  for _, names in ipairs(groups or ALL_GROUPS) do
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

-- --- the configuration ------------------------------------------------------------------------------------------

local KINDS = { [""] = "value", _file = "file", _command = "command" }

-- Removes a secret from the values, and returns its source: the secret in native memory, or the way to read it.
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
      local reload = entry and from == entry.from and profile.reader(entry.name, name) or nil
      return { name = name, from = from, kind = kind, value = core.secret(value), reload = reload }
    end
  end
end

--- Returns GreenLake's token endpoint of a workspace.
---@param values { greenlake_url: string }
---@param workspace string
---@return string
function config.workspace_url(values, workspace)
  return values.greenlake_url .. WORKSPACE_PATH:format(workspace)
end

--- Returns the base URL of API calls; nil if neither base_url nor cluster is set.
---@param values { base_url?: string, cluster?: string }
---@return string?
function config.base_url(values)
  return values.base_url or values.cluster and clusters.base_url(values.cluster) or nil
end

--- Completes collected values to a configuration, in the same table.
---@param values table<string, any>
---@param entry? central.auth.Profile the source of some values
---@param no_profile? string why no profile was used
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.complete(values, entry, no_profile)
  values.ready_made = take_source(values, "access_token", entry)
  values.secret = take_source(values, "client_secret", entry)
  values.assertion = take_source(values, "client_assertion", entry)
  values.cache_secret = take_source(values, "cache_password", entry)
  local can_authenticate = values.secret or values.assertion or values.cert_file
  if values.ready_made then
    values.client_id, values.token_url, values.workspace_id = nil, nil, nil -- nothing is asked there
  elseif not values.client_id then
    return problems.missing(can_authenticate and "client_id" or nil, entry, no_profile)
  elseif not can_authenticate then
    return problems.missing("client_secret", entry, no_profile)
  end
  if values.key_file and not values.cert_file then
    return errors.invalid_option("key_file", values.from.key_file, "cert_file is not set; set both")
  end
  local workspace = values.workspace_id
  values.greenlake_url = values.greenlake_url or GREENLAKE_URL
  values.token_url = values.token_url or workspace and config.workspace_url(values, workspace)
    or not values.ready_made and TOKEN_URL or nil
  values.base_url = config.base_url(values)
  values.auth_style = values.auth_style or "post"
  values.timeout = values.timeout or 30
  values.connect_timeout = math.min(values.connect_timeout or 10, values.timeout)
  values.user_agent = values.user_agent or ("central-auth/%s (%s)"):format(config.VERSION, _VERSION)
  values.trace = values.log and values.log ~= "info" or nil
  return values
end

local ENOENT = 2

-- Most programs use no profile: with this check they need not load the module that reads it.
local function may_exist(path)
  local file, _, errno = io.open(path or "", "rb")
  if file then
    file:close()
  end
  return path ~= nil and errno ~= ENOENT
end

--- Returns the profile to be used: its name; false: none; nil: the default one, if it exists.
---@param given central.auth.Options
---@return { profile?: string | false }? chosen
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.choose_profile(given)
  return config.collect({ arguments(given), config.environment }, PROFILE_ONLY)
end

--- Merges and checks the options of all sources. Raises if the argument table has unknown names or wrong types.
---@param given central.auth.Options
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.resolve(given)
  local sources = { arguments(given), config.environment }
  local chosen, message, code, detail = config.collect(sources, PROFILE_ONLY)
  if not chosen then
    return nil, message, code, detail
  end
  local entry
  if chosen.profile or chosen.profile == nil and may_exist(paths.profile(paths.DEFAULT_PROFILE)) then
    entry, message, code, detail = profile.load(chosen.profile)
  end
  if code then
    return nil, message, code, detail
  end
  local values
  local no_profile = message
  sources[3] = entry and config.source(entry.options, entry.from)
  values, message, code, detail = config.collect(sources)
  if not values then
    return nil, message, code, detail
  end
  return config.complete(values, entry, no_profile)
end

return config

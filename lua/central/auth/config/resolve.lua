-- Merges the options of arguments, environment and profile, in this order of precedence, into one configuration, and
-- checks it. An invalid value is reported with its option and its source. Makes no requests. Failures are raised; only
-- `resolve` returns them.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"
local util = require "central.auth.util"

local lazy, sorted_names = util.lazy, util.sorted_names

local errors = lazy "central.auth.errors"
local profile = lazy "central.auth.config.profile"

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

---@class central.auth.OptionSource
---@field values table<string, any>
---@field from string | table<string, string> | fun(name: string): string where they were set
---@field is_text? boolean the values are texts, to be parsed

-- The arguments as a source of options. Raises if they are not valid.
local function arguments(given)
  local is_valid = type(given) == "table"
  for name, value in pairs(is_valid and given or {}) do
    is_valid = is_valid and options.has_type(name, value)
  end
  if not is_valid then
    require("central.auth.config.problems").raise(given)
  end
  return { values = given, from = function(name) return "the argument " .. name end }
end

--- Returns the environment as a source of options.
---@return central.auth.OptionSource
function config.environment()
  local values = {}
  for variable, value in pairs(core.variables "CENTRAL_") do
    local name = variable:lower()
    local option = variable == name:upper() and options.get(name)
    values[name] = option and not option.arguments_only and value or nil
  end
  return { values = values, from = config.variable, is_text = true }
end

--- Returns where an option of the environment was set, for messages.
---@param name string
---@return string
function config.variable(name)
  return "the environment variable CENTRAL_" .. name:upper()
end

-- --- collecting -----------------------------------------------------------------------------------------------------

-- Alternative options: the first source that sets one of a group overrides the whole group of later sources.
local GROUPS = {
  client_secret = "secret", client_secret_file = "secret", client_secret_command = "secret",
  client_assertion = "secret", client_assertion_file = "secret", client_assertion_command = "secret",
  access_token = "secret", access_token_file = "secret", access_token_command = "secret",
  token_url = "endpoint", workspace_id = "endpoint", base_url = "base", cluster = "base",
  cache_password = "password", cache_password_file = "password",
}

-- Returns the checked value of an option that a source sets, and where it was set; or nil, where, and the problem.
local function read(source, name)
  local value, from, problem = source.values[name], source.from, nil
  local parse = source.is_text and options.get(name).parse
  if parse then
    value, problem = require("central.auth.config.text_value")[parse](value)
  end
  if not problem then
    value, problem = options.check(name, value)
  end
  return value, type(from) == "function" and from(name) or type(from) == "table" and from[name] or from, problem
end

--- Merges sources, given in order of precedence, and checks the values. `from` in the result has the place where each
--- was set.
---@param sources central.auth.OptionSource[]
---@param only? string this option; default: all options
---@return table<string, any> values
function config.collect(sources, only)
  local values, from, first, owner = {}, {}, {}, {} -- the last two by group: the option that is set, and its source
  for _, source in ipairs(sources) do
    local uses_mutual_tls = values.client_id and values.cert_file -- credentials, too, but a secret may be added
    for _, name in ipairs(only and { only } or sorted_names(source.values)) do
      local group = GROUPS[name] or name
      local is_overridden = owner[group] and owner[group] ~= source or uses_mutual_tls and name:find "^access_token"
      if source.values[name] ~= nil and not is_overridden and options.get(name) then
        local value, where, problem = read(source, name)
        if first[group] then
          local advice = source.from == config.variable and "unset CENTRAL_%s or CENTRAL_%s" or "set only one of them"
          problem = ("conflicts with %s; " .. advice):format(first[group], first[group]:upper(), name:upper())
        end
        if problem then
          error(errors.invalid_option(name, where, problem), 0)
        end
        values[name], from[name], first[group], owner[group] = value, where, name, source
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
  return values.base_url or values.cluster and require("central.auth.config.clusters").base_url(values.cluster) or nil
end

--- Completes collected values to a configuration, in the same table.
---@param values table<string, any>
---@param entry? central.auth.Profile the source of some values
---@param no_profile? string why no profile was used
---@return central.auth.Config config
function config.complete(values, entry, no_profile)
  values.ready_made = take_source(values, "access_token", entry)
  values.secret = take_source(values, "client_secret", entry)
  values.assertion = take_source(values, "client_assertion", entry)
  values.cache_secret = take_source(values, "cache_password", entry)
  local can_authenticate = values.secret or values.assertion or values.cert_file
  if values.ready_made then
    values.client_id, values.token_url, values.workspace_id = nil, nil, nil -- nothing is asked there
  elseif not (values.client_id and can_authenticate) then
    local missing = values.client_id and "client_secret" or can_authenticate and "client_id" or nil
    require("central.auth.config.problems").missing(missing, entry, no_profile)
  end
  if values.key_file and not values.cert_file then
    error(errors.invalid_option("key_file", values.from.key_file, "cert_file is not set; set both"), 0)
  end
  local workspace = values.workspace_id
  values.greenlake_url = values.greenlake_url or GREENLAKE_URL
  values.token_url = values.token_url or workspace and config.workspace_url(values, workspace)
    or not values.ready_made and TOKEN_URL or nil
  values.base_url = config.base_url(values)
  values.auth_style = values.auth_style or "post"
  values.timeout = values.timeout or 30
  values.connect_timeout = math.min(values.connect_timeout or 10, values.timeout)
  values.user_agent = values.user_agent or "central-auth/" .. config.VERSION
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
---@return { profile?: string | false } chosen
function config.choose_profile(given)
  return config.collect({ arguments(given), config.environment() }, "profile")
end

local function resolve(given)
  local sources = { arguments(given), config.environment() }
  local chosen = config.collect(sources, "profile")
  local entry, no_profile
  if chosen.profile or chosen.profile == nil and may_exist(paths.profile(paths.DEFAULT_PROFILE)) then
    entry, no_profile = profile.load(chosen.profile)
  elseif chosen.profile == false then
    no_profile = "turned off by " .. chosen.from.profile
  end
  sources[3] = entry and { values = entry.options, from = entry.from }
  return config.complete(config.collect(sources), entry, no_profile)
end

--- Merges and checks the options of all sources. Raises if the argument table has unknown names or wrong types.
---@param given central.auth.Options
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.resolve(given)
  local ok, result = pcall(resolve, given) -- as errors.catch does; a start without a failure need not load that module
  if ok then
    return result
  end
  return errors.unpack_raised(result)
end

return config

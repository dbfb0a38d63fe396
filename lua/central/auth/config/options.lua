-- The table of options: for each option its Lua types and the check of its value. config/types documents the options.
-- SPDX-License-Identifier: MIT

local util = require "central.auth.util"

local lazy, sorted_names = util.lazy, util.sorted_names

local redis_url = lazy "central.auth.config.redis_url"
local url = lazy "central.auth.url"

local options = {}

-- --- checks: each takes a value as it was set, and returns the value to be used, or nil and the problem ------------

local checks = {}

--- Checks a text: it is not empty and has no control characters.
---@param value string
---@return string? value
---@return string? problem
function checks.text(value)
  if value == "" then
    return nil, "the value is empty"
  end
  local position = value:find("[%c\x7F]")
  if position then
    return nil, ("byte %d is a control character"):format(position)
  end
  return value
end

--- Checks a URL to which secrets may be sent.
---@param value string
---@return string? value
---@return string? problem
function checks.url(value)
  local port = value:match "^https://[A-Za-z0-9.-]+:?([0-9]*)/[A-Za-z0-9/._-]*$"
  if port == "" or port and tonumber(port) >= 1 and tonumber(port) <= 65535 then
    return value -- most are this simple, and need no module that takes URLs apart
  end
  local checked, problem = checks.text(value)
  local origin, host = nil, nil
  if checked then
    origin, host = url.split(value)
    problem = not origin and host or url.problem(value)
  end
  if not problem and not origin:find("^https:") and not (origin:find("^http:") and url.is_loopback(host)) then
    problem = "use https:// (http:// is allowed for the loopback address only)"
  end
  return not problem and value or nil, problem
end

--- Checks the path of a file that this process can open.
---@param value string
---@return string? value
---@return string? problem
function checks.readable(value)
  local checked, problem = checks.text(value)
  local file, why = io.open(checked or "", "rb")
  if not file then
    return nil, problem or why
  end
  file:close()
  return value
end

--- Checks the place of the shared token: a folder, or the URL of a Redis server; true: the default folder; false: none.
---@param value boolean | string
---@return boolean | string | nil value
---@return string? problem
function checks.cache(value)
  if type(value) == "string" and value:find("^redis") then
    return redis_url.check(value)
  elseif type(value) == "string" and not value:find("^/") then
    return nil, "an absolute path, the URL of a Redis server (redis://host) or false expected"
  end
  return value == true and true or value and checks.text(value)
end

--- The checks of the options that most programs set; config/validate has the others.
---@type table<string, fun(value: any): any, string?>
options.checks = checks

-- --- the options --------------------------------------------------------------------------------------------------

-- For each option: the Lua types that an argument may have; after a colon the name of its check; after another one the
-- function of text_value that parses a value of the environment, unless it is a string. An option that is always a
-- function can be set by arguments only. As texts they cost a start less than tables.
local OPTIONS = {
  access_token = "string function",
  access_token_file = "string: text",
  access_token_command = "string: text",
  client_id = "string: text",
  client_secret = "string function",
  client_secret_file = "string: text",
  client_secret_command = "string: text",
  client_assertion = "string function",
  client_assertion_file = "string: text",
  client_assertion_command = "string: text",
  token_url = "string: url",
  workspace_id = "string: workspace",
  base_url = "string: base_url",
  cluster = "string: cluster",
  hosts = "string table: hosts: words",
  greenlake_url = "string: base_url",
  revocation_url = "string: url",
  scope = "string table: scope",
  audience = "string table: texts: words",
  resource = "string table: texts: words",
  params = "table: params: fields",
  auth_style = "string: auth_style",
  cert_file = "string: readable",
  key_file = "string: readable",
  ca_file = "string: readable",
  ca_path = "string: readable",
  crl_file = "string: readable",
  proxy = "string: proxy",
  timeout = "number: hour: duration",
  connect_timeout = "number: hour: duration",
  renew_before = "number: day: duration",
  user_agent = "string: header_text",
  cache = "boolean string: cache: switch",
  cache_password = "string",
  cache_password_file = "string: text",
  profile = "string boolean: profile: profile",
  log = "string function: log",
  on_event = "function",
  wait = "function",
}

--- Returns the names of all options in alphabetical order.
---@return string[]
function options.names()
  return sorted_names(OPTIONS)
end

---@class central.auth.Option
---@field types string its Lua types: "boolean or string"
---@field check? string the name of its check
---@field parse? string the function of text_value that parses a value of the environment
---@field arguments_only boolean

--- Returns an option; nil if there is none with this name.
---@param name any
---@return central.auth.Option?
function options.get(name)
  local types, check, parse = (OPTIONS[name] or ""):match "^([%l ]+):? ?([%l_]*):? ?(%l*)$"
  return types and {
    types = types:gsub(" ", " or "), check = check ~= "" and check or nil, parse = parse ~= "" and parse or nil,
    arguments_only = types == "function",
  } or nil
end

--- Returns whether there is an option with this name, and the value has one of its Lua types.
---@param name any
---@param value any
---@return boolean
function options.has_type(name, value)
  local option = options.get(name)
  return option ~= nil and option.types:find(type(value), 1, true) ~= nil
end

return options

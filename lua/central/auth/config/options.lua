-- The table of options: for each option its Lua types and the check of its value. config/types documents the options.
-- SPDX-License-Identifier: MIT

local options = {}

-- --- values that are plainly valid -----------------------------------------------------------------------------------

-- Most values are so simple that a start need not load config/validate, which has the checks.
local plain = {}

function plain.text(value)
  return value ~= "" and not value:find "[%c\x7F]"
end

function plain.url(value)
  local port = value:match "^https://[A-Za-z0-9.-]+:?([0-9]*)%f[/\0][A-Za-z0-9/._-]*$"
  return port == "" or port and tonumber(port) >= 1 and tonumber(port) <= 65535
end

-- Not where validate might find a gateway of classic Central, or removes the slash at the end.
function plain.base_url(value)
  return plain.url(value) and not value:lower():find "api[g-]" and not value:find "/$"
end

function plain.readable(value)
  local file = plain.text(value) and io.open(value, "rb")
  return file and file:close()
end

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
  return require("central.auth.util").sorted_names(OPTIONS)
end

---@class central.auth.Option
---@field types string its Lua types: "boolean string"
---@field check? string the name of its check
---@field parse? string the function of text_value that parses a value of the environment
---@field arguments_only boolean

local known = {} -- options that were asked for

local function parse(row)
  local types, check, parser = row:match "^([^:]+):? ?([^:]*):? ?(.*)"
  return {
    types = types, check = check ~= "" and check or nil, parse = parser ~= "" and parser or nil,
    arguments_only = types == "function",
  }
end

--- Returns an option; nil if there is none with this name.
---@param name any
---@return central.auth.Option?
function options.get(name)
  if OPTIONS[name] and not known[name] then
    known[name] = parse(OPTIONS[name])
  end
  return known[name]
end

--- Checks the value of an option; returns the value to be used, or nil and the problem.
---@param name string
---@param value any of one of its types
---@return any value
---@return string? problem
function options.check(name, value)
  local check = options.get(name).check
  if not check or plain[check] and plain[check](value) then
    return value
  end
  return require("central.auth.config.validate")[check](value)
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

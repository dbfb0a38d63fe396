-- The table of options: for each option its Lua types and the check of its value. config/types documents the options.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

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

-- For each option: the Lua types that an argument may have, the name of its check, and the function of text_value that
-- parses a value of the environment, unless it is a string.
local OPTIONS = {
  access_token = { "string", "function" },
  access_token_file = { "string", check = "text" },
  access_token_command = { "string", check = "text" },
  client_id = { "string", check = "text" },
  client_secret = { "string", "function" },
  client_secret_file = { "string", check = "text" },
  client_secret_command = { "string", check = "text" },
  client_assertion = { "string", "function" },
  client_assertion_file = { "string", check = "text" },
  client_assertion_command = { "string", check = "text" },
  token_url = { "string", check = "url" },
  workspace_id = { "string", check = "workspace" },
  base_url = { "string", check = "base_url" },
  cluster = { "string", check = "cluster" },
  hosts = { "string", "table", check = "hosts", parse = "words" },
  greenlake_url = { "string", check = "base_url" },
  revocation_url = { "string", check = "url" },
  scope = { "string", "table", check = "scope" },
  audience = { "string", "table", check = "texts", parse = "words" },
  resource = { "string", "table", check = "texts", parse = "words" },
  params = { "table", check = "params", parse = "fields" },
  auth_style = { "string", check = "auth_style" },
  cert_file = { "string", check = "readable" },
  key_file = { "string", check = "readable" },
  ca_file = { "string", check = "readable" },
  ca_path = { "string", check = "readable" },
  crl_file = { "string", check = "readable" },
  proxy = { "string", check = "proxy" },
  timeout = { "number", check = "hour", parse = "duration" },
  connect_timeout = { "number", check = "hour", parse = "duration" },
  renew_before = { "number", check = "day", parse = "duration" },
  user_agent = { "string", check = "header_text" },
  cache = { "boolean", "string", check = "cache", parse = "switch" },
  cache_password = { "string" },
  cache_password_file = { "string", check = "text" },
  profile = { "string", "boolean", check = "profile", parse = "profile" },
  log = { "string", "function", check = "log" },
  on_event = { "function", arguments_only = true },
  wait = { "function", arguments_only = true },
}

options.names = {}
for name in pairs(OPTIONS) do
  options.names[#options.names + 1] = name
end
table.sort(options.names)

--- Returns the row of an option; nil if there is no option with this name.
---@param name any
---@return table?
function options.get(name)
  return OPTIONS[name]
end

--- Returns whether there is an option with this name, and the value has one of its Lua types.
---@param name any
---@param value any
---@return boolean
function options.has_type(name, value)
  for _, kind in ipairs(OPTIONS[name] or {}) do
    if type(value) == kind then
      return true
    end
  end
  return false
end

return options

-- The options: the types of each and the check of its value. One table, one row per option; config/types says what
-- they are for.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

local redis_url = lazy "central.auth.config.redis_url"
local url = lazy "central.auth.url"

local options = {}

-- --- the usual checks: from a value as it was set to the value as it is used, or nil and the problem ---------------

local checks = {}

--- Text without control characters.
---@param value string
---@return string? value
---@return string? problem
function checks.text(value)
  if value == "" then
    return nil, "it is empty"
  end
  local position = value:find("[%c\x7F]")
  if position then
    return nil, ("byte %d is a control character"):format(position)
  end
  return value
end

--- A URL that secrets may be sent to.
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
    problem = "only https:// is safe (http:// works for the loopback address alone)"
  end
  return not problem and value or nil, problem
end

--- The path of a file that this process can open.
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

--- Where tokens are shared: a folder, or the URL of a Redis server; true: the usual folder; false: nowhere.
---@param value boolean | string
---@return boolean | string | nil value
---@return string? problem
function checks.cache(value)
  if type(value) == "string" and value:find("^redis") then
    return redis_url.check(value)
  elseif type(value) == "string" and not value:find("^/") then
    return nil, "an absolute path or the URL of a Redis server (redis://host) is needed, or false"
  end
  return value == true and true or value and checks.text(value)
end

--- The checks of the options that most programs set; config/validate has the others.
---@type table<string, fun(value: any): any, string?>
options.checks = checks

-- --- the options --------------------------------------------------------------------------------------------------

-- For each option: the Lua types that an argument may have, the name of its check, and the function of text_value that
-- parses a value of the environment, if it is not a string.
local OPTIONS = {
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
  hosts = { "string", "table", check = "hosts", text = "words" },
  greenlake_url = { "string", check = "base_url" },
  revocation_url = { "string", check = "url" },
  scope = { "string", "table", check = "scope" },
  audience = { "string", "table", check = "texts", text = "words" },
  resource = { "string", "table", check = "texts", text = "words" },
  params = { "table", check = "params", text = "fields" },
  auth_style = { "string", check = "auth_style" },
  cert_file = { "string", check = "readable" },
  key_file = { "string", check = "readable" },
  ca_file = { "string", check = "readable" },
  ca_path = { "string", check = "readable" },
  crl_file = { "string", check = "readable" },
  proxy = { "string", check = "proxy" },
  timeout = { "number", check = "hour", text = "number" },
  connect_timeout = { "number", check = "hour", text = "number" },
  renew_before = { "number", check = "day", text = "number" },
  user_agent = { "string", check = "header_text" },
  cache = { "boolean", "string", check = "cache", text = "switch" },
  cache_password = { "string" },
  cache_password_file = { "string", check = "text" },
  profile = { "string", "boolean", check = "profile" },
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

--- Returns whether there is an option with this name, and a value has one of its Lua types.
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

-- Options: from arguments, then the environment, then a profile -> one checked, immutable description of how to get a
-- token. Each mistake is named with its option and its source. Knows no network.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local grant = require "central.auth.grant"
local profile = require "central.auth.profile"

---@class central.auth.Options
---@field client_id? string
---@field client_secret? string | fun(): string
---@field client_secret_file? string path of a file that holds the secret and nothing else, mode 0600
---@field client_secret_command? string shell command that prints the secret
---@field client_assertion? string | fun(): string a signed JWT in place of a secret (RFC 7523), read anew for each try
---@field client_assertion_file? string
---@field client_assertion_command? string
---@field token_url? string
---@field workspace_id? string takes GreenLake's endpoint of this workspace
---@field scope? string | string[]
---@field audience? string | string[]
---@field resource? string | string[]
---@field params? table<string, string | string[]> further form fields
---@field auth_style? "post" | "basic" | "basic_raw"
---@field cert_file? string PEM, for mutual TLS
---@field key_file? string
---@field ca_file? string PEM, in place of the system's trust store
---@field ca_path? string
---@field crl_file? string
---@field proxy? string
---@field timeout? number seconds, over everything one call may wait for
---@field connect_timeout? number seconds
---@field renew_before? number seconds before expiry
---@field user_agent? string
---@field profile? string
---@field on_event? fun(event: table)

---@class central.auth.Config: central.auth.Options
---@field secret? central.auth.Source
---@field assertion? central.auth.Source
---@field from table<string, string> where each option was set

local config = {}

config.VERSION = "0.1.0"

local TOKEN_URL = "https://sso.common.cloud.hpe.com/as/token.oauth2"
local WORKSPACE_URL = "https://global.api.greenlake.hpe.com/authorization/v2/oauth2/%s/token"

-- --- checks: a value as it came -> the value as it is used, or nil and what is wrong ------------------------------

local function text(value)
  if value == "" then
    return nil, "it is empty"
  end
  local position = value:find("[%c\x7F]")
  if position then
    return nil, ("byte %d is a control character"):format(position)
  end
  return value
end

local LOOPBACK = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }

local function url(value)
  local _, problem = text(value)
  local scheme, authority = value:match("^(%a+)://([^/?#]+)")
  if problem then
    return nil, problem
  elseif not scheme or value:find("%s") then
    return nil, "it is no URL like https://host/path"
  elseif authority:find("@", 1, true) then
    return nil, "it carries a user name or password; use client_id and client_secret"
  elseif value:find("#", 1, true) then
    return nil, "it has a fragment (#…), which RFC 6749 forbids"
  end
  local host = authority:match("^(%[[%x:.]+%])") or authority:match("^[^:]+")
  if scheme:lower() ~= "https" and not (scheme:lower() == "http" and LOOPBACK[host]) then
    return nil, "only https:// is safe (http:// works for the loopback address alone)"
  end
  return value
end

local function proxy(value)
  local checked, problem = text(value)
  if not checked or value:find("%s") then
    return nil, problem or "it holds a space"
  end
  return value
end

local function header_text(value)
  if value:find("[^\x20-\x7E]") then
    return nil, "a header takes printable ASCII only"
  end
  return text(value)
end

local function seconds(limit)
  return function(value)
    if value ~= value or value <= 0 or value > limit then
      return nil, ("a number of seconds above 0 and up to %d is needed"):format(limit)
    end
    return value
  end
end

local function readable(value)
  local checked, problem = text(value)
  local file, why = io.open(checked or "", "rb")
  if not file then
    return nil, problem or why
  end
  file:close()
  return value
end

local function one_of(...)
  local known = { ... }
  return function(value)
    for _, name in ipairs(known) do
      if value == name then
        return value
      end
    end
    return nil, ("%q is none of %s%s"):format(errors.printable(value), table.concat(known, ", "),
      errors.suggest(value, known))
  end
end

local function texts(value)
  if type(value) == "string" then
    return text(value)
  end
  local copy = {}
  for i, item in ipairs(value) do
    local checked, problem = text(type(item) == "string" and item or "")
    if not checked then
      return nil, ("item %d: %s"):format(i, type(item) == "string" and problem or "a string is needed")
    end
    copy[i] = checked
  end
  if #copy == 0 or next(value, #copy) ~= nil then
    return nil, "a string or a list of strings is needed"
  end
  return copy
end

local function scope(value)
  local checked, problem = texts(value)
  if type(checked) == "table" then
    checked = table.concat(checked, " ")
  end
  if checked and checked:find('[^\x20-\x7E]') or checked and checked:find('["\\]') then
    return nil, "a scope is printable ASCII without quotes or backslashes (RFC 6749, 3.3)"
  end
  return checked, problem
end

local function params(value)
  local copy = {}
  for name, item in pairs(value) do
    if type(name) ~= "string" or not text(name) then
      return nil, "the name of each field must be a string without control characters"
    elseif grant.reserved[name] then
      return nil, ("%s has an option of its own"):format(name)
    end
    local checked, problem = nil, "a string or a list of strings is needed"
    if type(item) == "string" or type(item) == "table" then
      checked, problem = texts(item)
    end
    if not checked then
      return nil, ("%s: %s"):format(errors.printable(name), problem)
    end
    copy[name] = checked
  end
  return copy
end

local function workspace(value)
  if not value:find("^[%w_-]+$") then
    return nil, "a workspace id has letters, digits and dashes only"
  end
  return value
end

-- --- the options --------------------------------------------------------------------------------------------------

-- Each: the Lua types an argument may have, and the check of its content.
local OPTIONS = {
  client_id = { "string", check = text },
  client_secret = { "string", "function" },
  client_secret_file = { "string", check = text },
  client_secret_command = { "string", check = text },
  client_assertion = { "string", "function" },
  client_assertion_file = { "string", check = text },
  client_assertion_command = { "string", check = text },
  token_url = { "string", check = url },
  workspace_id = { "string", check = workspace },
  scope = { "string", "table", check = scope },
  audience = { "string", "table", check = texts },
  resource = { "string", "table", check = texts },
  params = { "table", check = params },
  auth_style = { "string", check = one_of("post", "basic", "basic_raw") },
  cert_file = { "string", check = readable },
  key_file = { "string", check = readable },
  ca_file = { "string", check = readable },
  ca_path = { "string", check = readable },
  crl_file = { "string", check = readable },
  proxy = { "string", check = proxy },
  timeout = { "number", check = seconds(3600) },
  connect_timeout = { "number", check = seconds(3600) },
  renew_before = { "number", check = seconds(86400) },
  user_agent = { "string", check = header_text },
  profile = { "string", check = text },
  on_event = { "function", arguments_only = true },
}

local NAMES = {}
for name in pairs(OPTIONS) do
  NAMES[#NAMES + 1] = name
end
table.sort(NAMES)
config.names = NAMES

-- Options that say the same thing in different ways: whoever sets one of them overrules the others below.
local ALTERNATIVES = {
  {
    "client_secret", "client_secret_file", "client_secret_command",
    "client_assertion", "client_assertion_file", "client_assertion_command",
  },
  { "token_url", "workspace_id" },
}

local function fits(option, value)
  for _, name in ipairs(option) do
    if type(value) == name then
      return true
    end
  end
  return false
end

local function wrong(name, from, message)
  return errors.fail("config", ("%s (from %s): %s"):format(name, from, message), { option = name, source = from })
end

-- --- sources: name -> value, where it came from -------------------------------------------------------------------

-- Arguments are code: a wrong name or type is the caller's mistake and raises.
local function from_arguments(options)
  if type(options) ~= "table" then
    errors.mistake("a table of options expected, got " .. type(options))
  end
  for name, value in pairs(options) do
    local option = OPTIONS[name]
    if not option then
      errors.mistake(("unknown option %q%s"):format(tostring(name), errors.suggest(tostring(name), NAMES)))
    elseif not fits(option, value) then
      errors.mistake(("option %s: %s expected, got %s"):format(name, table.concat(option, " or "), type(value)))
    end
  end
  return function(name)
    return options[name], "the argument " .. name
  end
end

local function decode_pair(part)
  local name, value = part:match("^([^=]+)=(.*)$")
  local function plain(s)
    return (s:gsub("+", " "):gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end))
  end
  if name then
    return plain(name), plain(value)
  end
end

-- "a=1&b=2&b=3", as in a URL
local function parse_params(value)
  local out = {}
  for part in value:gmatch("[^&]+") do
    local name, item = decode_pair(part)
    if not name then
      return nil, "write it like name=value&name=value"
    end
    local before = out[name]
    if before == nil then
      out[name] = item
    elseif type(before) == "table" then
      before[#before + 1] = item
    else
      out[name] = { before, item }
    end
  end
  return out
end

local function words(value)
  local out = {}
  for word in value:gmatch("%S+") do
    out[#out + 1] = word
  end
  return out
end

local PARSE = {
  number = function(value)
    local number = tonumber(value)
    return number, not number and "it is no number" or nil
  end,
  params = parse_params,
  resource = words,
  audience = words,
}

local function from_environment(name)
  local variable = "CENTRAL_" .. name:upper()
  local value = not OPTIONS[name].arguments_only and os.getenv(variable) or nil
  local from = "the environment variable " .. variable
  local parse = PARSE[name] or PARSE[OPTIONS[name][1]]
  if value == nil or value == "" then
    return nil
  elseif parse then
    local parsed, problem = parse(value)
    return parsed, from, problem
  end
  return value, from
end

local function from_profile(entry)
  for name, value in pairs(entry.options) do
    local option = OPTIONS[name]
    if not option or option.arguments_only or name == "profile" then
      local hint = errors.suggest(tostring(name), NAMES)
      return wrong(errors.printable(tostring(name)), entry.from, "there is no such option" .. hint)
    elseif not fits(option, value) or type(value) == "function" then
      return wrong(name, entry.from, ("a %s is needed, not a %s"):format(option[1], type(value)))
    end
  end
  return function(name)
    return entry.options[name], entry.from
  end
end

-- --- resolving ----------------------------------------------------------------------------------------------------

-- Of options that exclude each other, the first source that sets one decides; one source must not set two.
local function pick(names, sources)
  for _, source in ipairs(sources) do
    local found, value, from
    for _, name in ipairs(names) do
      local candidate, where, problem = source(name)
      if problem then
        return wrong(name, where, problem)
      elseif candidate ~= nil and found then
        return wrong(name, where, ("%s says the same thing another way; give one of them"):format(found))
      elseif candidate ~= nil then
        found, value, from = name, candidate, where
      end
    end
    if found then
      return found, value, from
    end
  end
end

local function groups()
  local alone, list = {}, {}
  for _, names in ipairs(ALTERNATIVES) do
    list[#list + 1] = names
    for _, name in ipairs(names) do
      alone[name] = true
    end
  end
  for _, name in ipairs(NAMES) do
    if not alone[name] then
      list[#list + 1] = { name }
    end
  end
  return list
end

local GROUPS = groups()

local function collect(sources)
  local values, from = {}, {}
  for _, names in ipairs(GROUPS) do
    local name, value, where, detail = pick(names, sources)
    if name then
      local check = OPTIONS[name].check
      local checked, problem = value, nil
      if check then
        checked, problem = check(value)
      end
      if problem then
        return wrong(name, where, problem)
      end
      values[name], from[name] = checked, where
    elseif value then
      return nil, value, where, detail
    end
  end
  return values, from
end

local KINDS = { _file = "file", _command = "command" }

-- The secret leaves the table of values here: from now on it is native memory or a way to get it.
local function source_of(values, from, name, entry)
  for suffix, kind in pairs(KINDS) do
    local value = values[name .. suffix]
    if value then
      values[name .. suffix] = nil
      return { name = name .. suffix, from = from[name .. suffix], kind = kind, value = value }
    end
  end
  local value = values[name]
  if value == nil then
    return nil
  end
  values[name] = nil
  local source = { name = name, from = from[name], kind = "value", value = value }
  if type(value) == "function" then
    source.kind = "function"
  else
    source.value = core.secret(value)
    source.reload = entry and from[name] == entry.from and function()
      local again = profile.load(entry.name)
      local fresh = again and again.options[name]
      return type(fresh) == "string" and fresh or nil
    end or nil
  end
  return source
end

local MISSING = "%s is needed: give it as an argument (auth.configure{ %s = … }), in the environment variable CENTRAL_%s"
  .. ", or in the profile %s. To create one: sign in to HPE GreenLake, open Manage Workspace, Personal API clients, Create"
  .. " Personal API client, choose Aruba Central, and copy the client id and the client secret, which is shown once"

local function missing(name)
  return errors.fail("config", MISSING:format(name, name, name:upper(), profile.path() or "central-auth/config.lua"),
    { option = name })
end

local function finish(values, from, entry)
  values.secret = source_of(values, from, "client_secret", entry)
  values.assertion = source_of(values, from, "client_assertion", entry)
  values.from = from
  if not values.client_id then
    return missing("client_id")
  elseif not (values.secret or values.assertion or values.cert_file) then
    return missing("client_secret")
  elseif values.key_file and not values.cert_file then
    return wrong("key_file", from.key_file, "it needs a cert_file beside it")
  end
  values.token_url = values.token_url or (values.workspace_id and WORKSPACE_URL:format(values.workspace_id)) or TOKEN_URL
  values.auth_style = values.auth_style or "post"
  values.timeout = values.timeout or 30
  values.connect_timeout = math.min(values.connect_timeout or 10, values.timeout)
  values.user_agent = values.user_agent or ("central-auth/%s (%s)"):format(config.VERSION, _VERSION)
  return values
end

--- Options from all sources, checked. Mistakes in the argument table itself raise.
---@param options central.auth.Options
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function config.resolve(options)
  local sources = { from_arguments(options), from_environment }
  local named, chosen, where, detail = pick({ "profile" }, sources)
  if not named and chosen then
    return nil, chosen, where, detail
  end
  local entry, message, code, more = profile.load(chosen)
  if entry then
    sources[3], message, code, more = from_profile(entry)
  end
  if message then
    return nil, message, code, more
  end
  local values, from, problem, about = collect(sources)
  if not values then
    return nil, from, problem, about
  end
  return finish(values, from, entry)
end

return config

-- The options: what each may be, and the check of its content. One table, one row an option.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local grant = require "central.auth.grant"

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
---@field cache? boolean | string the folder of the shared token; false: none
---@field user_agent? string
---@field profile? string
---@field on_event? fun(event: table)

local options = {}

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

local PROXIES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true, socks5h = true }

-- No word of the value in a problem: it may carry a password.
local function proxy(value)
  local checked, problem = text(value)
  local scheme, rest = value:match("^(%w+)://(.*)$")
  local host = (rest or value):gsub("^.*@", "")
  local port = host:match("^[^%[:]+:(%d+)/?$") or host:match("^%[[%x:.]+%]:(%d+)/?$")
  if not checked or value:find("%s") then
    return nil, problem or "it holds a space"
  elseif scheme and not PROXIES[scheme:lower()] then
    return nil, "a proxy speaks http, https, socks4, socks4a, socks5 or socks5h"
  elseif not (port and tonumber(port) <= 65535 or host:find("^[^%[:/]+/?$") or host:find("^%[[%x:.]+%]/?$")) then
    return nil, "write it like http://user:password@host:port"
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

local function cache(value)
  if type(value) == "string" and not value:find("^/") then
    return nil, "an absolute path is needed, or false"
  end
  return value == true and true or value and text(value)
end

local function workspace(value)
  if not value:find("^[%w_-]+$") then
    return nil, "a workspace id has letters, digits and dashes only"
  end
  return value
end

-- --- the options --------------------------------------------------------------------------------------------------

-- Each: the Lua types an argument may have, and the check: a value as it came -> as it is used, or nil and the problem.
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
  cache = { "boolean", "string", check = cache },
  profile = { "string", check = text },
  on_event = { "function", arguments_only = true },
}

options.names = {}
for name in pairs(OPTIONS) do
  options.names[#options.names + 1] = name
end
table.sort(options.names)

-- --- from the environment, where everything is a string ----------------------------------------------------------

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

local SWITCH = { ["true"] = true, ["1"] = true, on = true, yes = true,
  ["false"] = false, ["0"] = false, off = false, no = false }

local PARSE = {
  cache = function(value)
    local switch = SWITCH[value:lower()]
    return switch == nil and value or switch
  end,
  number = function(value)
    local number = tonumber(value)
    return number, not number and "it is no number" or nil
  end,
  params = parse_params,
  resource = words,
  audience = words,
}

--- What is known of an option; nil where there is none of this name.
---@param name any
---@return table?
function options.get(name)
  return OPTIONS[name]
end

--- Whether a value has one of the option's Lua types.
---@param name string
---@param value any
---@return boolean
function options.fits(name, value)
  for _, kind in ipairs(OPTIONS[name]) do
    if type(value) == kind then
      return true
    end
  end
  return false
end

--- The value as it is used, or nil and what is wrong with it.
---@param name string
---@param value any
---@return any value
---@return string? problem
function options.check(name, value)
  local check = OPTIONS[name].check
  if check then
    return check(value)
  end
  return value
end

--- The value an environment variable stands for, or nil and what is wrong with it.
---@param name string
---@param value string
---@return any value
---@return string? problem
function options.parse(name, value)
  local parse = PARSE[name] or PARSE[OPTIONS[name][1]]
  if parse then
    return parse(value)
  end
  return value
end

return options

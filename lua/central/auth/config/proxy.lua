-- Finds the proxy that a request uses, for messages. Follows the rules of libcurl, and of csrc/http, which uses no
-- proxy for servers on this machine.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local url = require "central.auth.url"

local proxy = {}

---@class central.auth.Proxy
---@field url string without user and password
---@field host string
---@field socks boolean
---@field from string where it was set
---@field unused string the places where further proxies are set, which are not used; empty without any

local VARIABLES = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } -- in order of precedence

-- Returns the value and the name of the first of these variables that is not empty.
local function variable(...)
  for _, name in ipairs { ... } do
    local value = os.getenv(name)
    if value and value ~= "" then
      return value, name
    end
  end
end

local function ipv4(text)
  local a, b, c, d = text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  return a and tonumber(a) << 24 | tonumber(b) << 16 | tonumber(c) << 8 | tonumber(d)
end

-- Whether a network, like 10.0.0.0/8, contains the address.
local function contains(network, host)
  local base, bits = network:match "^(.*)/(%d+)$"
  local first, address = base and ipv4(base), ipv4(host)
  return first and address and tonumber(bits) <= 32 and (first ~ address) >> (32 - tonumber(bits)) == 0
end

-- Whether a list like no_proxy contains the host, its domain, or an IPv4 network with it.
local function excludes(list, host)
  if list:match "^%s*(.-)%s*$" == "*" then
    return true
  end
  host = host:gsub("[%[%]]", ""):gsub("%.$", "")
  for word in list:lower():gmatch "[^%s,]+" do
    local domain = word:gsub("^%.", ""):gsub("%.$", "")
    if host == domain or host:sub(-#domain - 1) == "." .. domain or contains(word, host) then
      return true
    end
  end
  return false
end

-- Returns the configured proxies in order of precedence, and where each was set.
local function configured(config)
  local values, places = { config.proxy }, { config.proxy and config.from.proxy }
  for _, name in ipairs(VARIABLES) do
    local value = variable(name)
    values[#values + 1], places[#places + 1] = value, value and "the environment variable " .. name
  end
  return values, places
end

--- Splits the URL of a proxy. Drops everything before the last @, as it may be a password.
---@param value string
---@return string scheme in lower case; by default http
---@return string address host and port
function proxy.split(value)
  local scheme, rest = value:match "^(%w+)://(.*)$"
  return (scheme or "http"):lower(), ((rest or value):gsub("^.*@", ""):gsub("/$", ""))
end

--- Returns the users and passwords in the URLs of all configured proxies, as written: `user:password`.
---@param config central.auth.Config
---@return string[]
function proxy.logins(config)
  local list = {}
  for _, value in ipairs((configured(config))) do
    list[#list + 1] = value:gsub("^%w+://", ""):match "^(.*)@"
  end
  return list
end

--- Returns the proxy for requests to a URL; or nil and why there is none.
---@param config central.auth.Config
---@param target string
---@return central.auth.Proxy? proxy
---@return string? why
function proxy.of(config, target)
  local origin, host = url.split(target)
  local values, places = configured(config)
  local list, list_name = variable("no_proxy", "NO_PROXY")
  if #values == 0 then
    return nil, "none"
  elseif origin:find "^http:" or not config.proxy and url.is_loopback(host) then
    return nil, ("none: %s is on this machine (the proxy from %s is not used)"):format(host, table.concat(places, ", "))
  elseif list and excludes(list, host) then
    return nil, ("none: %s excludes %s (the proxy from %s is not used)"):format(list_name, host,
      table.concat(places, ", "))
  end
  local scheme, address = proxy.split(values[1])
  return { url = errors.printable(scheme .. "://" .. address), from = places[1],
    unused = table.concat(places, ", ", 2), host = url.host(address) or address, socks = scheme:find "^socks" ~= nil }
end

--- Returns where the proxy of a failed request was set, for its message; empty without a proxy.
---@param config central.auth.Config
---@param target string
---@return string
function proxy.source(config, target)
  local used = proxy.of(config, target)
  return used and "; proxy from " .. used.from or ""
end

return proxy

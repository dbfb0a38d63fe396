-- Which proxy the way to a server goes through, by the rules of libcurl and of the core, which asks none about what is
-- on this machine.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local url = require "central.auth.url"

local proxy = {}

---@class central.auth.Proxy
---@field url string without user and password
---@field host string
---@field socks boolean
---@field from string what set it
---@field others string what else sets one that is not used; empty where nothing does

local VARIABLES = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } -- the first that is set counts
local LOOPBACK = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }

-- The first of these variables that says something, and its name.
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

-- Whether a network, as 10.0.0.0/8, holds the address.
local function holds(network, host)
  local base, bits = network:match "^(.*)/(%d+)$"
  local first, address = base and ipv4(base), ipv4(host)
  return first and address and tonumber(bits) <= 32 and (first ~ address) >> (32 - tonumber(bits)) == 0
end

-- Whether a list like that of no_proxy names the host, or a domain or an IPv4 network that it is in.
local function excepts(list, host)
  if list:match "^%s*(.-)%s*$" == "*" then
    return true
  end
  host = host:gsub("[%[%]]", ""):gsub("%.$", "")
  for word in list:lower():gmatch "[^%s,]+" do
    local domain = word:gsub("^%.", ""):gsub("%.$", "")
    if host == domain or host:sub(-#domain - 1) == "." .. domain or holds(word, host) then
      return true
    end
  end
  return false
end

-- What sets a proxy, the one that counts first: pairs of the proxy and its source.
local function sources(found)
  local list = { found.proxy and { found.proxy, found.from.proxy } or nil }
  for _, name in ipairs(VARIABLES) do
    local value = variable(name)
    list[#list + 1] = value and { value, "the environment variable " .. name } or nil
  end
  return list
end

local function names(list, first)
  local all = {}
  for i = first, #list do
    all[#all + 1] = list[i][2]
  end
  return table.concat(all, ", ")
end

local function described(value, from, others)
  local scheme, rest = value:match "^(%w+)://(.*)$"
  local address = (rest or value):gsub("^.*@", ""):gsub("/*$", "")
  scheme = scheme and scheme:lower() or "http"
  return { url = errors.printable(scheme .. "://" .. address), from = from, others = others,
    host = url.host(address) or address, socks = scheme:find "^socks" ~= nil }
end

--- The proxy on the way to a URL; or nil and why there is none.
---@param found central.auth.Config
---@param target string
---@return central.auth.Proxy? proxy
---@return string? why
function proxy.of(found, target)
  local origin, host = url.split(target)
  local all = sources(found)
  local list, excepting = variable("no_proxy", "NO_PROXY")
  if #all == 0 then
    return nil, "none"
  elseif origin:find "^http:" or not found.proxy and LOOPBACK[host] then
    return nil, ("none, as %s is on this machine (there is one from %s)"):format(host, names(all, 1))
  elseif list and excepts(list, host) then
    return nil, ("none, as %s excepts %s (there is one from %s)"):format(excepting, host, names(all, 1))
  end
  return described(all[1][1], all[1][2], names(all, 2))
end

--- For a message about a request that failed: where its proxy is from; empty without one.
---@param found central.auth.Config
---@param target string
---@return string
function proxy.source(found, target)
  local used = proxy.of(found, target)
  return used and "; proxy from " .. used.from or ""
end

return proxy

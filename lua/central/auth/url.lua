-- Splits URLs into their parts, and reports the problem with an invalid one.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"

local url = {}

local PORTS = { https = "443", http = "80" }
local LOOPBACK = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }

-- A character that is invalid in a URL (RFC 3986, 2), or the # of a fragment, which is never sent. A-Z and not %a, as
-- that matches more letters in some locales.
local INVALID_CHAR = "[^A-Za-z0-9%-._~:/?%[%]@!$&'()*+,;=%%]"

--- Returns why a text cannot be part of a requested URL; nil if it can.
---@param text string
---@return string? problem
function url.problem(text)
  local at = text:find(INVALID_CHAR) or text:find("%%%X") or text:find("%%%x%X") or text:find("%%%x?$")
    or text:find("%00", 1, true)
  if not at then
    return nil
  elseif text:find("^[%c\x7F]", at) then
    return ("byte %d is a control character"):format(at)
  elseif text:find("^%%00", at) then
    return ("the URL contains a NUL, %%00 at byte %d"):format(at)
  elseif text:sub(at, at) == "#" then
    return "the URL has a fragment (#…), which is never sent"
  end
  return ("%q at byte %d must be percent-encoded"):format(errors.printable(text:sub(at, at)), at)
end

--- Decodes percent-encoded characters.
---@param text string
---@return string
function url.decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function authority_problem(host, port)
  if host:find("^%[[^%]]*%%") then
    return "the address has a zone (%…), which is not supported"
  elseif host:find("[\x80-\xFF]") then
    return "the host is not ASCII; write its name in DNS, xn--…"
  elseif not (host:find("^[A-Za-z0-9._-]+$") or host:find("^%[[%x:.]+%]$")) then
    return "the host must be a name, an IPv4 address, or an IPv6 address in brackets"
  elseif port ~= "" and not (tonumber(port) >= 1 and tonumber(port) <= 65535) then
    return "the port must be from 1 to 65535"
  end
end

--- Splits a URL into its parts, without checking them. Returns nil if the text is no URL.
---@param text string
---@return string? scheme in lower case
---@return string? address host and port
---@return string? rest path, query and fragment
---@return string? user with the password
function url.parts(text)
  local scheme, authority, rest = text:match("^(%a[%w+.-]*)://([^/?#]*)(.*)$")
  local user, address = (authority or ""):match("^(.*)@(.*)$")
  return scheme and scheme:lower(), address or authority, rest, user
end

--- Splits an address, `host:port`; or returns nil and why it is not valid.
---@param address string
---@return string? host in lower case
---@return string port "" without one; or the problem
function url.host(address)
  local host, port = address:match("^(.*):(%d*)$")
  host, port = (host or address):lower(), (port or ""):gsub("^0+(%d)", "%1")
  local problem = authority_problem(host, port)
  if problem then
    return nil, problem
  end
  return host, port
end

--- Returns whether a host is this machine, by a name or an address for it.
---@param host string
---@return boolean
function url.is_loopback(host)
  return LOOPBACK[host] == true
end

--- Splits a URL of a server into its origin (scheme, host and port, normalized), its host, and the rest; or returns
--- nil and why it is not valid.
---@param text string
---@return string? origin
---@return string? host or the problem
---@return string? rest
function url.split(text)
  local scheme, address, rest, user = url.parts(text)
  if not scheme or address == "" then
    return nil, "not a URL like https://host/path"
  elseif user then
    return nil, "the URL contains a user name or password; use client_id and client_secret"
  end
  local host, port = url.host(address)
  if not host then
    return nil, port
  end
  return ("%s://%s:%s"):format(scheme, host, port ~= "" and port or PORTS[scheme] or "0"), host, rest
end

return url

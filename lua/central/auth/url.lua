-- URLs: their parts, and the URL of an API call, from a path or a URL and a query to a URL that the token may be sent
-- to, or a problem.
-- SPDX-License-Identifier: MIT

local util = require "central.auth.util"

local errors = util.lazy "central.auth.errors"

local url = {}

local PORTS = { https = "443", http = "80" }
local LOOPBACK = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }

-- A character that a URL may not have (RFC 3986, 2), or the # of a fragment, which is never sent. A-Z and not %a, which
-- matches more letters in some locales.
local INVALID_CHAR = "[^A-Za-z0-9%-._~:/?%[%]@!$&'()*+,;=%%]"

--- Returns why a text cannot be part of a URL that is requested; nil if it can.
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
    return ("it contains a NUL, %%00 at byte %d"):format(at)
  elseif text:sub(at, at) == "#" then
    return "it has a fragment (#…), which is never sent"
  end
  return ("%q at byte %d must be percent-encoded"):format(errors.printable(text:sub(at, at)), at)
end

--- Decodes what is percent-encoded.
---@param text string
---@return string
function url.decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- Whether a segment is "..", encoded or not, between slashes or backslashes.
local function has_dot_segments(path)
  for segment in url.decode(path):gmatch("[^/\\]+") do
    if segment == ".." then
      return true
    end
  end
  return false
end

local function authority_problem(host, port)
  if host:find("^%[[^%]]*%%") then
    return "its address has a zone (%…), which is not supported"
  elseif host:find("[\x80-\xFF]") then
    return "its host is not ASCII; write the name that DNS has, xn--…"
  elseif not (host:find("^[A-Za-z0-9._-]+$") or host:find("^%[[%x:.]+%]$")) then
    return "its host is neither a name, an IPv4 address nor an IPv6 address in brackets"
  elseif port ~= "" and not (tonumber(port) >= 1 and tonumber(port) <= 65535) then
    return "its port is not from 1 to 65535"
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
---@return string port "" if there is none; or the problem
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
    return nil, "it is not a URL like https://host/path"
  elseif user then
    return nil, "it carries a user name or password; use client_id and client_secret"
  end
  local host, port = url.host(address)
  if not host then
    return nil, port
  end
  return ("%s://%s:%s"):format(scheme, host, port ~= "" and port or PORTS[scheme] or "0"), host, rest
end

local function is_allowed(origin, hosts)
  for _, name in ipairs(hosts or {}) do
    if origin == url.split("https://" .. name) then
      return true
    end
  end
  return false
end

--- Returns the URL of a target: a path below the base, or a URL of the base's host or of one of `hosts`.
---@param target string
---@param base? string
---@param hosts? string[]
---@return string? url
---@return string? problem
function url.resolve(target, base, hosts)
  local problem = url.problem(target)
  local path, address = target, base and base .. target
  if not problem and not target:find("^/") then
    local origin, host, rest = url.split(target)
    path, address = rest, target
    if not origin then
      problem = target:find("://", 1, true) and host
        or "write a path that begins with /, or a URL like https://host/path"
    elseif origin ~= (base and url.split(base)) and not (origin:find("^https:") and is_allowed(origin, hosts)) then
      problem = ("the token is not sent to %s: it is not the host of base_url, and not one of the option hosts")
        :format(host)
    end
  elseif not problem and target:find("^//") then
    problem = "it begins with two slashes"
  end
  if not problem and has_dot_segments(path:match("^[^?]*")) then
    problem = "its path has a segment .."
  elseif not problem and not address then
    problem = "a path needs the option base_url, or cluster: an argument, CENTRAL_BASE_URL or a profile"
  end
  return not problem and address or nil, problem
end

local function encode(text)
  return (text:gsub("[^A-Za-z0-9%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

--- Formats a value; a number with all its digits and no more, and with a point in any locale.
---@param value string | number | boolean
---@return string
function url.text(value)
  if type(value) ~= "number" then
    return tostring(value)
  elseif math.tointeger(value) then
    return ("%d"):format(value)
  end
  local short = ("%.14g"):format(value)
  return ((tonumber(short) == value and short or ("%.17g"):format(value)):gsub("[^%w+-]+", "."))
end

-- The kind of a value that a query cannot have; nil for others.
local function unsupported_type(value)
  local kind = type(value)
  if kind == "number" and value - value ~= 0 then
    return "a number that is not finite"
  elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    return "a " .. kind
  end
end

local function is_list(value)
  local count = 0
  for _ in pairs(type(value) == "table" and value or {}) do
    count = count + 1
  end
  return type(value) == "table" and count == #value
end

--- Encodes a table as a query, its names in order: values are strings, numbers, booleans, or lists of these, which
--- repeat the name. Returns nil and the problem if another type is among them.
---@param fields table<string, any>
---@return string? query
---@return string? problem
function url.query(fields)
  for name in pairs(fields) do
    if type(name) ~= "string" then
      return nil, ("a name is a %s; names must be strings"):format(type(name))
    end
  end
  local parts = {}
  for _, name in ipairs(util.sorted_names(fields)) do
    local values = fields[name]
    for _, value in ipairs(is_list(values) and values or { values }) do
      local problem = unsupported_type(value)
      if problem then
        return nil, ("%s: a string, a number, a boolean or a list of these is needed, not %s"):format(
          errors.printable(name), problem)
      end
      parts[#parts + 1] = encode(name) .. "=" .. encode(url.text(value))
    end
  end
  return table.concat(parts, "&")
end

--- Appends a query to a URL, which may have one already.
---@param text string
---@param query string
---@return string
function url.extend(text, query)
  if query == "" then
    return text
  end
  return text .. (text:find("?", 1, true) and (text:find("[?&]$") and "" or "&") or "?") .. query
end

return url

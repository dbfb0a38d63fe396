-- Where an API call goes: a path or a URL, and a query -> a URL that the token may be sent to, or what is wrong.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"

local url = {}

local PORTS = { https = "443", http = "80" }

-- What a URL may consist of (RFC 3986, 2), but for the fragment, which is never sent. Letters by their codes: %w takes
-- others, too, where the locale has one byte for each.
local STRANGE = "[^A-Za-z0-9%-._~:/?%[%]@!$&'()*+,;=%%]"

--- What is in a text that no URL to be requested may hold, if anything is.
---@param text string
---@return string?
function url.problem(text)
  local at = text:find(STRANGE) or text:find("%%%X") or text:find("%%%x%X") or text:find("%%%x?$")
    or text:find("%00", 1, true)
  if not at then
    return nil
  elseif text:find("^[%c\x7F]", at) then
    return ("byte %d is a control character"):format(at)
  elseif text:find("^%%00", at) then
    return ("%%00 at byte %d: no NUL belongs there"):format(at)
  elseif text:sub(at, at) == "#" then
    return "it has a fragment (#…), which is never sent"
  end
  return ("%q at byte %d must be percent-encoded"):format(errors.printable(text:sub(at, at)), at)
end

-- Encoded or not, on whichever side of a slash: no way up.
local function climbs(path)
  local plain = path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  for segment in plain:gmatch("[^/\\]+") do
    if segment == ".." then
      return true
    end
  end
  return false
end

local function authority_problem(host, port)
  if host:find("@", 1, true) then
    return "it carries a user name or password; use client_id and client_secret"
  elseif host:find("^%[[^%]]*%%") then
    return "its address has a zone (%…), which is not supported"
  elseif host:find("[\x80-\xFF]") then
    return "its host is not ASCII; write it as DNS has it, xn--…"
  elseif not (host:find("^[A-Za-z0-9._-]+$") or host:find("^%[[%x:.]+%]$")) then
    return "its host is no name, no IPv4 address and no IPv6 address in brackets"
  elseif port ~= "" and not (tonumber(port) >= 1 and tonumber(port) <= 65535) then
    return "its port is none from 1 to 65535"
  end
end

--- The host and the port of what stands before a URL's path: `host:port`; or nil and what is wrong with it.
---@param authority string
---@return string? host in lower case
---@return string port "" where there is none; or the problem
function url.host(authority)
  local host, port = authority:match("^(.*):(%d*)$")
  host, port = (host or authority):lower(), (port or ""):gsub("^0+(%d)", "%1")
  local problem = authority_problem(host, port)
  if problem then
    return nil, problem
  end
  return host, port
end

--- Scheme, host and port of a URL in one spelling, the host alone, and the rest; or nil and what is wrong with it.
---@param text string
---@return string? origin
---@return string? host
---@return string? rest
function url.split(text)
  local scheme, authority, rest = text:match("^(%a+)://([^/?#]+)(.*)$")
  if not scheme then
    return nil, "it is no URL like https://host/path"
  end
  local host, port = url.host(authority)
  if not host then
    return nil, port
  end
  scheme = scheme:lower()
  return ("%s://%s:%s"):format(scheme, host, port ~= "" and port or PORTS[scheme] or "0"), host, rest
end

local function is_named(origin, hosts)
  for _, name in ipairs(hosts or {}) do
    if origin == url.split("https://" .. name) then
      return true
    end
  end
  return false
end

--- The URL of a target: a path below the base, or a URL of the base's host or of one of `hosts`.
---@param target string
---@param base? string
---@param hosts? string[]
---@return string? url
---@return string? problem
function url.resolve(target, base, hosts)
  local problem = url.problem(target)
  local path, whole = target, base and base .. target
  if not problem and not target:find("^/") then
    local origin, host, rest = url.split(target)
    path, whole = rest, target
    if not origin then
      problem = target:find("://", 1, true) and host
        or "write a path that begins with /, or a URL like https://host/path"
    elseif origin ~= (base and url.split(base)) and not (origin:find("^https:") and is_named(origin, hosts)) then
      problem = ("the token does not go to %s: it is not the host of base_url, and the option hosts does not name it")
        :format(host)
    end
  elseif not problem and target:find("^//") then
    problem = "it begins with two slashes"
  end
  if not problem and climbs(path:match("^[^?]*")) then
    problem = "it has a segment .."
  elseif not problem and not whole then
    problem = "for a path the option base_url is needed, or cluster: arguments, CENTRAL_BASE_URL or a profile"
  end
  return not problem and whole or nil, problem
end

local function encode(text)
  return (text:gsub("[^A-Za-z0-9%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

--- A value as text; a number with all its digits and no more, whatever the locale's decimal point.
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

-- What a value is that no query can hold.
local function unfit(value)
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

--- A table as a query, its names in order: values are strings, numbers, booleans, or lists of these, which repeat the
--- name. nil and what is wrong with which.
---@param fields table<string, any>
---@return string? query
---@return string? problem
function url.query(fields)
  for name in pairs(fields) do
    if type(name) ~= "string" then
      return nil, ("a name is a %s; a string is needed"):format(type(name))
    end
  end
  local parts, sorted_names = {}, require "central.auth.sorted_names" -- here: a start with a cached token has no query
  for _, name in ipairs(sorted_names(fields)) do
    local values = fields[name]
    for _, value in ipairs(is_list(values) and values or { values }) do
      local problem = unfit(value)
      if problem then
        return nil, ("%s: a string, a number, a boolean or a list of these is needed, not %s"):format(
          errors.printable(name), problem)
      end
      parts[#parts + 1] = encode(name) .. "=" .. encode(url.text(value))
    end
  end
  return table.concat(parts, "&")
end

--- A URL with more of a query behind it.
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

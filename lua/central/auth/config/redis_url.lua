-- The URL of a Redis server: redis://user@host:port/db, rediss://… for TLS, redis+unix:///path?db=1. A password
-- in it is refused, as URLs are shown and logged.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

local url = lazy "central.auth.url"

local redis_url = {}

redis_url.NO_LIBRARY = "the library hiredis can't be loaded: install it (on Debian, a package that"
  .. " lua-central-auth recommends)"

local MODULE = "central.auth.redis"
local PORT = "6379"
local SYNTAX = "write it like redis://user@host:6379/0, rediss://host:6379/0?ca_file=/path"
  .. " or redis+unix:///path?db=0"
local NO_REDIS = "this build does not support Redis: install hiredis with its headers (libhiredis-dev), and"
  .. " build again"

-- Parses "a=1&b=2"; nil if there is a field that is not in `allowed`.
local function fields_of(query, allowed)
  local fields = {}
  for pair in query:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]+)=(.*)$"
    if not name or not allowed[name] then
      return nil
    end
    fields[name] = url.decode(value)
  end
  return fields
end

-- Returns the problem with control characters from percent-encoding: a NUL would end the name early.
local function control_problem(parts)
  for _, name in ipairs { "user", "path", "ca_file" } do
    if parts[name] and parts[name]:find "%c" then
      return ("the %s in the URL has a control character"):format(name)
    end
  end
end

local function database(text)
  local number = text == "" and 0 or text:find "^%d+$" and tonumber(text)
  return number and number <= 0xFFFF and number or nil
end

local function parse_host(parts, address, path, query, tls)
  local host, port = url.host(address)
  local fields = fields_of(query, { ca_file = tls })
  parts.database = database(path:gsub("^/", ""))
  if not (host and fields and parts.database and #host <= 255) then
    return nil, SYNTAX
  end
  parts.url = ("%s://%s:%s"):format(tls and "https" or "http", host, port ~= "" and port or PORT)
  parts.ca_file = fields.ca_file
  return parts
end

local function parse_socket(parts, address, path, query)
  local fields = fields_of(query, { db = true })
  parts.path = url.decode(path)
  parts.database = fields and database(fields.db or "")
  if address ~= "" or #path < 2 or #parts.path > 107 or not parts.database then
    return nil, SYNTAX
  end
  return parts
end

--- Parses the URL for `central.auth.redis`; or returns nil and the problem, which never quotes the URL.
---@param text string
---@return table? parts path, or url as libcurl takes it; user, database, ca_file
---@return string? problem
function redis_url.parse(text)
  local scheme, address, rest, user = url.parts(text)
  local path, query = (rest or "#"):match "^([^?#]*)%??([^#]*)$"
  if not path or text:find "[%s%c]" then
    return nil, SYNTAX
  elseif user and user:find ":" then
    return nil, "the URL contains a password, and URLs are logged: use cache_password or cache_password_file"
  end
  local parts = { user = user and user ~= "" and url.decode(user) or nil }
  local problem
  if parts.user and #parts.user > 255 then
    return nil, SYNTAX
  elseif scheme == "redis" or scheme == "rediss" then
    parts, problem = parse_host(parts, address, path, query, scheme == "rediss")
  elseif scheme == "redis+unix" then
    parts, problem = parse_socket(parts, address, path, query)
  else
    return nil, SYNTAX
  end
  problem = problem or control_problem(parts)
  return not problem and parts or nil, problem
end

local function is_installed()
  return package.loaded[MODULE] or package.preload[MODULE] or package.searchpath(MODULE, package.cpath)
end

--- Checks the URL, and whether this build supports it.
---@param text string
---@return string? url
---@return string? problem
function redis_url.check(text)
  local parts, problem = redis_url.parse(text)
  if not parts then
    return nil, problem
  elseif not is_installed() then
    return nil, NO_REDIS
  end
  local file = parts.ca_file and io.open(parts.ca_file, "rb")
  if parts.ca_file and not file then
    return nil, "the ca_file in the URL can't be read"
  elseif file then
    file:close()
  end
  return text
end

return redis_url

-- The checks of options. Each takes a value as it was set; returns the value to be used, or nil and the problem.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

local clusters = lazy "central.auth.config.clusters"
local errors = lazy "central.auth.errors"
local proxy = lazy "central.auth.config.proxy"
local redis_url = lazy "central.auth.config.redis_url"
local url = lazy "central.auth.url"

local validate = {}

local function text(value)
  if value == "" then
    return nil, "the value is empty"
  end
  local position = value:find("[%c\x7F]")
  if position then
    return nil, ("byte %d is a control character"):format(position)
  end
  return value
end

-- A URL to which secrets may be sent.
function validate.url(value)
  local checked, problem = text(value)
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

-- A file that this process can open.
function validate.readable(value)
  local checked, problem = text(value)
  local file, why = io.open(checked or "", "rb")
  if not file then
    return nil, problem or why .. (value:find "/central%-auth%-sandbox%.%w+/ca%.pem$"
      and "; it belonged to a sandbox that has ended: start another one, or use other credentials" or "")
  end
  file:close()
  return value
end

-- A folder, or the URL of a Redis server; true: the default folder; false: none.
function validate.cache(value)
  if type(value) == "string" and value:find("^redis") then
    return redis_url.check(value)
  elseif type(value) == "string" and not value:find("^/") then
    return nil, "an absolute path, the URL of a Redis server (redis://host) or false expected"
  end
  return value == true and true or value and text(value)
end

local PROXIES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true, socks5h = true }

-- The problem never quotes the value, which may contain a password.
function validate.proxy(value)
  local checked, problem = text(value)
  local scheme, address = proxy.split(value)
  if not checked or value:find("%s") then
    return nil, problem or "the value contains a space"
  elseif not PROXIES[scheme] then
    return nil, "unknown scheme; use http, https, socks4, socks4a, socks5 or socks5h"
  elseif not url.host(address) then
    return nil, "write it like http://user:password@host:port"
  end
  return value
end

function validate.header_text(value)
  if value:find("[^\x20-\x7E]") then
    return nil, "only printable ASCII is allowed in a header"
  end
  return text(value)
end

local function seconds(limit)
  return function(value)
    if value ~= value or value <= 0 or value > limit then
      return nil, ("a number of seconds above 0 and up to %d expected"):format(limit)
    end
    return value
  end
end

local function one_of(...)
  local known = { ... }
  return function(value)
    for _, name in ipairs(known) do
      if value == name then
        return value
      end
    end
    return nil, ("%q is not one of %s%s"):format(errors.printable(value), table.concat(known, ", "),
      errors.suggest(value, known))
  end
end

function validate.log(value)
  if type(value) == "function" then
    return value
  end
  return validate.log_level(value)
end

local function texts(value)
  if type(value) == "string" then
    return text(value)
  end
  local copy = {}
  for i, item in ipairs(value) do
    local checked, problem = text(type(item) == "string" and item or "")
    if not checked then
      return nil, ("item %d: %s"):format(i, type(item) == "string" and problem or "a string expected")
    end
    copy[i] = checked
  end
  if #copy == 0 or next(value, #copy) ~= nil then
    return nil, "a string or a list of strings expected"
  end
  return copy
end

function validate.scope(value)
  local checked, problem = texts(value)
  if type(checked) == "table" then
    checked = table.concat(checked, " ")
  end
  if checked and checked:find('[^\x20-\x7E]') or checked and checked:find('["\\]') then
    return nil, "a scope is printable ASCII without quotes or backslashes (RFC 6749, 3.3)"
  end
  return checked, problem
end

-- Fields of a token request that other options set.
local RESERVED = {
  grant_type = true, client_id = true, client_secret = true, client_assertion = true, client_assertion_type = true,
  subject_token = true, subject_token_type = true,
}

function validate.params(value)
  local copy = {}
  for name, item in pairs(value) do
    if type(name) ~= "string" or not text(name) then
      return nil, "the name of each field must be a string without control characters"
    elseif RESERVED[name] then
      return nil, ("set %s by its own option"):format(name)
    end
    local checked, problem = nil, "a string or a list of strings expected"
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

function validate.profile(value)
  if value == true then
    return nil, "the name of a profile or false expected"
  elseif value == false then
    return false
  elseif not value:find "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$" then -- it becomes the name of a file
    return nil, "only letters, digits, -, _ and . are allowed in a profile's name, and no . at its start"
  end
  return value
end

-- GreenLake shows workspace ids with dashes, and expects them without.
function validate.workspace(value)
  if not value:find("^[%w_-]+$") then
    return nil, "only letters, digits and dashes are allowed in a workspace id"
  end
  return value:find("^%x+%-%x+%-%x+%-%x+%-%x+$") and (value:gsub("-", "")) or value
end

function validate.base_url(value)
  if value:find("^[%w_%[]") and not value:find("^%a[%w+.-]*:/") then -- no scheme, as in HPE's own examples
    value = "https://" .. value
  end
  local checked, problem = validate.url(value)
  local host = checked and select(2, url.split(checked))
  if checked and checked:find("?", 1, true) then
    return nil, "the URL has a query"
  elseif host and host:find("api[g-]") and clusters.is_classic(host) then
    return nil, ("%s is a gateway of classic Central, where tokens of new Central do not work; set new Central's base"
      .. " URL, or cluster"):format(host)
  end
  return checked and (checked:gsub("/+$", "")) or nil, problem
end

function validate.cluster(value)
  if not clusters.base_url(value) then
    return nil, ("%q is not a cluster of new Central%s; the clusters are %s (or set base_url)"):format(
      errors.printable(value), errors.suggest(value, clusters.names), table.concat(clusters.names, ", "))
  end
  return value
end

function validate.hosts(value)
  for i, name in ipairs(type(value) == "table" and value or { value }) do
    local origin, host, rest = nil, "a string expected", nil
    if type(name) == "string" then
      origin, host, rest = url.split("https://" .. name)
    end
    if not origin or rest ~= "" then
      return nil, ("item %d: write it like api.example.com or api.example.com:8443%s"):format(i,
        origin and "" or ": " .. host)
    end
  end
  local checked, problem = texts(value)
  return type(checked) == "string" and { checked } or checked, problem
end

validate.text = text
validate.texts = texts
validate.hour = seconds(3600)
validate.day = seconds(86400)
validate.log_level = one_of("info", "debug")
validate.auth_style = one_of("post", "basic", "basic_raw")

return validate

-- Makes the URL of an API call from a path or a URL, and a query. Refuses URLs that the token may not be sent to.
-- SPDX-License-Identifier: MIT

local url = require "central.auth.url"
local util = require "central.auth.util"

local errors = util.lazy "central.auth.errors"
local problems = util.lazy "central.auth.config.problems"

local target = {}

-- Returns whether a segment is "..", encoded or not, between slashes or backslashes.
local function has_dot_segments(path)
  for segment in url.decode(path):gmatch("[^/\\]+") do
    if segment == ".." then
      return true
    end
  end
  return false
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
---@param text string a path below the base, or a URL
---@param base? string
---@param hosts? string[]
---@param base_option? string the option that sets the base
---@return string? url
---@return string? problem
function target.resolve(text, base, hosts, base_option)
  local problem = url.problem(text)
  local path, address = text, base and base .. text
  if not problem and not text:find("^/") then
    local origin, host, rest = url.split(text)
    path, address = rest, text
    if not origin then
      problem = text:find("://", 1, true) and host
        or "write a path that begins with /, or a URL like https://host/path"
    elseif origin ~= (base and url.split(base)) and not (origin:find("^https:") and is_allowed(origin, hosts)) then
      problem = ("the token is not sent to %s, which is not the host of %s; add it to the option hosts")
        :format(host, base_option)
    end
  elseif not problem and text:find("^//") then
    problem = "the path begins with two slashes"
  end
  if not problem and has_dot_segments(path:match("^[^?]*")) then
    problem = "the path has a segment .."
  elseif not problem and not address then
    problem = problems.NO_BASE .. problems.ignored("\n")
  end
  return not problem and address or nil, problem
end

local function encode(text)
  return (text:gsub("[^A-Za-z0-9%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

--- Formats a value. A number gets all its digits and no more, and a decimal point in any locale.
---@param value string | number | boolean
---@return string
function target.text(value)
  if type(value) ~= "number" then
    return tostring(value)
  elseif math.tointeger(value) then
    return ("%d"):format(value)
  end
  local short = ("%.14g"):format(value)
  return ((tonumber(short) == value and short or ("%.17g"):format(value)):gsub("[^%w+-]+", "."))
end

-- Returns the kind of a value that a query cannot have; nil for other values.
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
function target.query(fields)
  for name in pairs(fields) do
    if type(name) ~= "string" then
      return nil, ("name: string expected, got %s"):format(type(name))
    end
  end
  local parts = {}
  for _, name in ipairs(util.sorted_names(fields)) do
    local values = fields[name]
    for _, value in ipairs(is_list(values) and values or { values }) do
      local problem = unsupported_type(value)
      if problem then
        return nil, ("%s: a string, a number, a boolean or a list of these expected, got %s"):format(
          errors.printable(name), problem)
      end
      parts[#parts + 1] = encode(name) .. "=" .. encode(target.text(value))
    end
  end
  return table.concat(parts, "&")
end

--- Appends a query to a URL, which may have one already.
---@param text string
---@param query string
---@return string
function target.extend(text, query)
  if query == "" then
    return text
  end
  return text .. (text:find("?", 1, true) and (text:find("[?&]$") and "" or "&") or "?") .. query
end

return target

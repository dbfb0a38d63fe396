-- Reads credentials from another program's file: JSON, or lines like NAME=value and name: value.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local errors = require "central.auth.errors"

local credentials_file = {}

local DEPTH_MAX = 3 -- levels of nested objects

local FORMATS = 'write JSON like {"client_id": "ID", "client_secret": "SECRET"}, or lines like'
  .. " CENTRAL_CLIENT_ID=ID"

local ALIASES = { cluster_name = "cluster", token_endpoint = "token_url" } -- the names of pycentral

-- Returns the objects that have a client_id; other programs nest them in further objects. Adds the plain values of the
-- outer objects to `beside`.
local function objects_with_id(value, depth, found, beside)
  if type(value) ~= "table" or depth > DEPTH_MAX then
    return found
  elseif type(value.client_id) == "string" then
    found[#found + 1] = value
    return found
  end
  for name, inner in pairs(value) do
    if type(name) == "string" and type(inner) ~= "table" then
      beside[name] = inner
    end
    objects_with_id(inner, depth + 1, found, beside)
  end
  return found
end

-- Adds the values that are not empty, by the names of this package's options.
local function add(values, more)
  for name, value in pairs(more) do
    local known = ALIASES[name]
    if value ~= "" and value ~= cjson.null then
      values[known and more[known] == nil and known or name] = value
    end
  end
end

local function from_lines(text)
  local values = {}
  for line in text:gmatch "[^\r\n]+" do
    local name, value = line:gsub("^%s*export%s+", ""):match "^%s*([%w_]+)%s*[=:]%s*(.-)%s*,?$"
    if name then
      values[name:lower():gsub("^central_", "")] = value:match "^\"(.*)\"$" or value:match "^'(.*)'$" or value
    end
  end
  return values
end

--- Returns the name of the file for messages.
---@param path string
---@return string
function credentials_file.name(path)
  return path == "-" and "standard input" or path
end

local function fail(path, problem)
  errors.raise(("%s: %s"):format(credentials_file.name(path), problem), "config")
end

--- Reads a file, or with - standard input. The file may be readable by other users, but not writable.
---@param path string
---@return string text
function credentials_file.text(path)
  local text, why, kind
  if path == "-" then
    text = io.read "a"
  else
    text, why, kind = core.read_file(path)
  end
  if kind == "foreign" then
    why = why .. "; copy the file, or pass it on standard input (-)"
  end
  if not text then
    fail(path, why)
  end
  return (text:gsub("^\xEF\xBB\xBF", ""))
end

-- Returns the problem with invalid JSON, and the line from lua-cjson's message.
local function json_problem(text, why)
  local _, before = text:sub(1, tonumber(tostring(why):match "at character (%d+)")):gsub("\n", "")
  return ("line %d: not valid JSON; %s"):format(before + 1, FORMATS)
end

--- Reads the values of such a file that are not empty, by the names of options. Without a path there are none.
---@param path? string
---@return table<string, any> values
function credentials_file.read(path)
  if not path then
    return {}
  end
  local text = credentials_file.text(path)
  local is_json = text:find "^%s*[{%[]" ~= nil
  local ok, decoded = pcall(cjson.decode, text)
  local beside = {}
  local found = ok and objects_with_id(decoded, 1, {}, beside) or {}
  if is_json and not ok then
    fail(path, json_problem(text, decoded))
  elseif #found > 1 then
    fail(path, "the file has several clients; leave only one")
  end
  local values = {}
  add(values, is_json and beside or {})
  add(values, found[1] or is_json and {} or from_lines(text))
  if type(values.client_id) ~= "string" then
    fail(path, "the file has no client_id; " .. FORMATS)
  end
  return values
end

return credentials_file

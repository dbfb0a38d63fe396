-- Credentials in a file that somebody wrote for another program: JSON, or lines like NAME=value and name: value.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local errors = require "central.auth.errors"

local handed_over = {}

local DEEPEST = 3

local FORMATS = 'what is taken is JSON like {"client_id": "ID", "client_secret": "SECRET"}, or lines like'
  .. " CENTRAL_CLIENT_ID=ID"

local ALIASES = { cluster_name = "cluster", token_endpoint = "token_url" } -- what pycentral calls them

-- The objects that have a client_id, at most so deep: clients of Central keep theirs below a name. `beside` gets the
-- plain values around them.
local function objects_with_id(value, depth, found, beside)
  if type(value) ~= "table" or depth > DEEPEST then
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

-- Adds what is not empty, by the names that we use.
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

--- What to call it.
---@param path string
---@return string
function handed_over.name(path)
  return path == "-" and "standard input" or path
end

local function wrong(path, problem)
  return errors.fail("config", ("%s: %s"):format(handed_over.name(path), problem))
end

--- A file's text, or with - what comes on standard input. Others may read the file, but not write it.
---@param path string
---@return string? text
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function handed_over.text(path)
  local text, why, kind
  if path == "-" then
    text = io.read "a"
  else
    text, why, kind = core.read_file(path)
  end
  if kind == "foreign" then
    why = why .. "; copy it, or give it on standard input (-)"
  end
  if not text then
    return wrong(path, why)
  end
  return (text:gsub("^\xEF\xBB\xBF", ""))
end

-- Where it stops to be JSON, by what lua-cjson says of it.
local function broken(text, why)
  local _, before = text:sub(1, tonumber(tostring(why):match "at character (%d+)")):gsub("\n", "")
  return ("line %d: not valid JSON; %s"):format(before + 1, FORMATS)
end

--- All values in such a file that are not empty; those of options by their names.
---@param path string
---@return table<string, any>? values
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function handed_over.read(path)
  local text, message, code, detail = handed_over.text(path)
  if not text then
    return nil, message, code, detail
  end
  local is_json = text:find "^%s*[{%[]" ~= nil
  local ok, decoded = pcall(cjson.decode, text)
  local beside = {}
  local found = ok and objects_with_id(decoded, 1, {}, beside) or {}
  if is_json and not ok then
    return wrong(path, broken(text, decoded))
  elseif #found > 1 then
    return wrong(path, "it has several clients; leave one in it")
  end
  local values = {}
  add(values, is_json and beside or {})
  add(values, found[1] or is_json and {} or from_lines(text))
  if type(values.client_id) ~= "string" then
    return wrong(path, "there is no client_id in it; " .. FORMATS)
  end
  return values
end

return handed_over

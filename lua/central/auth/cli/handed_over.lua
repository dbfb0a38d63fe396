-- Credentials in a file that somebody wrote for another program: JSON, or lines like NAME=value and name: value.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.options"

local handed_over = {}

local DEEPEST = 3

local ALIASES = { cluster_name = "cluster" } -- what pycentral calls it

-- The objects that have a client_id, at most so deep: clients of Central keep theirs below a name.
local function objects_with_id(value, depth, found)
  if type(value) ~= "table" or depth > DEEPEST then
    return found
  elseif type(value.client_id) == "string" then
    found[#found + 1] = value
    return found
  end
  for _, inner in pairs(value) do
    objects_with_id(inner, depth + 1, found)
  end
  return found
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

--- A file's text, or with - what comes on standard input.
---@param path string
---@return string? text
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function handed_over.text(path)
  local text, why
  if path == "-" then
    text = io.read "a"
  else
    text, why = core.read_file(path)
  end
  if not text then
    return errors.fail("config", ("%s: %s"):format(path, why))
  end
  return text
end

--- The options in such a file, those we know.
---@param path string
---@return table<string, string>? values
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function handed_over.read(path)
  local text, message, code, detail = handed_over.text(path)
  if not text then
    return nil, message, code, detail
  end
  local ok, decoded = pcall(cjson.decode, text)
  local found = ok and objects_with_id(decoded, 1, {}) or {}
  if #found > 1 then
    return errors.fail("config", ("%s: it has several clients; leave one in it"):format(path))
  end
  local values = {}
  for name, value in pairs(found[1] or from_lines(text)) do
    name = ALIASES[name] or name
    if options.get(name) and type(value) == "string" and value ~= "" then
      values[name] = value
    end
  end
  if not values.client_id then
    return errors.fail("config", ("%s: there is no client_id in it, neither as JSON nor as a line"):format(path))
  end
  return values
end

return handed_over

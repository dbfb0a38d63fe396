-- Formats JSON, keys sorted: for people, one per line, or all in one. Works on the text and not on values decoded by
-- lua-cjson, so that numbers and strings remain as the server wrote them, and an empty list remains a list.
-- SPDX-License-Identifier: MIT

local json = require "central.auth.json"
local terminal = require "central.auth.cli.terminal"

local json_text = {}

---@class central.auth.cli.Json
---@field open string { or [
---@field [1] string | central.auth.cli.Json its parts in their order: the text of a value, or such a table
---@field keys string[] of an object: the names of its parts, in quotes

local CLOSE = { ["{"] = "}", ["["] = "]" }

local function escape(char)
  return ("\\u%04x"):format(char:byte())
end

-- Removes backslashes before slashes, and escapes control characters, which a terminal would interpret.
local function clean(text)
  return (text:gsub("\\(.)", { ["/"] = "/" }):gsub("[\0-\31\127]", escape):gsub("\xC2([\x80-\x9F])", escape))
end

local function read(text, at)
  local char = text:sub(at, at)
  if char == '"' then
    local stop = at
    repeat
      stop = text:match('^[^"\\]*()', stop + 1)
      local escaped = text:sub(stop, stop) == "\\"
      stop = escaped and stop + 1 or stop
    until not escaped
    return clean(text:sub(at, stop)), stop + 1
  elseif not CLOSE[char] then
    local word, after = text:match("^([^%s,%]}]+)()", at)
    return clean(word), after
  end
  local node = { open = char, keys = {} }
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= CLOSE[char] do
    if char == "{" then
      node.keys[#node + 1], at = read(text, at)
      at = text:match("^%s*:%s*()", at)
    end
    node[#node + 1], at = read(text, at)
    at = text:match("^%s*,?%s*()", at)
  end
  return node, at + 1
end

--- Parses a text, which lua-cjson must have accepted as JSON.
---@param text string
---@return string | central.auth.cli.Json
function json_text.read(text)
  return (read(text, text:match "^\xEF?\xBB?\xBF?%s*()"))
end

--- Returns a value as a parsed text. An empty table becomes an object.
---@param value any
---@return string | central.auth.cli.Json
function json_text.of(value)
  return json_text.read(json.cjson().encode(value))
end

-- Returns the indices of the parts in the order of their names.
local function order_of(node)
  local order = {}
  for i in ipairs(node) do
    order[i] = i
  end
  table.sort(order, function(a, b)
    local one, other = node.keys[a], node.keys[b]
    return one ~= other and one ~= nil and one < other or one == other and a < b
  end)
  return order
end

-- `indent`: of the first line; nil: all in one line.
local function format(node, indent)
  if type(node) == "string" then
    return node
  end
  local inner = indent and indent .. "  "
  local line_end, parts = indent and node[1] and "\n" or "", {}
  for i, at in ipairs(order_of(node)) do
    local name = node.keys[at]
    parts[i] = line_end .. (inner or "") .. (name and name .. (indent and ": " or ":") or "") .. format(node[at], inner)
  end
  return node.open .. table.concat(parts, ",") .. line_end .. (node[1] and indent or "") .. CLOSE[node.open]
end

--- Formats a parsed text in one line.
---@param node string | central.auth.cli.Json
---@return string
function json_text.line(node)
  return format(node)
end

--- Formats a parsed text for people.
---@param node string | central.auth.cli.Json
---@return string
function json_text.write(node)
  return format(node, "")
end

--- Formats a parsed text for standard output: for people on a terminal, else in one line.
---@param node string | central.auth.cli.Json
---@return string
function json_text.shown(node)
  return (terminal.columns(1) and json_text.write or json_text.line)(node)
end

return json_text

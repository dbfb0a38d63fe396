-- Makes the JSON body of the fields of central-auth api: key=value, a[b]=value for an object in it, a[]=value for a
-- list. Numbers keep the digits that were typed.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local json_text = require "central.auth.cli.json_text"

local fields = {}

--- Reads a file, or with - standard input.
---@param path string
---@return string text
function fields.read(path)
  local text, problem
  if path == "-" then
    text, problem = io.read "a"
  else
    local file <close>, why = io.open(path, "rb")
    problem = why
    if file then
      text, problem = file:read "a"
    end
  end
  if not text then
    errors.raise(("can't read the file: %s"):format(errors.printable(problem)), "config")
  end
  return text
end

-- Returns whether a text is a number as JSON writes it.
local function is_number(text)
  local mantissa = text:gsub("[eE][+-]?%d+$", "")
  local whole = mantissa:gsub("%.%d+$", "")
  return whole:find "^%-?[1-9]%d*$" ~= nil or whole:find "^%-?0$" ~= nil
end

local LITERALS = { ["true"] = true, ["false"] = true, null = true }

local function quoted(text)
  if not utf8.len(text) then
    errors.raise("a field is not UTF-8 text", "config")
  end
  return json_text.of(text)
end

-- Returns the JSON text of a value with its type: true, false, null, a number, or a text; @FILE is a file's content.
local function typed(text)
  if LITERALS[text] or is_number(text) then
    return text
  elseif text:find "^@" then
    text = fields.read(text:sub(2))
  end
  return quoted(text)
end

-- Returns the names in a key: a[b][] has "a", "b" and "", which is the end of a list; nil if the key is not valid.
local function names_in(key)
  local first, rest = key:match "^([^%[%]]+)(.*)$"
  if not first or rest:gsub("%[[^%[%]]*%]", "") ~= "" or rest:find "%[%]." then
    return nil
  end
  local names = { first }
  for name in rest:gmatch "%[([^%]]*)%]" do
    names[#names + 1] = name
  end
  return names
end

-- Adds a value below a node, whose `at` has the positions of its keys. Returns false if a name has a value already, or
-- one of another kind.
local function add(node, names, value)
  for i, name in ipairs(names) do
    local is_list, inner = name == "", names[i + 1]
    if type(node) ~= "table" or node.open ~= (is_list and "[" or "{") then
      return false
    end
    local at = node.at[name]
    if is_list or not at then
      at = #node + 1
      node.keys[at], node.at[name] = not is_list and quoted(name) or nil, at
      node[at] = inner and { open = inner == "" and "[" or "{", keys = {}, at = {} } or value
    elseif not inner then
      return false
    end
    node = node[at]
  end
  return true
end

--- Returns the JSON text of fields: those of -f, whose values are texts, then those of -F.
---@param texts string[][] each { key, value }
---@param others string[][]
---@return string text
function fields.json(texts, others)
  local root = { open = "{", keys = {}, at = {} }
  for option, list in ipairs { texts, others } do
    for _, pair in ipairs(list) do
      local names = names_in(pair[1])
      local shown = errors.printable(pair[1])
      if not names then
        errors.raise(("the key of a field must be like key, key[name] or key[]: %s"):format(shown), "usage")
      elseif not add(root, names, (option == 1 and quoted or typed)(pair[2])) then
        errors.raise(("the field %s is set twice, or is a value and a list or an object"):format(shown), "usage")
      end
    end
  end
  return json_text.line(root)
end

return fields

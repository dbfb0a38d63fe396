-- Reads the LuaCATS annotations of this package's Lua sources, as a list of items per file. For the texts of
-- `auth.help`, and for the reference.
-- SPDX-License-Identifier: MIT

local annotations = {}

---@class central.auth.annotations.Value
---@field name? string
---@field type? string
---@field text string
---@field optional? boolean

---@class central.auth.annotations.Item
---@field kind "function" | "class" | "value"
---@field name string
---@field owner? string of a function: the variable, or type, that has it
---@field text string
---@field lines string[] the text in the source's lines
---@field params? central.auth.annotations.Value[] of a function
---@field returns? central.auth.annotations.Value[]
---@field fields? central.auth.annotations.Value[] of a class
---@field arguments? string[] as the code has them
---@field type? string of a value; of an alias: its definition

-- --- types -----------------------------------------------------------------------------------------------------------

local function one_type(text, at)
  for _, pattern in ipairs { '^"[^"]*"()', "^%b{}()", "^fun%b():?()", "^[%w_.]+%b<>()", "^[%w_.]+()" } do
    local after = text:match(pattern, at)
    if after and text:sub(after - 1, after - 1) == ":" then -- the types that a function returns
      repeat
        after = one_type(text, text:match("^%s*()", after))
        local more = text:match("^,%s*()[%w_.]+%?", after) or text:match("^,%s*()[%w_.]+$", after) -- and no text
        after = more or after
      until not more
    end
    if after then
      return text:match("^[%[%]?]*()", after)
    end
  end
  return at
end

-- The type at the start of a text, with its alternatives, and the rest.
local function split_type(text)
  local after = one_type(text, 1)
  while true do
    local more = text:match("^%s*|%s*()", after)
    if not more then
      return text:sub(1, after - 1), text:match("^%s*(.*)", after)
    end
    after = one_type(text, more)
  end
end

local function named(text)
  local name, optional, rest = text:match "^%[?([%w_.]+)%]?(%??)%s+(.*)"
  local kind, about = split_type(rest or "")
  return { name = name, type = kind, text = about, optional = optional == "?" }
end

-- The params and returns of `fun(options?: T): A, B`.
local function of_function_type(text)
  local inside, results = text:match "^fun(%b()):?%s*(.*)"
  local params, returns = {}, {}
  for part in (inside or "()"):sub(2, -2):gmatch "[^,]+" do
    params[#params + 1] = named((part:gsub("^%s+", ""):gsub(":", " ", 1)))
  end
  while results and results ~= "" do
    local kind
    kind, results = split_type(results)
    returns[#returns + 1] = { type = kind, text = "" }
    results = results:match "^,?%s*(.*)"
  end
  return params, returns
end

-- --- Lua -------------------------------------------------------------------------------------------------------------

local READ = {
  param = function(item, text) table.insert(item.params, named(text)) end,
  field = function(item, text) table.insert(item.fields, named(text)) end,
  ["return"] = function(item, text)
    local kind, rest = split_type(text)
    local name, about = rest:match "^([%w_]+)%s*(.*)"
    table.insert(item.returns, { type = kind, name = name, text = about or "" })
  end,
  class = function(item, text) item.kind, item.name = "class", text:match "^[%w_.]+" end,
  alias = function(item, text) item.kind, item.name, item.type = "class", text:match "^([%w_.]+)%s*(.*)" end,
  type = function(item, text) item.type = text end,
}

-- A block of `---` lines: an item without its name.
local function read_block(lines)
  local item = { kind = "function", params = {}, returns = {}, fields = {} }
  local text_lines, tags = {}, {}
  for _, line in ipairs(lines) do
    local text = line:match "^%-%-%-%s?(.*)"
    local choice, about = text:match '^|%s*"([^"]*)"%s*#?%s*(.*)'
    if choice then
      table.insert(item.fields, { name = choice, type = "", text = about })
    elseif text:sub(1, 1) == "@" then
      tags[#tags + 1] = text
    elseif #tags > 0 then
      tags[#tags] = tags[#tags] .. " " .. text
    else
      text_lines[#text_lines + 1] = text
    end
  end
  for _, text in ipairs(tags) do
    local tag, rest = text:match "^@(%w+)%s*(.*)"
    assert(READ[tag], "no such tag: " .. text)(item, rest)
  end
  item.text, item.lines = table.concat(text_lines, " "), text_lines
  return item
end

local function split(text)
  local list = {}
  for word in text:gmatch "[%w_.]+" do
    list[#list + 1] = word
  end
  return list
end

-- Names an item by the line of code after its block.
local function name_item(item, code, classes)
  local owner, name, arguments = code:match "^function ([%w_]+)[.:]([%w_]+)%((.-)%)"
  if not owner then
    owner, name = code:match "^([%w_]+)%.([%w_]+) = "
  end
  if item.kind == "class" then
    classes[code:match "^local ([%w_]+) = " or false] = item
  elseif name then
    item.owner, item.name, item.arguments = classes[owner] and classes[owner].name or owner, name,
      arguments and split(arguments)
  else
    item.name = code:match "^local function ([%w_]+)" or code:match "^return function" and "module"
  end
  return item
end

-- An item with a type is a function if the type is one, which may be an alias of this file; else it is a value.
local function resolve(items)
  local aliases = {}
  for _, item in ipairs(items) do
    local kind = item.type
    if item.kind == "class" then
      aliases[item.name] = kind
    elseif kind then
      kind = aliases[kind] or kind
      item.params, item.returns = of_function_type(kind)
      item.kind, item.type = kind:find "^fun%(" and "function" or "value", kind
    end
  end
  return items
end

-- The comment at the start of a file, without the licence.
local function opening(text, mark, licence)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local comment = line:match(mark)
    if not comment or comment:find("SPDX", 1, true) then
      lines[#lines + 1] = comment and comment:match(licence) or nil
      break
    end
    lines[#lines + 1] = comment
  end
  return table.concat(lines, " ")
end

--- Returns the first comment of a Lua file, and its items.
---@param text string
---@return string about
---@return central.auth.annotations.Item[] items
function annotations.of_lua(text)
  local items, classes, block = {}, {}, {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if line:find "^%-%-%-" then
      block[#block + 1] = line
    elseif #block > 0 then
      items[#items + 1], block = name_item(read_block(block), line, classes), {}
    end
  end
  return opening(text, "^%-%- ?(.*)", "^$"), resolve(items)
end

return annotations

-- Reads what the sources say of themselves: LuaCATS comments in Lua, contracts in C headers, and in the binding the
-- comments that show a function as Lua calls it. One list of items a file; the reference and its spec live on it.
-- SPDX-License-Identifier: MIT

local annotations = {}

--- The modules with what people call; the rest is for those who work on it.
annotations.public = {
  ["central.auth"] = true, ["central.auth.client"] = true, ["central.auth.calls"] = true, ["central.auth.credentials"] = true,
  ["central.auth.errors"] = true, ["central.auth.loops"] = true, ["central.auth.options"] = true,
  ["central.auth.pages"] = true, ["central.auth.pending"] = true, ["central.auth.request"] = true,
  ["central.auth.sandbox"] = true, ["central.auth.status"] = true, ["central.auth.tenant"] = true,
}

---@class annotations.Value
---@field name? string
---@field type? string
---@field text string
---@field optional? boolean

---@class annotations.Item
---@field kind "function" | "class" | "value"
---@field name string
---@field owner? string of a function: the variable, or type, it belongs to
---@field text string
---@field params? annotations.Value[] of a function
---@field returns? annotations.Value[]
---@field fields? annotations.Value[] of a class
---@field arguments? string[] as the code has them
---@field type? string of a value; of an alias, what it stands for

-- --- types -----------------------------------------------------------------------------------------------------------

local function one_type(text, at)
  for _, pattern in ipairs { '^"[^"]*"()', "^%b{}()", "^fun%b():?()", "^[%w_.]+%b<>()", "^[%w_.]+()" } do
    local after = text:match(pattern, at)
    if after and text:sub(after - 1, after - 1) == ":" then -- what a function returns
      after = one_type(text, text:match("^%s*()", after))
    end
    if after then
      return text:match("^[%[%]?]*()", after)
    end
  end
  return at
end

-- The type that a text begins with, alternatives and all, and the rest.
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
  local name, optional, rest = text:match "^([%w_.%[%]]+)(%??)%s+(.*)"
  local kind, about = split_type(rest or "")
  return { name = name, type = kind, text = about, optional = optional == "?" }
end

-- `fun(options?: T): A, B`, as params and returns.
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
  local said, tags = {}, {}
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
      said[#said + 1] = text
    end
  end
  for _, text in ipairs(tags) do
    local tag, rest = text:match "^@(%w+)%s*(.*)"
    assert(READ[tag], "no such tag: " .. text)(item, rest)
  end
  item.text = table.concat(said, " ")
  return item
end

local function words(text)
  local list = {}
  for word in text:gmatch "[%w_.]+" do
    list[#list + 1] = word
  end
  return list
end

-- What the code after a block says it is about.
local function name_item(item, code, classes)
  local owner, name, arguments = code:match "^function ([%w_]+)[.:]([%w_]+)%((.-)%)"
  if not owner then
    owner, name = code:match "^([%w_]+)%.([%w_]+) = "
  end
  if item.kind == "class" then
    classes[code:match "^local ([%w_]+) = " or false] = item
  elseif name then
    item.owner, item.name, item.arguments = classes[owner] and classes[owner].name or owner, name,
      arguments and words(arguments)
  else
    item.name = code:match "^local function ([%w_]+)" or code:match "^return function" and "module"
  end
  return item
end

-- A function told by its type, which may be an alias of this file; else it is a value.
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

-- The comment that opens a file, without the licence.
local function opening(text, mark, licence)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local said = line:match(mark)
    if not said or said:find("SPDX", 1, true) then
      lines[#lines + 1] = said and said:match(licence) or nil
      break
    end
    lines[#lines + 1] = said
  end
  return table.concat(lines, " ")
end

--- What a Lua file says of itself: its opening comment, and its items.
---@param text string
---@return string about
---@return annotations.Item[] items
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

-- --- C ---------------------------------------------------------------------------------------------------------------

local function plain(comment)
  return (comment:gsub("\n[ \t]*%*?", " "):gsub("%s+", " "):gsub("^%s*(.-)%s*$", "%1"))
end

local function c_params(text)
  local list = {}
  for part in text:gmatch "[^,]+" do
    local kind, name = part:match "^%s*(.-)([%w_]+)%s*%[?%]?%s*$"
    list[#list + 1] = kind ~= "" and { name = name, type = kind:match "^(.-)%s*$", text = "" } or nil
  end
  return list
end

-- Fields of a struct, names of an enum: up to a semicolon or comma each, then perhaps a comment.
local function c_fields(body)
  local list, at = {}, 1
  while true do
    local code, after = body:match("^%s*([%w_][^;,]*)[;,]?()", at)
    if not code then
      return list
    end
    local comment, past = body:match("^[ \t]*/%*%s*(.-)%s*%*/()", after)
    code = plain(code):gsub("%s*/%*.*", "")
    local kind, name = code:match "^(.-)([%w_]+)$"
    if not name then
      kind, name = code:match "^(.-)([%w_]+%[.*%])$"
    end
    list[#list + 1] = { name = name, type = kind:match "^(.-)%s*$", text = plain(comment or "") }
    at = past or after
  end
end

-- One declaration of a header.
local function declared(text, code)
  local kind, name, body = code:match "^(%l+) ([%w_]+) (%b{})"
  if kind == "struct" or kind == "enum" then
    return { kind = "class", name = name, text = text, fields = c_fields(body:sub(2, -2)) }
  end
  local result, called, params = code:match "^([%w_ ]+[ *]+)([%w_]+)(%b());"
  return called and {
    kind = "function", name = called, text = text, params = c_params(params:sub(2, -2)),
    returns = { { type = result:match "^(.-)%s*$", text = "" } },
  }
end

--- What a C header says of itself: its opening comment, and its items.
---@param text string
---@return string about
---@return annotations.Item[] items
function annotations.of_header(text)
  local items, at = {}, text:match "^/%*.-%*/()"
  local about = plain(text:match "^/%*(.-)%*/"):gsub("%s*SPDX.*", "")
  while at do
    local comment, after = text:match("^%s*/%*(.-)%*/%s*()", at)
    at = after or text:match("^%s*()", at)
    local item = declared(comment and plain(comment) or "", text:sub(at))
    if item then
      items[#items + 1] = item
    end
    -- On to what follows the declaration: past its end, or past this line.
    at = text:match("^%l+ [%w_]+ %b{};()", at) or text:match("^[^;#/{}\n][^;{}#/]*;[^\n]*\n()", at)
      or text:match("^[^\n]*\n()", at)
  end
  return about, items
end

local function lua_params(text)
  local list = {}
  for part in text:gsub("%b{}", "table"):gmatch "[^,]+" do
    local name = plain(part:gsub("[^%w_ ]", "")):gsub(" ", "_")
    list[#list + 1] = name ~= "" and { name = name, type = "", text = "" } or nil
  end
  return list
end

--- What a file of the binding says of the functions that it gives to Lua.
---@param text string
---@return annotations.Item[] items
function annotations.of_binding(text)
  local items = {}
  for comment, code in text:gmatch "\n/%*(.-)%*/\n([^\n]*)" do
    local said = plain(comment)
    local name, rest = said:match "^([%l%d_:]+)%s?([({].*)$"
    if name and code:find "^static int" then
      local inside, after = rest:match "^(%b())(.*)"
      if not inside then
        inside, after = rest:match "^(%b{})(.*)"
      end
      items[#items + 1] = { kind = "function", name = name:match "[%l%d_]+$", owner = name:match "^(.*):",
        params = lua_params(inside:sub(2, -2)), returns = {}, fields = {},
        text = (after:gsub("^[:,]%s*", ""):gsub("^%s*%->%s*", "Returns ")) }
    end
  end
  return items
end

return annotations

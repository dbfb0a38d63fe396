-- Reads the LuaCATS comments of our own source: what `auth.help` shows is what stands beside the code.
-- SPDX-License-Identifier: MIT

local annotations = {}

---@class central.auth.Comment
---@field words string[] the sentences
---@field params table[] each { name, type, words }
---@field returns table[] each { name, type, words }
---@field fields table[] of a class: each { name, type, words }
---@field class? string
---@field code string the line below

-- A type may hold blanks in brackets and around `|`; the words follow it.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local char = text:sub(at, at)
    if char:find "[%(%{%[<]" then
      depth = depth + 1
    elseif char:find "[%)%}%]>]" then
      depth = depth - 1
    elseif char == " " and depth == 0 and not text:find("^%s*|", at) and not text:sub(1, at - 1):find "[|:]%s*$" then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), text:sub(at):match "^%s*(.-)%s*$"
end

local function named(text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local kind, words = split_type(rest or "")
  return { name = name, type = kind, words = words }
end

-- The type of a result comes before its name.
local function result(text)
  local kind, rest = split_type(text)
  local name, words = rest:match "^(%S+)%s*(.*)$"
  return { name = name, type = kind, words = words or "" }
end

local TAGS = {
  param = function(comment, text) table.insert(comment.params, named(text)) end,
  field = function(comment, text) table.insert(comment.fields, named(text)) end,
  ["return"] = function(comment, text) table.insert(comment.returns, result(text)) end,
  class = function(comment, text) comment.class = text:match "^[%w_.]+" end,
}

local function add(comment, line)
  local tag, text = line:match "^%-%-%-@(%w+)%s*(.*)$"
  if TAGS[tag] then
    TAGS[tag](comment, text)
  elseif not tag then
    table.insert(comment.words, (line:gsub("^%-%-%-%s?", "")))
  end
end

local function blank()
  return { words = {}, params = {}, returns = {}, fields = {} }
end

--- All comments of a module's source, in its order; none where its source can't be read.
---@param module string
---@return central.auth.Comment[]
function annotations.of(module)
  local path = package.searchpath(module, package.path)
  local file <close> = path and io.open(path) or nil
  local list, comment = {}, blank()
  for line in (file and file:lines() or string.gmatch("", "")) do
    if line:find "^%-%-%-[^%-]" then
      add(comment, line)
    elseif #comment.words > 0 or comment.class then
      comment.code = line
      list[#list + 1] = comment
      comment = blank()
    end
  end
  return list
end

return annotations

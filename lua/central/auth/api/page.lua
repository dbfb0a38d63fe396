-- What one page of a collection says: its list, and by which of the many ways in use there are more pages.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local page = {}

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

--- The value of a field; null, "" and false say nothing.
---@param fields table
---@param name string
---@return any
function page.said(fields, name)
  local value = fields[name]
  return value ~= cjson.null and value ~= "" and value or nil
end

--- The first of these fields that is a number, 0 or more, or text that is one.
---@param fields table
---@param ... string
---@return number?
function page.count(fields, ...)
  for _, name in ipairs { ... } do
    local value = fields[name]
    local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
    if number and number >= 0 and number < math.huge then
      return math.tointeger(number) or number
    end
  end
end

--- How many items there are in all, if the page says.
---@param fields table
---@return number?
function page.total(fields)
  return page.count(fields, "total", "totalCount", "total_count", "totalItems")
end

-- Whether it speaks of paging alone, as pages do that have no item.
local function has_words_only(fields)
  for _, value in pairs(fields) do
    if type(value) == "table" then
      return false
    end
  end
  for _, name in ipairs { "total", "count", "offset", "next", "nextPageToken" } do
    if fields[name] ~= nil then
      return true
    end
  end
  return false
end

--- The list in a page: the one of this name, or `items`, or the only one, or the page itself. Where it is null, or the
--- page has words of paging alone, there is nothing in it.
---@param fields table
---@param name? string
---@return any[]?
function page.list(fields, name)
  local list = fields[name or "items"]
  if list == cjson.null or list == nil and has_words_only(fields) then
    return {}
  elseif name or is_list(list) then
    return is_list(list) and list or nil
  elseif is_list(fields) then
    return fields
  end
  local lists = {}
  for _, value in pairs(fields) do
    lists[#lists + 1] = is_list(value) and value or nil
  end
  return #lists == 1 and lists[1] or nil
end

-- Fields by which a page says that there are more, in ways that nothing here follows; without case and signs.
local UNKNOWN_WAYS = {
  nextpage = true, nextpagetoken = true, nextcursor = true, nextlink = true, nexttoken = true, nexturl = true,
  nexthref = true, nextoffset = true, odatanextlink = true, hasmore = true, hasnext = true, hasnextpage = true,
}

--- The field by which a page, or an object in it, says in such a way that there are more.
---@param fields table
---@param within? string the name of the object, and a dot
---@return string?
function page.unknown_way(fields, within)
  for name in pairs(fields) do
    local value = type(name) == "string" and page.said(fields, name)
    local plain = value and name:lower():gsub("%A", "")
    if value and (UNKNOWN_WAYS[plain] or within and plain == "next") then
      return (within or "") .. name
    elseif not within and type(value) == "table" and not is_list(value) then
      local found = page.unknown_way(value, name .. ".")
      if found then
        return found
      end
    end
  end
end

--- The digits of a number as the server wrote them; nil where several fields of this name may be meant.
---@param body string
---@param name string
---@param value number as it was decoded
---@return string?
function page.digits(body, name, value)
  local found
  for digits in body:gmatch('"' .. name .. '"%s*:%s*(-?%d[%d.eE+-]*)') do
    if (tonumber(digits) or 0) + 0.0 == value then
      if found and found ~= digits then
        return nil
      end
      found = digits
    end
  end
  return found
end

-- A value as text that no other value has. Lengths separate its parts: quotes would double at each level.
local function text_of(value)
  if type(value) ~= "table" then
    return type(value) .. tostring(value)
  end
  local parts = {}
  for name, item in pairs(value) do
    parts[#parts + 1] = ("s4s4"):pack(name, text_of(item))
  end
  table.sort(parts)
  return table.concat(parts)
end

--- Texts by which items can be known again: of the first and the last, or of all where they are no objects, of which
--- several may be equal.
---@param items any[]
---@return string first
---@return string? last
function page.marks(items)
  if type(items[1]) ~= "table" then
    return text_of(items)
  end
  return text_of(items[1]), text_of(items[#items])
end

return page

-- Reads one page of a collection: its list of items, and the fields by which servers announce further pages.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local page = {}

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

--- Returns the value of a field; nil for null, "" and false.
---@param fields table
---@param name string
---@return any
function page.value(fields, name)
  local value = fields[name]
  return value ~= cjson.null and value ~= "" and value or nil
end

--- Returns the first of these fields that is a number, 0 or more, or text with such a number.
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

--- Returns the number of items in the collection, if the page has it.
---@param fields table
---@return number?
function page.total(fields)
  return page.count(fields, "total", "totalCount", "total_count", "totalItems")
end

-- Returns whether a page has only fields about paging. Some servers send such a page if there are no items.
local function has_paging_fields_only(fields)
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

--- Returns the list in a page: the one with this name, or `items`, or the only one, or the page itself. It is empty if
--- it is null, or if the page has only fields about paging.
---@param fields table
---@param name? string
---@return any[]?
function page.list(fields, name)
  local list = fields[name or "items"]
  if list == cjson.null or list == nil and has_paging_fields_only(fields) then
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

-- Fields that announce further pages in an unsupported way; in lower case, letters only.
local UNSUPPORTED = {
  nextpage = true, nextpagetoken = true, nextcursor = true, nextlink = true, nexttoken = true, nexturl = true,
  nexthref = true, nextoffset = true, odatanextlink = true, hasmore = true, hasnext = true, hasnextpage = true,
}

--- Returns the name of an unsupported field of a page, or of an object in it; nil without one.
---@param fields table
---@param within? string the object's name and a dot
---@return string?
function page.unsupported_field(fields, within)
  for name in pairs(fields) do
    local value = type(name) == "string" and page.value(fields, name)
    local letters = value and name:lower():gsub("%A", "")
    if value and (UNSUPPORTED[letters] or within and letters == "next") then
      return (within or "") .. name
    elseif not within and type(value) == "table" and not is_list(value) then
      local found = page.unsupported_field(value, name .. ".")
      if found then
        return found
      end
    end
  end
end

--- Returns the digits of a number as the server wrote them; nil if several fields have this name.
---@param body string
---@param name string
---@param value number the decoded number
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

-- Returns a value as text; different values have different texts. Parts have their lengths in front, as quotes would
-- double at each level.
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

--- Returns texts that identify the first and the last item. If the items are not objects, several may be equal: then it
--- returns one text of all items.
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

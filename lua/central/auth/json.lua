-- JSON as it comes from servers: lua-cjson, and by hand what it lets pass.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local json = {}

local DEPTH = 64 -- of arrays and objects within each other

local decoder = cjson.new()
decoder.decode_max_depth(DEPTH)
decoder.decode_invalid_numbers(true) -- so that a NaN in one field does not cost what is in another

-- Bodies begin with a byte-order mark now and then (RFC 8259, 8.1 lets a parser skip it).
local function plain(text)
  return (text:gsub("^\xEF\xBB\xBF", "", 1))
end

--- The value a text stands for; cjson.null for null, and nil where it is no JSON. Numbers are floats.
---@param text string
---@return any
function json.decode(text)
  text = plain(text)
  if text:find("\0", 1, true) or not utf8.len(text) then
    return nil
  end
  local ok, value = pcall(decoder.decode, text)
  if ok then
    return value
  end
end

--- The same, where it is an object.
---@param text string
---@return table?
function json.object(text)
  local value = json.decode(text)
  return type(value) == "table" and plain(text):find("^%s*{") and value or nil
end

-- lua-cjson writes fourteen digits. A whole number that has more would arrive as another.
local function loses_digits(value)
  if type(value) == "table" then
    for _, item in pairs(value) do
      local lost = loses_digits(item)
      if lost then
        return lost
      end
    end
  elseif type(value) == "number" and math.tointeger(value) and tonumber(("%.14g"):format(value)) ~= value then
    return value
  end
end

--- A value as JSON; nil and why where it can't be: a function in it, a NaN, a list with holes, a whole number of more
--- than fourteen digits, text that is not UTF-8.
---@param value any
---@return string? text
---@return string? problem
function json.encode(value)
  local ok, text = pcall(cjson.encode, value)
  if not ok then
    return nil, tostring(text)
  end
  local lost = loses_digits(value)
  if lost then
    return nil, ("%d has more digits than lua-cjson writes; give it as a string, or the text in body"):format(lost)
  elseif not utf8.len(text) then
    return nil, "it holds text that is not UTF-8"
  end
  return text
end

return json

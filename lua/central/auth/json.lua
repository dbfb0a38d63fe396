-- JSON as it comes from servers: lua-cjson, and by hand what it lets pass.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local lazy = require "central.auth.lazy"

local url = lazy "central.auth.url"

local json = {}

local DEPTH = 64 -- of arrays and objects within each other

local decoder = cjson.new()
decoder.decode_max_depth(DEPTH)
decoder.decode_invalid_numbers(true) -- so that a NaN in one field does not cost what is in another

-- lua-cjson writes and reads the decimal point that the process's locale had at the last cjson.new() of whichever Lua
-- state. Where the locale's is another by now, it is made to look again; not for a point of several bytes, at which it
-- would end the process.
local function keep_point()
  local ok, half = pcall(decoder.decode, "0.5")
  if not (ok and half == 0.5) and #tostring(0.5) == #"0.5" then
    cjson.new()
  end
end

--- lua-cjson, fit for the locale of this moment.
function json.cjson()
  keep_point()
  return cjson
end

-- Bodies begin with a byte-order mark now and then (RFC 8259, 8.1 lets a parser skip it).
local function plain(text)
  return (text:gsub("^\xEF\xBB\xBF", "", 1))
end

-- Of bytes that are no character: the character they begin with, if any, and one that stands for what is lost.
local function mend_bytes(bytes)
  local size = utf8.len(bytes) == 1 and #bytes or 0
  for length = math.min(#bytes - 1, 4), 1, -1 do
    size = size == 0 and utf8.len(bytes:sub(1, length)) == 1 and length or size
  end
  return size < #bytes and bytes:sub(1, size) .. "\u{FFFD}" or bytes
end

-- Escapes of surrogates: a pair becomes the character it stands for, one alone becomes U+FFFD. A row of backslashes is
-- read from its begin alone, or a long one would take the square of its length.
local function mend_escapes(text)
  text = text:gsub("%f[\\](\\+)u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(slashes, high, low)
    local code = 0x10000 + ((tonumber(high, 16) & 0x3FF) << 10) + (tonumber(low, 16) & 0x3FF)
    return #slashes % 2 == 1 and slashes:sub(2) .. utf8.char(code) or nil
  end)
  return (text:gsub("%f[\\](\\+)u[dD][89a-fA-F]%x%x", function(slashes)
    return #slashes % 2 == 1 and slashes:sub(2) .. "\u{FFFD}" or nil
  end))
end

--- A text as UTF-8: U+FFFD stands for bytes that are no character.
---@param text string
---@return string
function json.mend(text)
  return utf8.len(text) and text or (text:gsub("[\x80-\xFF][\x80-\xBF]*", mend_bytes))
end

--- The value a text stands for; cjson.null for null, and nil where it is no JSON. Numbers are floats. U+FFFD stands for
--- bytes that are no character and for half a surrogate pair.
---@param text string
---@return any
function json.decode(text)
  if text:find("\0", 1, true) then
    return nil
  end
  keep_point()
  text = json.mend(plain(text))
  local ok, value = pcall(decoder.decode, text)
  if not ok and text:find("\\u[dD]") then
    ok, value = pcall(decoder.decode, mend_escapes(text))
  end
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

-- A number in a value that would arrive as another, or as none, and why: lua-cjson writes fourteen digits, and the
-- locale's decimal point where that has several bytes.
local function lost_number(value)
  if type(value) == "table" then
    for _, item in pairs(value) do
      local lost, why = lost_number(item)
      if lost then
        return lost, why
      end
    end
  elseif type(value) == "number" then
    local text = ("%.14g"):format(value)
    if text:find("[\x80-\xFF]") then
      return value, "has a fraction, which lua-cjson can't write with a decimal point of several bytes"
    elseif tonumber(text) ~= value then
      return value, "has more digits than lua-cjson writes"
    end
  end
end

--- A value as JSON; nil and why where it can't be: a function in it, a NaN, a list with holes, a number of more than
--- fourteen digits, text that is not UTF-8.
---@param value any
---@return string? text
---@return string? problem
function json.encode(value)
  local ok, text = pcall(json.cjson().encode, value)
  if not ok then
    return nil, tostring(text)
  end
  local lost, why = lost_number(value)
  if lost then
    return nil, ("%s %s; give it as a string, or the text in body"):format(url.text(lost), why)
  elseif not utf8.len(text) then
    return nil, "it holds text that is not UTF-8"
  end
  return text
end

return json

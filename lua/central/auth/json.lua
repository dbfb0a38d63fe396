-- JSON of servers, by lua-cjson, with checks for what lua-cjson accepts though it is not valid.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local lazy = require("central.auth.util").lazy

local url = lazy "central.auth.url"

local json = {}

local DEPTH_MAX = 64 -- of arrays and objects in each other

local decoder = cjson.new()
decoder.decode_max_depth(DEPTH_MAX)
decoder.decode_invalid_numbers(true) -- a NaN in one field must not lose the others

-- lua-cjson reads and writes the decimal point that the process's locale had at the last cjson.new() in any Lua state.
-- If the locale has another one now, a new cjson.new() makes it read the locale again; not for a point of several
-- bytes, with which lua-cjson would abort the process.
local function update_decimal_point()
  local ok, half = pcall(decoder.decode, "0.5")
  if not (ok and half == 0.5) and #tostring(0.5) == #"0.5" then
    cjson.new()
  end
end

--- Returns lua-cjson, with the decimal point of the current locale.
function json.cjson()
  update_decimal_point()
  return cjson
end

-- Some servers send a byte-order mark, which a parser may skip (RFC 8259, 8.1).
local function drop_mark(text)
  return (text:gsub("^\xEF\xBB\xBF", "", 1))
end

-- Of bytes that are not UTF-8: the character at their start, if there is one, and U+FFFD for the rest.
local function mend_bytes(bytes)
  local size = utf8.len(bytes) == 1 and #bytes or 0
  for length = math.min(#bytes - 1, 4), 1, -1 do
    size = size == 0 and utf8.len(bytes:sub(1, length)) == 1 and length or size
  end
  return size < #bytes and bytes:sub(1, size) .. "\u{FFFD}" or bytes
end

-- Escaped surrogates: a pair becomes its character, half a pair becomes U+FFFD. A row of backslashes is matched only
-- from its start, or the time would grow with the square of its length.
local function mend_escapes(text)
  text = text:gsub("%f[\\](\\+)u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(slashes, high, low)
    local code = 0x10000 + ((tonumber(high, 16) & 0x3FF) << 10) + (tonumber(low, 16) & 0x3FF)
    return #slashes % 2 == 1 and slashes:sub(2) .. utf8.char(code) or nil
  end)
  return (text:gsub("%f[\\](\\+)u[dD][89a-fA-F]%x%x", function(slashes)
    return #slashes % 2 == 1 and slashes:sub(2) .. "\u{FFFD}" or nil
  end))
end

--- Returns the text as valid UTF-8: U+FFFD replaces invalid bytes.
---@param text string
---@return string
function json.mend(text)
  return utf8.len(text) and text or (text:gsub("[\x80-\xFF][\x80-\xBF]*", mend_bytes))
end

--- Decodes a text; cjson.null for null, and nil if it is not JSON. Numbers are floats. U+FFFD replaces invalid bytes
--- and half surrogate pairs.
---@param text string
---@return any
function json.decode(text)
  if text:find("\0", 1, true) then
    return nil
  end
  update_decimal_point()
  text = json.mend(drop_mark(text))
  local ok, value = pcall(decoder.decode, text)
  if not ok and text:find("\\u[dD]") then
    ok, value = pcall(decoder.decode, mend_escapes(text))
  end
  if ok then
    return value
  end
end

--- Decodes a text; nil if it is not a JSON object.
---@param text string
---@return table?
function json.object(text)
  local value = json.decode(text)
  return type(value) == "table" and drop_mark(text):find("^%s*{") and value or nil
end

-- A number in a value that lua-cjson would not write correctly, and why: it writes fourteen digits, and cannot write
-- the locale's decimal point if that has several bytes.
local function inexact_number(value)
  if type(value) == "table" then
    for _, item in pairs(value) do
      local number, why = inexact_number(item)
      if number then
        return number, why
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

--- Encodes a value; nil and why if it contains a function, a NaN, a list with holes, a number of more than fourteen
--- digits, or text that is not UTF-8.
---@param value any
---@return string? text
---@return string? problem
function json.encode(value)
  local ok, text = pcall(json.cjson().encode, value)
  if not ok then
    return nil, tostring(text)
  end
  local number, why = inexact_number(value)
  if number then
    return nil, ("%s %s; give it as a string, or the text in body"):format(url.text(number), why)
  elseif not utf8.len(text) then
    return nil, "it holds text that is not UTF-8"
  end
  return text
end

return json

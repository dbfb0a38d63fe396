-- Decodes the JSON of servers by lua-cjson, and refuses invalid JSON that lua-cjson accepts.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy

local json_mending = lazy "central.auth.json_mending"

local json = {}

local DEPTH_MAX = 64 -- levels of nested arrays and objects

local decoder = cjson.new()
decoder.decode_max_depth(DEPTH_MAX)
decoder.decode_invalid_numbers(true) -- a NaN in one field must not lose the others

-- lua-cjson uses the decimal point that the process's locale had at the last cjson.new() in any Lua state. If the
-- locale has changed, cjson.new() updates it. lua-cjson would abort the process for a decimal point of several bytes.
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

-- Raises if the text is not JSON; for any text, if lua-cjson has another decimal point than the locale.
local function decode(text)
  decoder.decode "0.5"
  return decoder.decode(text)
end

-- Some servers send a byte-order mark, which a parser may skip (RFC 8259, 8.1).
local function drop_mark(text)
  return text:byte(1) == 0xEF and text:gsub("^\xEF\xBB\xBF", "", 1) or text
end

--- Decodes a text; cjson.null for null, and nil if it is not JSON. Numbers are floats. U+FFFD replaces invalid bytes
--- and half surrogate pairs.
---@param text string
---@return any
function json.decode(text)
  if not core.is_utf8(text) then
    if text:find("\0", 1, true) then -- lua-cjson takes it for the end
      return nil
    end
    text = json_mending.bytes(text)
  end
  local ok, value = pcall(decode, text)
  if not ok then
    update_decimal_point()
    ok, value = pcall(decoder.decode, json_mending.escapes(drop_mark(text)))
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

return json

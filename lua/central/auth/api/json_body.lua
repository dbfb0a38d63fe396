-- Encodes the JSON body of a request by lua-cjson, and checks for values that lua-cjson writes incorrectly.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local json = require "central.auth.json"
local target = require "central.auth.api.target"

local json_body = {}

-- Returns a number that lua-cjson would not write correctly, and the reason: lua-cjson writes fourteen digits, and
-- cannot write a decimal point of several bytes, which some locales have.
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

--- Encodes a value. Returns nil and the problem if the value contains a function, a NaN, a list with holes, a number of
--- more than fourteen digits, or text that is not UTF-8.
---@param value any
---@return string? text
---@return string? problem
function json_body.encode(value)
  local ok, text = pcall(json.cjson().encode, value)
  if not ok then
    return nil, tostring(text)
  end
  local number, why = inexact_number(value)
  if number then
    return nil, ("%s %s; pass the number as a string, or the JSON text in body"):format(target.text(number), why)
  elseif not core.is_utf8(text) then
    return nil, "the value contains text that is not UTF-8"
  end
  return text
end

return json_body

-- Parses the values of environment variables for options that are not strings: durations, words, fields, switches.
-- SPDX-License-Identifier: MIT

local util = require "central.auth.util"

local url = util.lazy "central.auth.url"

local text_value = {}

--- Parses "a=1&b=2&b=3", as in a URL.
---@param value string
---@return table? fields
---@return string? problem
function text_value.fields(value)
  local out = {}
  for part in value:gsub("+", " "):gmatch("[^&]+") do
    local name, item = part:match("^([^=]+)=(.*)$")
    if not name then
      return nil, "write it like name=value&name=value"
    end
    util.add(out, url.decode(name), url.decode(item))
  end
  return out
end

--- Parses "one two three".
---@param value string
---@return string[]
function text_value.words(value)
  local out = {}
  for word in value:gmatch("%S+") do
    out[#out + 1] = word
  end
  return out
end

local SWITCH = { ["true"] = true, ["1"] = true, on = true, yes = true,
  ["false"] = false, ["0"] = false, off = false, no = false }

local SECONDS = { ms = 0.001, s = 1, m = 60, h = 3600 }

--- Parses "30", "500ms", "0.5s", "2m", "1h", in the command's options too.
---@param value string
---@return number? seconds
---@return string? problem
function text_value.duration(value)
  local digits, unit = value:match "^(%d+%.?%d*)(%a*)$"
  local factor = SECONDS[unit == "" and "s" or unit]
  local seconds = factor and tonumber(digits) * factor
  if seconds and seconds < math.huge then
    return seconds
  end
  return nil, "not a duration, like 30, 500ms, 2m or 1h"
end

--- Parses "on", "off" and the like; returns any other text unchanged.
---@param value string
---@return boolean | string
function text_value.switch(value)
  local switch = SWITCH[value:lower()]
  return switch == nil and value or switch
end

--- Parses the name of a profile, or "off".
---@param value string
---@return string | false
function text_value.profile(value)
  return value ~= "off" and value
end

return text_value

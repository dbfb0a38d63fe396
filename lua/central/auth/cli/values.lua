-- Checks the values of options and arguments. A message has the expected form and an example.
-- SPDX-License-Identifier: MIT

local options = require "central.auth.config.options"
local errors = require "central.auth.errors"
local text_value = require "central.auth.config.text_value"

local values = {}

local function whole_number(text)
  return text:find "^%d+$" and math.tointeger(tonumber(text))
end

-- Parses "503x3", "503x*" or "503": returns the argument of the sandbox's Server:fail.
local function failure(text)
  local status, times = (text:find "x" and text or text .. "x1"):match "^([45]%d%d)x(.*)$"
  if status and (times == "*" or times:find "^%d+$") then
    return { status = math.tointeger(status), times = times == "*" and math.huge or tonumber(times) }
  end
end

-- For each kind of number its description, its parser, and a check for more than not being negative.
local NUMBERS = {
  duration = { "a duration, like 30, 500ms, 2m or 1h", text_value.duration },
  timeout = { "a duration above 0 and up to 1h, like 30 or 500ms", text_value.duration,
    function(n) return n > 0 and n <= 3600 end },
  count = { "a whole number above 0, like 60", whole_number, function(n) return n > 0 end },
  failure = { "a status and a number of times, like 503x3", failure },
  port = { "the number of a port, like 8443", whole_number, function(n) return n <= 65535 end },
}

local PAIRS = { ["="] = "^([^=]+)=(.*)$", [":"] = "^([^:%s]+):[ \t]*(.-)[ \t]*$" }

-- A message does not repeat what follows a missing colon: a header field may be a secret.
local function pair(kind, shown, text)
  local name, value = text:match(PAIRS[kind])
  return name and { name, value },
    ("not like %s%s"):format(shown, kind == "=" and ": " .. errors.printable(text) or "")
end

local function number(kind, text)
  local expected, parse, is_valid = table.unpack(NUMBERS[kind])
  local value = parse(text)
  return value and (not is_valid or is_valid(value)) and value, ("not %s: %s"):format(expected, errors.printable(text))
end

-- A text is empty if a shell variable is unset.
local function text_of(option, text)
  local problem = text == "" and "the value is empty" or option and select(2, options.check(option, text))
  return not problem and text, problem
end

--- Returns the function by which argparse checks and parses the values of an option or argument. A duration becomes
--- seconds; a name and a value become a table of both.
---@param name string for messages
---@param item central.auth.cli.Option | table
---@return fun(text: string): any, string?
function values.converter(name, item)
  return function(text)
    local value, problem
    if item.pairs then
      value, problem = pair(item.pairs, item.value, text)
    elseif item.number then
      value, problem = number(item.number, text)
    else
      value, problem = text_of(item.option, text)
    end
    return value or nil, ("%s: %s"):format(name, problem)
  end
end

return values

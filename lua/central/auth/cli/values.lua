-- Checks the values of options and arguments. A message has the expected form and an example.
-- SPDX-License-Identifier: MIT

local options = require "central.auth.config.options"
local errors = require "central.auth.errors"
local text_value = require "central.auth.config.text_value"

local values = {}

local function whole_number(text)
  return text:find "^%d+$" and math.tointeger(tonumber(text))
end

-- For each kind of number its description, its parser, and a check for more than not being negative.
local NUMBERS = {
  duration = { "a duration, like 30, 500ms, 2m or 1h", text_value.duration },
  timeout = { "a duration above 0 and up to 1h, like 30 or 500ms", text_value.duration,
    function(n) return n > 0 and n <= 3600 end },
  count = { "a whole number above 0, like 60", whole_number, function(n) return n > 0 end },
  port = { "the number of a port, like 8443", whole_number, function(n) return n <= 65535 end },
}

--- Checks a text: it must not be empty, which it is if a shell variable is unset.
---@param name string
---@param option? string the library's option for which the text must be valid
---@return fun(text: string): string?, string?
function values.text(name, option)
  return function(text)
    local problem = text == "" and "the value is empty" or option and select(2, options.check(option, text))
    if problem then
      return nil, ("%s: %s"):format(name, problem)
    end
    return text
  end
end

local function invalid(option, expected, text)
  return nil, ("%s: not %s: %s"):format(option[2] or option[1], expected, errors.printable(text))
end

--- Parses the value of an option that takes a number; a duration becomes seconds.
---@param option central.auth.cli.Option
---@return fun(text: string): number?, string?
function values.number(option)
  local expected, parse, is_valid = table.unpack(NUMBERS[option.number])
  return function(text)
    local number = parse(text)
    if number and (not is_valid or is_valid(number)) then
      return number
    end
    return invalid(option, expected, text)
  end
end

local PAIRS = { ["="] = "^([^=]+)=(.*)$", [":"] = "^([^:%s]+):[ \t]*(.-)[ \t]*$" }

--- Checks the value of an option that takes a name and a value. A message does not repeat what follows a missing colon:
--- a header field may be a secret.
---@param option central.auth.cli.Option
---@return fun(text: string): string[]?, string?
function values.pair(option)
  return function(text)
    local name, value = text:match(PAIRS[option.pairs])
    if name then
      return { name, value }
    elseif option.pairs == ":" then
      return nil, ("%s: not like %s"):format(option[2] or option[1], option.value)
    end
    return invalid(option, "like " .. option.value, text)
  end
end

return values

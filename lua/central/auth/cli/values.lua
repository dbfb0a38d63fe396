-- Checks the values of options and arguments. A message has the expected form and an example.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"

local values = {}

local function is_integer(number)
  return math.type(number) == "integer"
end

-- For each kind of number its description, and a check for more than being finite and not negative.
local NUMBERS = {
  seconds = { "a number of seconds, like 30" },
  timeout = { "a number of seconds above 0 and up to 3600, like 30", function(n) return n > 0 and n <= 3600 end },
  milliseconds = { "a number of milliseconds, like 250" },
  count = { "a whole number above 0, like 60", function(n) return is_integer(n) and n > 0 end },
  port = { "the number of a port, like 8443", function(n) return is_integer(n) and n <= 65535 end },
}

--- Checks a text: it must not be empty, which it is if a shell variable is unset.
---@param name string
---@param option? string the library's option for which the text must be valid
---@return fun(text: string): string?, string?
function values.text(name, option)
  return function(text)
    local problem = text == "" and "the value is empty" or option and select(2, config.check(option, text))
    if problem then
      return nil, ("%s: %s"):format(name, problem)
    end
    return text
  end
end

local function invalid(option, expected, text)
  return nil, ("%s: not %s: %s"):format(option[2] or option[1], expected, errors.printable(text))
end

--- Checks the value of an option that takes a number.
---@param option central.auth.cli.Option
---@return fun(text: string): number?, string?
function values.number(option)
  local expected, is_valid = NUMBERS[option.number][1], NUMBERS[option.number][2]
  return function(text)
    local number = text:find "^%d+%.?%d*$" and tonumber(text)
    if number and number < math.huge and (not is_valid or is_valid(number)) then
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

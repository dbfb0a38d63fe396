-- What options and arguments take: a check of what was given, which says what is wanted, with an example.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"

local values = {}

local function whole(number)
  return math.type(number) == "integer"
end

-- In words with an example, and what a number must be beyond finite and not negative.
local NUMBERS = {
  seconds = { "a number of seconds, like 30" },
  timeout = { "a number of seconds above 0 and up to 3600, like 30", function(n) return n > 0 and n <= 3600 end },
  milliseconds = { "a number of milliseconds, like 250" },
  count = { "a whole number above 0, like 60", function(n) return whole(n) and n > 0 end },
  port = { "the number of a port, like 8443", function(n) return whole(n) and n <= 65535 end },
}

--- For whatever takes any text but none, which is what an unset variable of the shell leaves.
---@param name string
---@return fun(text: string): string?, string?
function values.text(name)
  return function(text)
    if text ~= "" then
      return text
    end
    return nil, ("%s: it is empty"):format(name)
  end
end

local function wrong(option, what, text)
  return nil, ("%s: not %s: %s"):format(option[2] or option[1], what, errors.printable(text))
end

--- For an option that takes a number.
---@param option central.auth.cli.Option
---@return fun(text: string): number?, string?
function values.number(option)
  local words, fits = NUMBERS[option.number][1], NUMBERS[option.number][2]
  return function(text)
    local number = text:find "^%d+%.?%d*$" and tonumber(text)
    if number and number < math.huge and (not fits or fits(number)) then
      return number
    end
    return wrong(option, words, text)
  end
end

--- For one that takes name=value.
---@param option central.auth.cli.Option
---@return fun(text: string): string[]?, string?
function values.pair(option)
  return function(text)
    local name, value = text:match "^([^=]+)=(.*)$"
    if name then
      return { name, value }
    end
    return wrong(option, "like " .. option.value, text)
  end
end

return values

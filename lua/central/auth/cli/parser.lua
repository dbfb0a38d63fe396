-- Parses the arguments of the command, by argparse, from the descriptions of the subcommands.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local texts = require "central.auth.cli.texts"
local result = require "central.auth.cli.result"
local text_value = require "central.auth.config.text_value"

local parser = {}

local ok, argparse = pcall(require, "argparse")
if not ok then
  error("the command needs argparse for Lua (apt-get install lua-argparse, or luarocks install argparse)", 0)
end

-- --- values --------------------------------------------------------------------------------------------------------

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
local function plain_text(option, text)
  local problem = text == "" and "the value is empty" or option and select(2, options.check(option, text))
  return not problem and text, problem
end

-- Returns the function by which argparse checks and parses the values of an option or argument. A duration becomes
-- seconds, a name and a value a table of both. Messages begin with `name`, and have the expected form and an example.
local function converter(name, item)
  return function(text)
    local value, problem
    if item.pairs then
      value, problem = pair(item.pairs, item.value, text)
    elseif item.number then
      value, problem = number(item.number, text)
    else
      value, problem = plain_text(item.option, text)
    end
    return value or nil, ("%s: %s"):format(name, problem)
  end
end

-- --- options and arguments -----------------------------------------------------------------------------------------

-- Returns the only values of an option or argument; nil if there are others. `suggests`: for completions.
local function choices_of(item, suggests)
  local suggestions = item.suggestions == "commands" and texts.command_names or item.suggestions
  return item.choices or suggests and suggestions or nil
end

local function add_option(to, option, suggests)
  local name = table.concat({ option[1], option[2] }, " ")
  if not option.value then
    return to:flag { name = name, description = option.help, count = option.count and "0-" .. option.count }
  end
  local choices = choices_of(option, suggests)
  return to:option {
    name = name, description = option.help, argname = option.value, count = option.pairs and "*", choices = choices,
    convert = not choices and converter(option[2] or option[1], option) or nil,
  }
end

local function add_options(to, description, suggests)
  local exclusive = {}
  for _, option in ipairs(description.options or {}) do
    local made = add_option(to, option, suggests)
    exclusive[#exclusive + 1] = option.exclusive and made or nil
  end
  if exclusive[1] then
    to:mutex(table.unpack(exclusive))
  end
end

local function print_and_exit(text)
  result(text)
  os.exit(true)
end

-- Adds the help, with the exit statuses at its end: the usual ones, and those of the subcommand.
local function add_help(to, more)
  local text_of, lines = {}, { "Exit status:" }
  for _, rows in ipairs { texts.statuses, more or {} } do
    for _, row in ipairs(rows) do
      text_of[row[1]] = row[2]
    end
  end
  for status = 0, 255 do
    lines[#lines + 1] = text_of[status] and ("   %-23d %s"):format(status, text_of[status])
  end
  to:epilog(table.concat(lines, "\n"))
  to:add_help { description = "Show this help.", action = function()
    print_and_exit((to:get_help():gsub("\n$", "")))
  end }
end

local function fail_without_program()
  errors.raise("CMD is empty; check for an unset variable", "usage")
end

-- For argparse: the characters with which options begin.
local option_characters = {}

-- Ends the options at CMD, as env and sudo do.
local function program_word(word)
  if option_characters["-"] and word == "" then
    fail_without_program()
  end
  option_characters["-"] = nil
  return word
end

local function add_argument(to, argument, suggests)
  local is_program = argument.name == "cmd"
  local choices = choices_of(argument, suggests)
  to:argument {
    name = argument.name, description = argument.help, args = argument.args, choices = choices,
    argname = argument.shown or is_program and { "CMD", "ARGUMENT" } or nil,
    convert = is_program and program_word or not choices and converter(argument.name:upper(), argument) or nil,
  }
end

local function add_command(to, name, description, suggests)
  local command = to:command(name, description.description):summary(description.summary)
  add_help(command, description.statuses)
  add_options(command, description, suggests)
  for _, argument in ipairs(description.arguments or {}) do
    add_argument(command, argument, suggests)
  end
  for _, inner in ipairs(description.commands or {}) do
    command:command_target "action"
    add_command(command, inner.name, inner, suggests)
  end
end

--- Makes the parser of argparse.
---@param suggests? boolean for completions
function parser.new(suggests)
  local made = argparse(texts.name, texts.description):command_target "command":require_command(true)
  made:help_max_width(80):help_description_margin(27)
  add_help(made)
  made:epilog(made._epilog .. "\n\nSee `central-auth COMMAND --help` and `man central-auth` for details.")
  add_options(made, texts, suggests)
  made:flag "--version":description "Print the version.":action(function()
    print_and_exit(("%s %s"):format(texts.name, texts.version))
  end)
  for name, description in texts.commands() do
    add_command(made, name, description, suggests)
  end
  return made
end

local NO_SECRETS = ": other users can see arguments; central-auth login --client-secret-file FILE reads the secret from"
  .. " a file, or with - from standard input"

--- Parses the arguments; --help and --version print and end the program.
---@param words string[]
---@return table options
function parser.parse(words)
  local made = parser.new()
  option_characters["-"] = true
  made._update_charset = function() return option_characters end
  local ends_with_dashes = words[#words] == "--" -- and with an unset variable
  function made.error(command, problem)
    if ends_with_dashes and problem == "missing argument 'cmd'" then
      fail_without_program()
    end
    local hint = problem:find "'%-%-client%-secret'" and NO_SECRETS or ""
    errors.raise(("%s%s\nSee %s --help."):format(problem, hint, command:_get_fullname()), "usage")
  end
  local parsed = made:parse(words)
  if ends_with_dashes and parsed.cmd and not parsed.cmd[1] then
    fail_without_program()
  end
  return parsed
end

return parser

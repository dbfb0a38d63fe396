-- Parses the arguments of the command, by argparse, from the descriptions of the subcommands.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local texts = require "central.auth.cli.texts"
local result = require "central.auth.cli.result"
local values = require "central.auth.cli.values"

local parser = {}

local ok, argparse = pcall(require, "argparse")
if not ok then
  error("the command needs argparse for Lua (apt-get install lua-argparse, or luarocks install argparse)", 0)
end

--- Returns the values of an option or argument that completions offer; nil if there are none.
---@param item table
---@return string[]?
function parser.suggestions(item)
  return item.choices or (item.suggestions == "commands" and texts.command_names or item.suggestions)
end

-- Adds an option. `suggests`: for completions; the suggested values are not the only valid ones.
local function add_option(to, option, suggests)
  local name = table.concat({ option[1], option[2] }, " ")
  if not option.value then
    return to:flag { name = name, description = option.help, count = option.count and "0-" .. option.count }
  end
  local choices = suggests and parser.suggestions(option) or option.choices
  return to:option {
    name = name, description = option.help, argname = option.value, count = option.pairs and "*", choices = choices,
    convert = not choices and values.converter(option[2] or option[1], option) or nil,
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
  local choices = suggests and parser.suggestions(argument) or argument.choices
  to:argument {
    name = argument.name, description = argument.help, args = argument.args, choices = choices,
    argname = argument.shown or is_program and { "CMD", "ARGUMENT" } or nil,
    convert = is_program and program_word or not choices and values.converter(argument.name:upper(), argument) or nil,
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

--- Iterates over the subcommands: see central.auth.cli.texts.
parser.commands = texts.commands

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
  local options = made:parse(words)
  if ends_with_dashes and options.cmd and not options.cmd[1] then
    fail_without_program()
  end
  return options
end

return parser

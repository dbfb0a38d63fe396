-- Parses the arguments of the command, by argparse, from the descriptions of the subcommands.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local end_options = require "central.auth.cli.end_of_options"
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
  local made
  local choices = suggests and parser.suggestions(option) or option.choices
  if option.value then
    made = to:option(table.concat({ option[1], option[2] }, " ")):argname(option.value)
    if choices then
      made:choices(choices)
    elseif option.pairs then
      made:count("*"):convert(values.pair(option))
    elseif option.number then
      made:convert(values.number(option))
    else
      made:convert(values.text(option[2] or option[1], option.option))
    end
  else
    made = to:flag(table.concat({ option[1], option[2] }, " "))
    if option.count then
      made:count("0-" .. option.count)
    end
  end
  return made:description(option.help)
end

local function add_options(to, description, suggests)
  local exclusive = {}
  for _, name in ipairs(description.exclusive or {}) do
    exclusive[name] = true
  end
  local group = {}
  for _, option in ipairs(description.options or {}) do
    local made = add_option(to, option, suggests)
    group[#group + 1] = exclusive[option[1]] and made or nil
  end
  if #group > 0 then
    to:mutex(table.unpack(group))
  end
end

local function print_and_exit(text)
  local written, why = pcall(result, text)
  if not written then
    io.stderr:write("central-auth: ", why, "\n")
  end
  os.exit(written)
end

-- Adds the help, with the exit statuses at its end: the usual ones, and those of the subcommand.
local function add_help(to, more)
  local text_of, numbers = {}, {}
  for _, rows in ipairs { texts.statuses, more or {} } do
    for _, row in ipairs(rows) do
      numbers[#numbers + 1] = not text_of[row[1]] and row[1] or nil
      text_of[row[1]] = row[2]
    end
  end
  table.sort(numbers)
  local lines = { "Exit status:" }
  for _, number in ipairs(numbers) do
    lines[#lines + 1] = ("   %-23d %s"):format(number, text_of[number])
  end
  to:epilog(table.concat(lines, "\n"))
  to:add_help { description = "Show this help.", action = function()
    print_and_exit((to:get_help():gsub("\n$", "")))
  end }
end

local function add_command(to, name, description, suggests)
  local command = to:command(name, description.description):summary(description.summary)
  add_help(command, description.statuses)
  add_options(command, description, suggests)
  for _, argument in ipairs(description.arguments or {}) do
    local made = command:argument(argument.name, argument.help):args(argument.args or 1)
    local choices = suggests and parser.suggestions(argument) or argument.choices
    if choices then
      made:choices(choices)
    elseif argument.name ~= "cmd" then
      made:convert(values.text(argument.name:upper()))
    end
    if argument.shown then
      made:argname(argument.shown)
    elseif argument.name == "cmd" then
      made:argname { "CMD", "ARGUMENT" }
    end
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
  end_options(words)
  local parsed, options = made:pparse(words)
  if parsed then
    return options
  end
  local command = ""
  for name in texts.commands() do
    command = name == words[1] and name .. " " or command
  end
  local hint = tostring(options):find "'%-%-client%-secret'" and NO_SECRETS or ""
  errors.raise(("%s%s\nSee central-auth %s--help."):format(options, hint, command), "usage")
end

return parser

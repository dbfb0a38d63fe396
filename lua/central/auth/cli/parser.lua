-- The arguments of the command, by argparse, from what each subcommand says of itself.
-- SPDX-License-Identifier: MIT

local dashes = require "central.auth.cli.arguments"
local program = require "central.auth.cli.texts"
local result = require "central.auth.cli.result"
local values = require "central.auth.cli.values"

local parser = {}

local ok, argparse = pcall(require, "argparse")
if not ok then
  error("the command needs argparse for Lua (apt-get install lua-argparse, or luarocks install argparse)", 0)
end

local function add_option(to, option)
  local made
  if option.value then
    made = to:option(table.concat({ option[1], option[2] }, " ")):argname(option.value)
    if option.choices then
      made:choices(option.choices)
    elseif option.pairs then
      made:count("*"):convert(values.pair(option))
    elseif option.number then
      made:convert(values.number(option))
    else
      made:convert(values.text(option[2] or option[1]))
    end
  else
    made = to:flag(table.concat({ option[1], option[2] }, " "))
  end
  return made:description(option.help)
end

local function add_options(to, description)
  local exclusive = {}
  for _, name in ipairs(description.exclusive or {}) do
    exclusive[name] = true
  end
  local group = {}
  for _, option in ipairs(description.options or {}) do
    local made = add_option(to, option)
    group[#group + 1] = exclusive[option[1]] and made or nil
  end
  if #group > 0 then
    to:mutex(table.unpack(group))
  end
end

-- Prints what was asked about the command itself, and ends it.
local function answer(text)
  local written, why = pcall(result, text)
  if not written then
    io.stderr:write("central-auth: ", why, "\n")
  end
  os.exit(written)
end

-- Help, with the exit statuses at its end: the usual ones, or what the subcommand says of them.
local function add_help(to, more)
  local words, numbers = {}, {}
  for _, rows in ipairs { program.statuses, more or {} } do
    for _, row in ipairs(rows) do
      numbers[#numbers + 1] = not words[row[1]] and row[1] or nil
      words[row[1]] = row[2]
    end
  end
  table.sort(numbers)
  local lines = { "Exit status:" }
  for _, number in ipairs(numbers) do
    lines[#lines + 1] = ("   %-23d %s"):format(number, words[number])
  end
  to:epilog(table.concat(lines, "\n"))
  to:add_help { description = "Show this help.", action = function() answer((to:get_help():gsub("\n$", ""))) end }
end

local function add_command(to, name, description)
  local command = to:command(name, description.description):summary(description.summary)
  add_help(command, description.statuses)
  add_options(command, description)
  for _, argument in ipairs(description.arguments or {}) do
    local made = command:argument(argument.name, argument.help):args(argument.args or 1)
    if argument.choices then
      made:choices(argument.choices)
    elseif argument.args ~= "+" then
      made:convert(values.text(argument.name:upper()))
    end
    if argument.shown then
      made:argname(argument.shown)
    elseif argument.args == "+" then
      made:argname { "-- " .. argument.name:upper(), "ARGUMENT" }
    end
  end
  for _, inner in ipairs(description.commands or {}) do
    command:command_target "action"
    add_command(command, inner.name, inner)
  end
end

--- The parser of argparse.
function parser.new()
  local made = argparse(program.name, program.description):command_target "command":require_command(true)
  made:help_max_width(80):help_description_margin(27)
  add_help(made)
  made:epilog(made._epilog .. "\n\n`central-auth COMMAND --help` tells more of each; so does `man central-auth`.")
  add_options(made, program)
  made:flag "--version":description "Say which version this is.":action(function()
    answer(("%s %s"):format(program.name, program.version))
  end)
  for name, description in program.commands() do
    add_command(made, name, description)
  end
  return made
end

local NO_SECRETS =
  ": others see arguments; central-auth login --client-secret-file FILE reads it, with - from standard input"

--- What the words ask for; --help and --version answer and end the program.
---@param words string[]
---@return table? options
---@return string? problem
function parser.parse(words)
  local made = parser.new()
  local problem = dashes(words)
  if problem then
    return nil, problem
  end
  local understood, found = made:pparse(words)
  if understood then
    return found
  end
  local command = ""
  for name in program.commands() do
    command = name == words[1] and name .. " " or command
  end
  local hint = tostring(found):find "'%-%-client%-secret'" and NO_SECRETS or ""
  return nil, ("%s%s\nSee central-auth %s--help."):format(found, hint, command)
end

return parser

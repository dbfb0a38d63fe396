-- The arguments of the command, by argparse, from what each subcommand says of itself.
-- SPDX-License-Identifier: MIT

local program = require "central.auth.cli.program"

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
    elseif option.number then
      made:convert(function(text)
        local number = tonumber(text)
        local fits = number and number >= 0
        return fits and number or nil, ("%s: %q is no number of that kind"):format(option[2] or option[1], text)
      end)
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

local function add_command(to, name, description)
  local command = to:command(name, description.description):summary(description.summary)
  add_options(command, description)
  for _, argument in ipairs(description.arguments or {}) do
    local made = command:argument(argument.name, argument.help):args(argument.args or 1)
    if argument.choices then
      made:choices(argument.choices)
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
  made:epilog("`central-auth COMMAND --help` tells more of each; so does `man central-auth`.")
  add_options(made, program)
  made:flag "--version":description "Say which version this is.":action(function()
    print(("%s %s"):format(program.name, program.version))
    os.exit(0)
  end)
  for name, description in program.commands() do
    add_command(made, name, description)
  end
  return made
end

--- What the words ask for; --help and --version answer and end the program.
---@param words string[]
---@return table? options
---@return string? problem
function parser.parse(words)
  local understood, result = parser.new():pparse(words)
  if understood then
    return result
  end
  local command = package.loaded["central.auth.cli." .. tostring(words[1])] and words[1] .. " " or ""
  return nil, ("%s\nSee central-auth %s--help."):format(tostring(result):gsub("^%l", string.lower), command)
end

return parser

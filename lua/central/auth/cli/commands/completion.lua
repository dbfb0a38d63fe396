-- central-auth completion: prints a script with which a shell completes the command's arguments.
-- SPDX-License-Identifier: MIT

local result = require "central.auth.cli.result"

local completion = {}

completion.summary = "Print a completion script for a shell."
completion.description = "Prints a script with which a shell completes subcommands and options. make install and the"
  .. " Debian package put it where the shell looks. Otherwise in bash: source <(central-auth completion bash). In zsh:"
  .. " into a file _central-auth in a folder of $fpath. In fish: central-auth completion fish | source."
completion.arguments = { { name = "shell", choices = { "bash", "zsh", "fish" }, help = "bash, zsh or fish." } }

local BASH = [[
        '%s')
            COMPREPLY=($(compgen -W "%s" -- "$cur"))
            ;;
]]
local FISH = "complete -c central-auth -n '__fish_central-auth_seen_command %s' -xa '%s'\n"

-- The values of the subcommands' arguments, which argparse supports for zsh only.
local function choices(parser, format)
  local lines = {}
  for name, description in parser.commands() do
    for _, argument in ipairs(description.arguments or {}) do
      local values = parser.suggestions(argument)
      lines[#lines + 1] = values and format:format(name, table.concat(values, " "))
    end
  end
  return table.concat(lines)
end

--- Prints the script for the shell `options.shell`.
---@param options table
---@param parser table central.auth.cli.parser
function completion.run(options, parser)
  local made = parser.new(true)
  local script = made[("get_%s_complete"):format(options.shell)](made)
  if options.shell == "bash" then
    script = script:gsub('\n +case "%$cmd" in\n', function(head) return head .. choices(parser, BASH) end, 1)
  elseif options.shell == "fish" then
    script = script .. choices(parser, FISH)
  end
  result(script)
end

return completion

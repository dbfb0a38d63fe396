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

-- Lists the profiles, in sh; argparse takes only plain words as choices.
local PROFILES = [[ls "${XDG_CONFIG_HOME:-$HOME/.config}/central-auth" 2>/dev/null]]
  .. [[ | sed -n "/[^A-Za-z0-9_.-]/d; s/[.]lua$//p"]]
local IN_FISH = [[(sh -c \']] .. PROFILES .. [[\')]]

-- The values of the argument CMD: commands, and what these take if the shell knows it.
local BASH_PROGRAM = [=[$([[ $prev = @(exec|sandbox|--) ]] && compgen -c -- "$cur")]=]
local FISH_PROGRAM = "(__fish_complete_subcommand --fcs-skip=2)"
local ZSH_FILES, ZSH_PROGRAM = '"%*: :_files"', '"*::: :_normal"'

-- The values of the subcommands' arguments, which argparse supports for zsh only.
local function choices(made, format, program)
  local lines = {}
  for _, command in ipairs(made._commands) do
    for _, argument in ipairs(command._arguments) do
      local values = argument._name == "cmd" and { program } or argument._choices
      lines[#lines + 1] = values and format:format(command._name, table.concat(values, " "))
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
    local more = choices(made, BASH, BASH_PROGRAM)
    script = script:gsub('\n +case "%$cmd" in\n', function(head) return head .. more end, 1)
  elseif options.shell == "fish" then
    script = script .. choices(made, FISH, FISH_PROGRAM)
  else
    script = script:gsub(ZSH_FILES, ZSH_PROGRAM)
  end
  script = script:gsub("PROFILES", { PROFILES = options.shell == "fish" and IN_FISH or "$(" .. PROFILES .. ")" })
  result(script)
end

return completion

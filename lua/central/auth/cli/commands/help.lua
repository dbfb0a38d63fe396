-- central-auth help: prints the help of the command or of a subcommand.
-- SPDX-License-Identifier: MIT

local help = {}

help.summary = "Show the help of a command."
help.description = "Shows the same help as central-auth COMMAND --help; without COMMAND that of central-auth --help."
help.arguments = { { name = "COMMAND", args = "*", suggestions = "commands", help = "The command, and its action if it"
  .. " has actions: help api-clients create." } }

--- Prints the help and ends the program.
---@param options table
---@param parser table central.auth.cli.parser
function help.run(options, parser)
  table.insert(options.COMMAND, "--help")
  parser.parse(options.COMMAND)
end

return help

-- central-auth version: prints the version.
-- SPDX-License-Identifier: MIT

local version = {}

version.summary = "Print the version."
version.description = "Prints the version, as central-auth --version does."

--- Prints the version and ends the program.
---@param _ table
---@param parser table central.auth.cli.parser
function version.run(_, parser)
  parser.parse { "--version" }
end

return version

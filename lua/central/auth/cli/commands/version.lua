-- central-auth version: prints the version.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local result = require "central.auth.cli.result"

local version = {}

version.summary = "Print the version."
version.description = "Prints the version, as central-auth --version does."

--- Prints the version.
function version.run()
  result("central-auth " .. config.VERSION)
end

return version

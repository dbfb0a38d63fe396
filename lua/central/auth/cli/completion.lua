-- central-auth completion: a script by which a shell completes the command's words.
-- SPDX-License-Identifier: MIT

local result = require "central.auth.cli.result"

local completion = {}

completion.summary = "Print a completion script for a shell."
completion.description = "Prints a script by which a shell completes subcommands and options. In bash:"
  .. " source <(central-auth completion bash). In zsh, into a file _central-auth in a folder of $fpath. In fish:"
  .. " central-auth completion fish | source."
completion.arguments = { { name = "shell", choices = { "bash", "zsh", "fish" }, help = "bash, zsh or fish." } }

---@param options table
function completion.run(options)
  local parser = require("central.auth.cli.parser").new()
  result(parser[("get_%s_complete"):format(options.shell)](parser))
end

return completion

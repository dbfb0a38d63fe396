-- What the command is as a whole, in words: for the help, the manual page and the completions, which add what each
-- subcommand says of itself.
-- SPDX-License-Identifier: MIT

local cli = require "central.auth.cli.main"
local config = require "central.auth.config.resolve"

local program = {}

---@class central.auth.cli.Option
---@field [1] string its name, or a short and a long one
---@field help string
---@field value? string what it takes, in capitals; a flag takes nothing
---@field number? "seconds" | "timeout" | "milliseconds" | "count" | "port" it takes a number of this kind
---@field pairs? boolean it takes name=value, and may come again: a list of { name, value }
---@field choices? string[]

---@class central.auth.cli.Command
---@field summary string one sentence
---@field description string
---@field options? central.auth.cli.Option[]
---@field exclusive? string[] options of which one may be given
---@field arguments? table[] each { name, args = "?" or "+" …, choices = …, shown = "-" …, help = … }
---@field commands? table<integer, table> subcommands of it: each a command with a `name`
---@field statuses? table[] exit statuses beside the usual ones: each { number, words }
---@field examples? table[] each { command line, words }
---@field run fun(options: table): integer?, string?, string?, table?

program.name = "central-auth"
program.version = config.VERSION
program.summary = "always a valid access token for HPE Aruba Networking Central"
program.description = "Hands out an OAuth access token of HPE GreenLake for HPE Aruba Networking Central that is valid"
  .. " now, and does what goes with it. Processes of one user share a token, so asking often costs nothing. Credentials"
  .. " come from the environment, from files that it names, or from a profile; never from arguments, which others see."

program.options = {
  { "-p", "--profile", value = "NAME", help = "Use this profile of the profile file." },
  { "-q", "--quiet", help = "Say nothing but results and errors." },
}

program.statuses = {
  { 0, "It worked." },
  { 1, "It failed; standard error says why." },
  { 2, "The arguments were wrong." },
  { 130, "It was interrupted." },
}

program.environment = table.move(require "central.auth.config.environment", 1, 99, 2, {
  { "CENTRAL_CLIENT_ID, CENTRAL_CLIENT_SECRET", "The credentials. Every option of the library has such a variable: "
    .. "CENTRAL_ and its name in capitals, CENTRAL_CLIENT_SECRET_FILE and CENTRAL_PROFILE among them." },
})

program.files = {
  { "~/.config/central-auth/config.lua", "The profiles: a Lua table of named sets of options, mode 0600. Beside it"
    .. " lies config.lua.lock, which is empty and stays: who changes the file holds it." },
  { "$XDG_RUNTIME_DIR/central-auth, else ~/.cache/central-auth", "The sealed token that processes of a user share." },
}

--- The subcommands in their order: name and description.
---@return fun(): string?, central.auth.cli.Command
function program.commands()
  local at = 0
  return function()
    at = at + 1
    local name = cli.commands[at]
    return name, name and require("central.auth.cli.commands." .. name)
  end
end

return program

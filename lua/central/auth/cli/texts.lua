-- The description of the command as a whole, for the help, the manual page and the completions. The subcommands have
-- their own descriptions.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"

local texts = {}

---@class central.auth.cli.Option
---@field [1] string its name, or a short and a long one
---@field help string
---@field value? string the name of its value, in capitals; a flag has none
---@field number? "duration" | "timeout" | "count" | "port" | "failure" the kind of number that it takes
---@field pairs? "=" | ":" its value is NAME=VALUE or NAME: VALUE, and it may be repeated: a list of { name, value }
---@field count? integer of a flag: how often it may be set
---@field exclusive? boolean at most one such option of a command may be set
---@field choices? string[]
---@field suggestions? string[] further values are allowed, too; PROFILES stands for the names of the profiles
---@field option? string the library's option for which its value must be valid

---@class central.auth.cli.Command
---@field summary string one sentence
---@field description string
---@field options? central.auth.cli.Option[]
---@field arguments? table[] each { name, args = "?", "*" or "+", shown = "-" …, help = …, choices = …,
--- suggestions = "commands": the names of the subcommands }
---@field commands? table<integer, table> its subcommands: each a command with a `name`
---@field statuses? table[] exit statuses beside the usual ones: each { number, text }
---@field examples? table[] each { command line, text }
---@field run fun(options: table, parser: table): integer? `parser` is central.auth.cli.parser

texts.name = "central-auth"
texts.version = config.VERSION
texts.summary = "always a valid access token for HPE Aruba Networking Central"
texts.description = "Prints a valid OAuth access token of HPE GreenLake for HPE Aruba Networking Central, and manages"
  .. " tokens and credentials. Processes of one user share a token, so a call is usually fast and makes no request."
  .. " Credentials come from the environment, from files, or from a profile; never from arguments, which other users"
  .. " can see. JSON is printed with names sorted: indented on a terminal, else in one line."

texts.options = {
  { "-p", "--profile", value = "NAME", option = "profile", suggestions = { "PROFILES" }, help = "Use this profile." },
  { "-q", "--quiet", help = "Print results and errors only." },
  { "-v", "--verbose", count = 2, help = "Write each HTTP request and event to standard error, without secrets; -vv:"
    .. " header fields and TLS, too." },
}

texts.statuses = {
  { 0, "Success." },
  { 1, "Failure; the reason is on standard error." },
  { 2, "The arguments are not valid." },
  { 130, "Interrupted." },
}

texts.environment = table.move(require "central.auth.config.environment", 1, 99, 2, {
  { "CENTRAL_CLIENT_ID, CENTRAL_CLIENT_SECRET", "The credentials; or CENTRAL_ACCESS_TOKEN, a ready-made token. Every"
    .. " option of the library has such a variable: CENTRAL_ and its name in capitals, CENTRAL_CLIENT_SECRET_FILE and"
    .. " CENTRAL_PROFILE among them." },
})

texts.files = {
  { "~/.config/central-auth/NAME.lua", "A profile: a Lua table of options, mode 0600. The profile default is used"
    .. " unless another one is named." },
  { "$XDG_RUNTIME_DIR/central-auth, else ~/.cache/central-auth", "The encrypted token that a user's processes share." },
}

--- The names of the subcommands in the order of the help. A new one needs a file in cli/commands/ and its name here.
---@type string[]
texts.command_names = {
  "token", "status", "renew", "invalidate", "exec", "api", "api-clients", "login", "logout", "profiles", "clusters",
  "sandbox", "doctor", "completion", "help", "version",
}

--- Returns the module of a subcommand.
---@param name string
---@return central.auth.cli.Command
function texts.command(name)
  return require("central.auth.cli.commands." .. name:gsub("-", "_"))
end

--- Iterates over the subcommands in this order: name and description.
---@return fun(): string?, central.auth.cli.Command
function texts.commands()
  return coroutine.wrap(function()
    for _, name in ipairs(texts.command_names) do
      coroutine.yield(name, texts.command(name))
    end
  end)
end

return texts

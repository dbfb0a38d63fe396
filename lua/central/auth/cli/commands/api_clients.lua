-- central-auth api-clients: manages GreenLake's personal API clients. A new secret is saved as the options say, and
-- printed only with --show.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local config = require "central.auth.config.resolve"
local consent = require "central.auth.cli.consent"
local errors = require "central.auth.errors"
local json_text = require "central.auth.cli.json_text"
local output_file = require "central.auth.cli.output_file"
local profile = require "central.auth.config.profile"
local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"

local api_clients = {}

local SAVE_OPTIONS = {
  { "--save-to", exclusive = true, value = "FILE", help = "Save the new secret in this file, mode 0600, and do not"
    .. " print it. Its folder must exist." },
  { "--save-profile", exclusive = true, value = "NAME", option = "profile", help = "Save id and secret in this profile,"
    .. " and do not print the secret. The file's comments are lost." },
  { "--show", exclusive = true, help = "Print the secret with the other values, for a pipe; other people may see it"
    .. " on a screen." },
}
local SAVE_NOTE = " GreenLake shows the new secret only once, so --save-to, --save-profile or --show is needed. If"
  .. " saving fails, the secret is printed, and the exit status is 1."

local function yes(help)
  return { "-y", "--yes", help = help }
end

api_clients.summary = "List, create, reset and delete personal API clients of GreenLake."
api_clients.description = "Manages GreenLake's personal API clients of the user to whom the current credentials belong."
  .. " Asks before it deletes or replaces something; without a terminal --yes is needed."
api_clients.commands = {
  {
    name = "list", summary = "List personal API clients, without secrets.",
    description = "Lists client id, time of creation and name of each personal API client. A * marks the one in use.",
    options = { { "--json", help = "Print a list of objects, each with in_use." } },
  },
  {
    name = "create", summary = "Create a personal API client.",
    description = "Creates a personal API client and prints it as JSON." .. SAVE_NOTE,
    arguments = { { name = "name", help = "The name of the client." } },
    options = { SAVE_OPTIONS[1], SAVE_OPTIONS[2], SAVE_OPTIONS[3],
      { "--service", value = "ID", help = "The service of the client: an id, or the URI of a resource." },
      { "--workspace", value = "ID", help = "The workspace of the client's tenant: an id, or the URI of a resource." },
      yes "Replace the file, or a profile with other credentials, without asking." },
  },
  {
    name = "reset", summary = "Give a personal API client a new secret.",
    description = "Gives a client a new secret; the previous secret and all tokens end at once. Prints the client as"
      .. " JSON." .. SAVE_NOTE .. " If central-auth itself uses the client, save the secret where programs read it.",
    arguments = { { name = "id", help = "The id of the client, as shown by list." } },
    options = { SAVE_OPTIONS[1], SAVE_OPTIONS[2], SAVE_OPTIONS[3], yes "Reset the client without asking." },
  },
  {
    name = "delete", summary = "Delete a personal API client.",
    description = "Deletes a client; its secret and all its tokens end at once.",
    arguments = { { name = "id", help = "The id of the client, as shown by list." } },
    options = { yes "Delete the client without asking." },
  },
}
api_clients.examples = {
  { 'central-auth api-clients create "night jobs" --save-profile nights', "A client and a profile for scripts." },
  { "central-auth api-clients reset ID --profile nights --save-profile nights", "A new secret, without interruption." },
}

-- --- saving and printing ------------------------------------------------------------------------------------------

-- Returns the library's option save_to; nil: the secret is printed.
local function save_to_of(options)
  local path = options.save_to
  if options.save_profile then
    return { profile = options.save_profile }
  elseif path then
    return output_file.absolute(path)
  elseif not options.show then
    errors.raise("no place for the new secret: set --save-to FILE or --save-profile NAME; --show prints it", "usage")
  end
end

-- Asks before an existing file or profile is replaced. `id`: the client with the new secret, if it is known.
local function ask_to_replace(options, save_to, id)
  if options.save_profile then
    consent.ask_to_replace(options, options.save_profile, profile.find(options.save_profile), id)
  end
  local file <close> = options.save_to and io.open(save_to) or nil
  if file then
    consent.ask(options, ("The file %s exists. Replace it?"):format(options.save_to),
      ("the file %s was not replaced"):format(options.save_to), "replaces it")
  end
end

-- Prints a client with its secret, or without it if the secret was saved. A failure together with a client is a failure
-- to save the secret.
local function print_new(options, client, message, code, detail)
  message = message and output_file.as_typed(message, "--save-to")
  try(client, message, code, detail)
  client.saved_to = client.saved_to and output_file.as_typed(client.saved_to)
  result(json_text.shown(json_text.of(client)))
  if code then
    errors.raise(message .. "; the secret was printed, as there is no other copy", code, detail)
  elseif client.saved_to then
    terminal.note(options, ("The secret is in %s."):format(client.saved_to))
  end
end

-- --- actions -----------------------------------------------------------------------------------------------------

local actions = {}

-- Returns the id of the client that the command itself uses.
local function own_id(options)
  local found = config.resolve { profile = options.profile }
  return found and found.client_id
end

-- Returns a time of the server's with its zone. GreenLake writes UTC, most times without saying so.
local function time_of(text)
  local day, time, zone = text:match "^(%d+%-%d+%-%d+)[T ](%d+:%d+:%d+)[.%d]*(.*)$"
  return day and ("%s %s %s"):format(day, time, (zone == "" or zone == "Z") and "UTC" or errors.printable(zone))
    or errors.printable(text)
end

function actions.list(options)
  local all, lines, own = { open = "[", keys = {} }, {}, own_id(options)
  for i, client in ipairs(try(auth.credentials.list())) do
    client.in_use = client.client_id == own
    all[i] = json_text.of(client)
    lines[i] = ("%s %s  %-23s  %s"):format(client.in_use and "*" or " ", errors.printable(client.client_id or "?"),
      time_of(client.created_at or "-"), errors.printable(client.name or "?"))
  end
  if options.json or #lines > 0 then
    result(options.json and json_text.shown(all) or table.concat(lines, "\n"))
  end
end

function actions.create(options)
  local save_to = save_to_of(options)
  ask_to_replace(options, save_to)
  print_new(options, auth.credentials.create { name = options.name, service = options.service,
    workspace = options.workspace, save_to = save_to })
end

-- Asks before an action on the client with this id.
local function ask_to_act(options, action, yes_action)
  if not options.id:find "^[%w_-]+$" then
    errors.raise(("ID: only letters, digits, - and _ are allowed: %s"):format(errors.printable(options.id)), "usage")
  end
  local own = own_id(options) == options.id and " central-auth itself uses this client." or ""
  consent.ask(options, ("%s %s? Its secret and all its tokens end at once.%s"):format(action, options.id, own),
    ("the personal API client %s was not changed"):format(options.id), yes_action)
end

function actions.reset(options)
  local save_to = save_to_of(options)
  ask_to_act(options, "Reset", "resets it")
  ask_to_replace(options, save_to, options.id)
  print_new(options, auth.credentials.reset(options.id, { save_to = save_to }))
end

function actions.delete(options)
  ask_to_act(options, "Delete", "deletes it")
  try(auth.credentials.delete(options.id))
  terminal.note(options, ("The personal API client %s is deleted."):format(options.id))
end

--- Runs the action.
---@param options table
function api_clients.run(options)
  session.open(options)
  actions[options.action](options)
end

return api_clients

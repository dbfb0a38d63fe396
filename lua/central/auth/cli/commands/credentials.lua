-- central-auth credentials: GreenLake's personal API clients. A new secret is saved where the options say, and printed
-- only with --show.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"
local config = require "central.auth.config.resolve"
local consent = require "central.auth.cli.consent"
local errors = require "central.auth.errors"
local json_text = require "central.auth.cli.json_text"
local profile = require "central.auth.config.profile"
local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"

local credentials = {}

local SAVE = {
  { "--save-to", value = "FILE", help = "Save the new secret in this file, mode 0600, and do not print it. Its"
    .. " folder must exist." },
  { "--save-profile", value = "NAME", option = "profile", help = "Save id and secret in this profile, and do not print"
    .. " the secret. The file is written anew, without its comments." },
  { "--show", help = "Print the secret with the rest, for a pipe; on a screen others may see it." },
}
local SAVE_ONE = { "--save-to", "--save-profile", "--show" }
local WHERE = " GreenLake shows the new secret only once, so one of --save-to, --save-profile and --show is needed. If"
  .. " it can't be saved after all, it is printed, and the exit status is 1."
local HERE = "/proc/self/cwd/" -- the library needs absolute paths; $PWD may be wrong

local function yes(help)
  return { "-y", "--yes", help = help }
end

credentials.summary = "List, create, reset and delete personal API clients of GreenLake."
credentials.description = "Manages the personal API clients of the user of the current credentials, in their workspace."
  .. " Asks before something is destroyed; without a terminal --yes is needed."
credentials.commands = {
  {
    name = "list", summary = "List all, without secrets.",
    description = "Lists them: client id, time of creation, name.",
    options = { { "--json", help = "Print a list of objects." } },
  },
  {
    name = "create", summary = "Create one.",
    description = "Creates a personal API client and prints it as JSON." .. WHERE,
    arguments = { { name = "name", help = "Its name." } },
    options = { SAVE[1], SAVE[2], SAVE[3],
      { "--service", value = "ID", help = "Its service: an id, or the URI of a resource." },
      { "--workspace", value = "ID", help = "The workspace of its tenant: an id, or the URI of a resource." },
      yes "Replace the file, or the profile with other credentials, without asking." },
    exclusive = SAVE_ONE,
  },
  {
    name = "reset", summary = "Give one a new secret.",
    description = "Gives a client a new secret; the former one and all tokens end at once. Prints the client as JSON."
      .. WHERE .. " Save the new secret of the client in use here where programs read the former one.",
    arguments = { { name = "id", help = "Its id, as shown by list." } },
    options = { SAVE[1], SAVE[2], SAVE[3], yes "Reset it without asking." },
    exclusive = SAVE_ONE,
  },
  {
    name = "delete", summary = "Delete one.",
    description = "Deletes a client; its secret and all its tokens end at once.",
    arguments = { { name = "id", help = "Its id, as shown by list." } },
    options = { yes "Delete it without asking." },
  },
}
credentials.examples = {
  { 'central-auth credentials create "night jobs" --save-profile nights', "A client and a profile for scripts." },
  { "central-auth credentials reset ID --profile nights --save-profile nights", "A new secret, without interruption." },
}

-- --- where a secret goes, and what is printed --------------------------------------------------------------------

-- The library's option save_to; false: the secret is printed.
local function save_to_of(options)
  local path = options.save_to
  if options.save_profile then
    return { profile = options.save_profile }
  elseif path then
    return path:find "^/" and path or HERE .. path
  elseif options.show then
    return false
  end
  return try(nil, "where should the secret be saved? --save-to FILE, or --save-profile NAME; --show prints it",
    "usage")
end

-- Asks before an existing file or profile is replaced. `id`: of the client with the new secret, if it is known.
local function ask_to_replace(options, save_to, id)
  if options.save_profile then
    local entry = try(profile.find(options.save_profile))
    try(consent.to_replace(options, options.save_profile, entry, id))
  end
  local file <close> = options.save_to and io.open(save_to) or nil
  if file then
    try(consent.to(options, ("There is a file %s. Replace it?"):format(options.save_to),
      ("the file %s stays as it is"):format(options.save_to), "replaces it"))
  end
end

local function as_json(value)
  local fields = {}
  for name, field in pairs(value) do
    fields[name] = type(field) == "string" and field:gsub("^" .. HERE, "") or field
  end
  return json_text.read(cjson.encode(fields))
end

-- A message of the library with the option and the path as the user typed them.
local function as_typed(message)
  return (message:gsub("^save_to: ", "--save-to: "):gsub(HERE, ""))
end

-- Prints a client with its secret, or without it if it was saved. After it comes the failure to save it. Without a
-- client there was another failure.
local function print_new(options, client, message, code, detail)
  if not client then
    return nil, as_typed(message), code, detail
  end
  result(json_text.write(as_json(client)))
  if code then
    return nil, as_typed(message) .. "; the secret is printed, as there is no other copy", code, detail
  elseif client.saved_to then
    terminal.note(options, ("The secret is in %s."):format((client.saved_to:gsub("^" .. HERE, ""))))
  end
end

-- --- actions -----------------------------------------------------------------------------------------------------

local actions = {}

function actions.list(options)
  local all, lines = { open = "[", keys = {} }, {}
  for i, client in ipairs(try(auth.credentials.list())) do
    all[i] = as_json(client)
    lines[i] = ("%s  %-19.19s  %s"):format(errors.printable(client.client_id or "?"),
      errors.printable(client.created_at or "-"), errors.printable(client.name or "?"))
  end
  if options.json or #lines > 0 then
    result(options.json and json_text.write(all) or table.concat(lines, "\n"))
  end
end

function actions.create(options)
  local save_to = save_to_of(options)
  ask_to_replace(options, save_to)
  return print_new(options, auth.credentials.create { name = options.name, service = options.service,
    workspace = options.workspace, save_to = save_to or nil })
end

-- Asks before something is done to the client with this id.
local function ask_to_act(options, action, yes_action)
  if not options.id:find "^[%w_-]+$" then
    try(nil, ("ID: has other characters than letters, digits, - and _: %s"):format(errors.printable(options.id)),
      "usage")
  end
  local found = config.resolve { profile = options.profile }
  local own = found and found.client_id == options.id and " It is the client in use here." or ""
  try(consent.to(options, ("%s %s? Its secret and all its tokens end at once.%s"):format(action, options.id, own),
    ("the personal API client %s stays as it is"):format(options.id), yes_action))
end

function actions.reset(options)
  local save_to = save_to_of(options)
  ask_to_act(options, "Reset", "resets it")
  ask_to_replace(options, save_to, options.id)
  return print_new(options, auth.credentials.reset(options.id, { save_to = save_to or nil }))
end

function actions.delete(options)
  ask_to_act(options, "Delete", "deletes it")
  try(auth.credentials.delete(options.id))
  terminal.note(options, ("The personal API client %s is deleted."):format(options.id))
end

--- Runs the action.
---@param options table
function credentials.run(options)
  try(session.open(options))
  return actions[options.action](options)
end

return credentials

-- central-auth credentials: GreenLake's personal API clients. The secret of a new or reset one goes where it was told
-- to go, and is printed only when that was asked for.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"
local config = require "central.auth.config.resolve"
local consent = require "central.auth.cli.consent"
local errors = require "central.auth.errors"
local json_text = require "central.auth.cli.json_text"
local profile_writer = require "central.auth.config.profile_store"
local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local credentials = {}

local KEEP = {
  { "--save-to", value = "FILE", help = "Put the new secret into this file, of mode 0600, and show it nowhere."
    .. " Its folder must be there." },
  { "--save-profile", value = "NAME", help = "Put id and secret into this profile, and show it nowhere." },
  { "--show", help = "Print the secret with the rest, for what it is piped into; on a screen others may see it." },
}
local KEEP_ONE = { "--save-to", "--save-profile", "--show" }
local WHERE = " Say where the new secret goes, for GreenLake gives it away once: --save-to, --save-profile or --show;"
  .. " without one of them nothing is done. Where it can't be saved after all it is printed, and the exit status is 1."
local HERE = "/proc/self/cwd/" -- the library wants absolute paths; $PWD may be another's

local function yes(help)
  return { "-y", "--yes", help = help }
end

credentials.summary = "List, create, reset and delete personal API clients of GreenLake."
credentials.description = "Manages the personal API clients of the user whose client this is, in its workspace. What is"
  .. " destroyed is asked about before; where nobody can be asked, --yes is needed."
credentials.commands = {
  {
    name = "list", summary = "List all, without secrets.",
    description = "Lists them: client id, when it was created, name.",
    options = { { "--json", help = "Print a list of objects." } },
  },
  {
    name = "create", summary = "Create one.",
    description = "Creates a personal API client and prints what it is as JSON." .. WHERE,
    arguments = { { name = "name", help = "What to call it." } },
    options = { KEEP[1], KEEP[2], KEEP[3],
      { "--service", value = "ID", help = "What it is for: an id, or the URI of a resource." },
      { "--workspace", value = "ID", help = "The workspace of a tenant it is for: an id, or the URI of a resource." },
      yes "Replace the file or the profile that has something else without asking." },
    exclusive = KEEP_ONE,
  },
  {
    name = "reset", summary = "Give one another secret.",
    description = "Gives one another secret; the former one and all its tokens end at once. Prints what it is as JSON."
      .. WHERE .. " Of the client in use here save the new secret where programs find the former one.",
    arguments = { { name = "id", help = "Which, as list tells it." } },
    options = { KEEP[1], KEEP[2], KEEP[3], yes "Reset it without asking." },
    exclusive = KEEP_ONE,
  },
  {
    name = "delete", summary = "Delete one.",
    description = "Deletes one; its secret and all its tokens end at once.",
    arguments = { { name = "id", help = "Which, as list tells it." } },
    options = { yes "Delete it without asking." },
  },
}
credentials.examples = {
  { 'central-auth credentials create "night jobs" --save-profile nights', "A client and a profile for scripts." },
  { "central-auth credentials reset ID --profile nights --save-profile nights", "Another secret, and nothing stops." },
}

-- --- where a secret goes, and what is printed --------------------------------------------------------------------

-- What the library calls save_to; false: the secret is to be shown.
local function place_of(options)
  local path = options.save_to
  if options.save_profile then
    return { profile = options.save_profile }
  elseif path then
    return path:find "^/" and path or HERE .. path
  elseif options.show then
    return false
  end
  return nil, "where is the secret to go? --save-to FILE, --save-profile NAME, or --show prints it", "usage"
end

-- Whether what is there already may go. `id`: that of the client the secret is for, where it is known.
local function may_replace(options, place, id)
  if options.save_profile then
    local found, message, code, detail = profile_writer.read()
    if not found then
      return nil, message, code, detail
    end
    return consent.to_replace(options, options.save_profile, found[options.save_profile], id)
  end
  local file <close> = place and io.open(place) or nil
  if not file then
    return true
  end
  return consent.to(options, ("There is a file %s. Replace it?"):format(options.save_to),
    ("the file %s stays as it is"):format(options.save_to), "replaces it")
end

local function as_json(value)
  local fields = {}
  for name, field in pairs(value) do
    fields[name] = type(field) == "string" and field:gsub("^" .. HERE, "") or field
  end
  return json_text.read(cjson.encode(fields))
end

-- The library speaks of its own option, and of the path that it was given.
local function as_typed(message)
  return (message:gsub("^save_to: ", "--save-to: "):gsub(HERE, ""))
end

-- Prints one with a secret, or without it where that was saved; `...` is the failure to save it.
local function print_new(options, one, message, code, detail)
  result(json_text.write(as_json(one)))
  if code then
    return nil, as_typed(message) .. "; the secret is printed, for there is no other copy", code, detail
  elseif one.saved_to then
    terminal.note(options, ("The secret is in %s."):format((one.saved_to:gsub("^" .. HERE, ""))))
  end
end

-- --- actions -----------------------------------------------------------------------------------------------------

local actions = {}

function actions.list(options)
  local list, message, code, detail = auth.credentials.list()
  if not list then
    return nil, message, code, detail
  end
  local all, lines = { open = "[", keys = {} }, {}
  for i, one in ipairs(list) do
    all[i] = as_json(one)
    lines[i] = ("%s  %-19.19s  %s"):format(errors.printable(one.client_id or "?"),
      errors.printable(one.created_at or "-"), errors.printable(one.name or "?"))
  end
  if options.json or #lines > 0 then
    result(options.json and json_text.write(all) or table.concat(lines, "\n"))
  end
end

function actions.create(options)
  local place, message, code, detail = place_of(options)
  local agreed, made
  if place ~= nil then
    agreed, message, code, detail = may_replace(options, place)
  end
  if agreed then
    made, message, code, detail = auth.credentials.create { name = options.name, service = options.service,
      workspace = options.workspace, save_to = place or nil }
  end
  if not made then
    return nil, as_typed(message), code, detail
  end
  return print_new(options, made, message, code, detail)
end

-- Whether something may be done to the client of this id.
local function may(options, does, ends, yes_does)
  if not options.id:find "^[%w_-]+$" then
    return nil, ("ID: has other signs than letters, digits, - and _: %s"):format(errors.printable(options.id)), "usage"
  end
  local found = config.resolve { profile = options.profile }
  local own = found and found.client_id == options.id and " It is the client in use here." or ""
  return consent.to(options, ("%s %s? %s%s"):format(does, options.id, ends, own),
    ("the personal API client %s stays as it is"):format(errors.printable(options.id)), yes_does)
end

function actions.reset(options)
  local place, message, code, detail = place_of(options)
  local agreed, found
  if place ~= nil then
    agreed, message, code, detail = may(options, "Reset", "Its secret and all its tokens end at once.", "resets it")
  end
  if agreed then
    agreed, message, code, detail = may_replace(options, place, options.id)
  end
  if agreed then
    found, message, code, detail = auth.credentials.reset(options.id, { save_to = place or nil })
  end
  if not found then
    return nil, as_typed(message), code, detail
  end
  return print_new(options, found, message, code, detail)
end

function actions.delete(options)
  local agreed, message, code, detail = may(options, "Delete", "Its secret and all its tokens end at once, for good.",
    "deletes it")
  local deleted
  if agreed then
    deleted, message, code, detail = auth.credentials.delete(options.id)
  end
  if not deleted then
    return nil, message, code, detail
  end
  terminal.note(options, ("The personal API client %s is deleted."):format(options.id))
end

--- Does what the action says.
---@param options table
function credentials.run(options)
  local opened, message, code, detail = session.open(options)
  if not opened then
    return nil, message, code, detail
  end
  return actions[options.action](options)
end

return credentials

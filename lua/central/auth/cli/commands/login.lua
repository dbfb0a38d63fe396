-- central-auth login: asks for credentials, tries them at the server, keeps them in a profile.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local consent = require "central.auth.cli.consent"
local duration = require "central.auth.duration"
local errors = require "central.auth.errors"
local given = require "central.auth.cli.input_sources"
local profile_writer = require "central.auth.config.profile_store"
local save = require "central.auth.config.save"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local login = {}

local SAME = { token_url = "workspace_id", base_url = "cluster" } -- of which a profile has one

login.summary = "Ask for credentials, try them, keep them in a profile."
login.description = "Asks for the client id and, without showing it, for the client secret of a personal API client,"
  .. " gets a token with them, and writes them into the profile file, mode 0600. What else is in the file stays as it"
  .. " is. Without a terminal the credentials come from a file, standard input or the environment."
login.options = {
  { "--client-id", value = "ID", help = "Do not ask for the client id." },
  { "--client-secret-file", value = "FILE", help = "Read the secret from a file; - is standard input." },
  { "--from-file", value = "FILE", help = "Read credentials and what belongs to them from JSON or from lines like"
    .. " CENTRAL_CLIENT_ID=ID; - is standard input." },
  { "--cluster", value = "NAME", help = "The cluster of Central, like EU-1 or its label." },
  { "--workspace-id", value = "ID", help = "Take GreenLake's endpoint of this workspace." },
  { "--token-url", value = "URL", help = "Take this endpoint." },
  { "--ca-file", value = "FILE", help = "Trust these authorities, PEM." },
  { "--no-check", help = "Write them without trying them." },
  { "-y", "--yes", help = "Replace the credentials of a profile without asking." },
}
login.examples = {
  { "central-auth login", "The first thing to do: keeps your credentials in the profile default." },
  { "pass show lab | central-auth login -p lab --client-id ID --client-secret-file -", "Without a terminal." },
}

local function needed(what, why, how)
  return errors.fail("config", ("a client %s is needed and %s; %s gives it"):format(what, why, how))
end

local TYPED = "the keyboard"

local function ask_for_the_rest(values, origins, before)
  local can_ask = terminal.can_ask()
  if not values.client_id then
    values.client_id, origins.client_id = can_ask and terminal.ask("Client id", before.client_id) or nil, TYPED
    if not values.client_id then
      return needed("id", "there is no answer", "--client-id")
    end
  end
  local asked = not values.client_secret
  if asked then
    local why
    values.client_secret, why = terminal.ask_secret "Client secret"
    origins.client_secret = TYPED
    if not values.client_secret then
      return needed("secret", why, "--client-secret-file (- is standard input)")
    end
  end
  if asked and can_ask and not (values.cluster or values.base_url) then
    local why
    values.cluster, why = terminal.ask("Cluster, like EU-1; empty if you make no API calls here", before.cluster)
    origins.cluster = TYPED
    if why then
      return errors.fail("config", ("no answer for the cluster: %s. Nothing was written."):format(why))
    end
  end
  return values
end

-- A client as the profile will have it, and nothing of another profile; unless it is not to be tried, it gets a token.
-- How long that is good for; false where there is none.
local function try(values, before, no_check)
  local arguments = { profile = false, wait = session.wait }
  for _, source in ipairs { before, values } do
    for name, value in pairs(source) do
      arguments[name] = value ~= false and value or nil
    end
  end
  local ok, made, message, code, detail = pcall(auth.new, arguments)
  if not ok then -- what we pass ourselves is text of known names: it is in the profile
    return errors.fail("config", ("the profile: %s. Nothing was written."):format(made))
  end
  local client <close> = made
  local token
  if client and no_check then
    return false
  elseif client then
    token, message, code, detail = client:renew() -- a shared token would prove nothing
  end
  if not token then
    return nil, ("%s. Nothing was written."):format(message), code, detail
  end
  return client:status().expires_in
end

-- What the profile gets: the new credentials, and none of the ways in which it got them before.
local function for_profile(values)
  for one, other in pairs(SAME) do
    if values[one] or values[other] then
      values[one], values[other] = values[one] or false, values[other] or false
    end
  end
  return save.alone(values)
end

-- The values, asked for where they are not given, that may take the place of those in the profile; and their origins.
local function wanted(options, name, before)
  local values, origins, code, detail = given.values(options)
  local message = origins
  if values then
    values, message, code, detail = ask_for_the_rest(values, origins, before)
  end
  local agreed
  if values then
    agreed, message, code, detail = consent.to_replace(options, name, before, values.client_id)
  end
  if not agreed then
    return nil, message, code, detail
  end
  for key in pairs(before) do
    origins[key] = origins[key] or ("the profile %q"):format(name)
  end
  return for_profile(values), origins
end

--- Asks for what is not given, tries it, and writes the profile.
---@param options table
function login.run(options)
  local name = options.profile or given.environment "profile" or "default"
  local found, message, code, detail = profile_writer.read()
  local before = found and type(found[name]) == "table" and found[name] or {}
  local values, origins, life, path
  if found then
    values, origins, code, detail = wanted(options, name, before)
    message = origins
  end
  if values then
    life, message, code, detail = try(values, before, options.no_check)
  end
  if values and life == nil then
    return given.explain(origins, message, code, detail)
  elseif life then
    terminal.note(options, ("The server accepted them; a token is good for %s."):format(duration(life)))
  end
  if values then
    path, message, code, detail = profile_writer.set(name, values)
  end
  if not path then
    return nil, message, code, detail
  end
  terminal.note(options, ("The profile %q is in %s."):format(name, path))
end

return login

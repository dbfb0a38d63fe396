-- central-auth login: asks for credentials, checks them at the server, and saves them in a profile.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local consent = require "central.auth.cli.consent"
local duration = require("central.auth.util").duration
local errors = require "central.auth.errors"
local input_sources = require "central.auth.cli.input_sources"
local profile_store = require "central.auth.config.profile_store"
local save = require "central.auth.config.save"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local login = {}

local EITHER = { token_url = "workspace_id", base_url = "cluster" } -- a profile has one of the two

login.summary = "Ask for credentials, check them, save them in a profile."
login.description = "Asks for the client id and, without showing it, for the client secret of a personal API client,"
  .. " gets a token with them, and saves them in the profile file, mode 0600. The rest of the file stays unchanged."
  .. " Without a terminal the credentials come from a file, standard input or the environment."
login.options = {
  { "--client-id", value = "ID", help = "Do not ask for the client id." },
  { "--client-secret-file", value = "FILE", help = "Read the secret from a file; - is standard input." },
  { "--from-file", value = "FILE", help = "Read credentials and related options from JSON or from lines like"
    .. " CENTRAL_CLIENT_ID=ID; - is standard input." },
  { "--cluster", value = "NAME", help = "The cluster of Central, like EU-1 or its label." },
  { "--workspace-id", value = "ID", help = "Use GreenLake's endpoint of this workspace." },
  { "--token-url", value = "URL", help = "Use this token endpoint." },
  { "--ca-file", value = "FILE", help = "Trust these certificate authorities, PEM." },
  { "--no-check", help = "Save them without checking them." },
  { "-y", "--yes", help = "Replace the credentials of a profile without asking." },
}
login.examples = {
  { "central-auth login", "The first step: saves your credentials in the profile default." },
  { "pass show lab | central-auth login -p lab --client-id ID --client-secret-file -", "Without a terminal." },
}

local function fail_missing(name, why, option)
  return errors.fail("config", ("no client %s: %s; set it by %s"):format(name, why, option))
end

local TYPED = "the keyboard"

local function ask_for_missing(values, origins, before)
  local can_ask = terminal.can_ask()
  if not values.client_id then
    values.client_id, origins.client_id = can_ask and terminal.ask("Client id", before.client_id) or nil, TYPED
    if not values.client_id then
      return fail_missing("id", "there is no answer", "--client-id")
    end
  end
  local asked = not values.client_secret
  if asked then
    local why
    values.client_secret, why = terminal.ask_secret "Client secret"
    origins.client_secret = TYPED
    if not values.client_secret then
      return fail_missing("secret", why, "--client-secret-file (- is standard input)")
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

-- Makes a client with the options that the profile will have, and gets a token unless `no_check` is set. Returns the
-- seconds until it expires, or false without a token.
local function check(values, before, no_check)
  local arguments = { profile = false, wait = session.wait }
  for _, source in ipairs { before, values } do
    for name, value in pairs(source) do
      arguments[name] = value ~= false and value or nil
    end
  end
  local ok, made, message, code, detail = pcall(auth.new, arguments)
  if not ok then -- the error is in the profile's own options; `values` has only known names
    return errors.fail("config", ("the profile: %s. Nothing was written."):format(made))
  end
  local client <close> = made
  local token
  if client and no_check then
    return false
  elseif client then
    token, message, code, detail = client:renew() -- a shared token would not prove that they are valid
  end
  if not token then
    return nil, ("%s. Nothing was written."):format(message), code, detail
  end
  return client:status().expires_in
end

-- The changes of the profile: the new credentials, and the removal of former ones.
local function for_profile(values)
  for one, other in pairs(EITHER) do
    if values[one] or values[other] then
      values[one], values[other] = values[one] or false, values[other] or false
    end
  end
  return save.without_other_secrets(values)
end

-- The new values for the profile, some of them asked for, after consent to replace former ones; and their origins.
local function new_values(options, name, before)
  local values, origins, code, detail = input_sources.values(options)
  local message = origins
  if values then
    values, message, code, detail = ask_for_missing(values, origins, before)
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

--- Asks for missing values, checks the credentials, and saves the profile.
---@param options table
function login.run(options)
  local name = options.profile or input_sources.environment "profile" or "default"
  local found, message, code, detail = profile_store.read()
  local before = found and type(found[name]) == "table" and found[name] or {}
  local values, origins, expires_in, path
  if found then
    values, origins, code, detail = new_values(options, name, before)
    message = origins
  end
  if values then
    expires_in, message, code, detail = check(values, before, options.no_check)
  end
  if values and expires_in == nil then
    return input_sources.explain(origins, message, code, detail)
  elseif expires_in then
    terminal.note(options, ("The server accepted them; a token is valid for %s."):format(duration(expires_in)))
  end
  if values then
    path, message, code, detail = profile_store.set(name, values)
  end
  if not path then
    return nil, message, code, detail
  end
  terminal.note(options, ("The profile %q is in %s."):format(name, path))
end

return login

-- central-auth login: asks for credentials, checks them at the server, and saves them in a profile.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local consent = require "central.auth.cli.consent"
local duration = require("central.auth.util").duration
local errors = require "central.auth.errors"
local input_sources = require "central.auth.cli.input_sources"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"
local profile_store = require "central.auth.config.profile_store"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"

local login = {}

login.summary = "Ask for credentials, check them, save them in a profile."
login.description = "Asks for the client id and, without showing it, for the client secret of a personal API client,"
  .. " gets a token with them, and saves them in the profile, mode 0600. An existing profile keeps its other"
  .. " options, but loses its comments. Without a terminal the credentials come from a file,"
  .. " standard input or the environment."
login.options = {
  { "--client-id", value = "ID", help = "The client id; otherwise the command asks for it." },
  { "--client-secret-file", value = "FILE", help = "Read the secret from a file; - is standard input." },
  { "--from-file", value = "FILE", help = "Read credentials and related options from JSON or from lines like"
    .. " CENTRAL_CLIENT_ID=ID; - is standard input." },
  { "--cluster", value = "NAME", help = "The cluster of Central, like EU-1 or its label." },
  { "--workspace-id", value = "ID", help = "Use GreenLake's token endpoint of this workspace." },
  { "--token-url", value = "URL", help = "Use this token endpoint." },
  { "--ca-file", value = "FILE", help = "Trust these certificate authorities, PEM." },
  { "--no-check", help = "Save the credentials without checking them." },
  { "-y", "--yes", help = "Replace the credentials of a profile without asking." },
}
login.examples = {
  { "central-auth login", "The first step: saves your credentials in the profile default." },
  { "pass show lab | central-auth login -p lab --client-id ID --client-secret-file -", "Without a terminal." },
}

-- Ends the command if a function failed. An invalid value of a command-line option is an invalid argument.
local function try_source(value, message, code, detail)
  local by_option = code and (detail.source or ""):find "^%-%-"
  return try(value, message, by_option and "usage" or code, detail)
end

local function fail_missing(name, why, option)
  return errors.fail("config", ("no client %s: %s; set it with %s"):format(name, why, option))
end

local TYPED = "the keyboard"

-- Asks for missing values. `current`: the options of the profile.
local function ask_for_missing(values, current)
  local can_ask = terminal.can_ask()
  if not values.client_id then
    values.client_id, values.from.client_id = can_ask and terminal.ask("Client id", current.client_id) or nil, TYPED
    if not values.client_id then
      return fail_missing("id", "nothing was entered", "--client-id")
    end
  end
  local asked = not values.client_secret
  if asked then
    local why
    values.client_secret, why = terminal.ask_secret "Client secret"
    values.from.client_secret = TYPED
    if not values.client_secret then
      return fail_missing("secret", why, "--client-secret-file (- is standard input)")
    end
  end
  if asked and can_ask and not (values.cluster or values.base_url) then
    local why
    values.cluster, why = terminal.ask("Cluster, like EU-1; empty if you make no API calls here", current.cluster)
    values.from.cluster = TYPED
    if why then
      return errors.fail("config", ("no answer for the cluster: %s. Nothing was written."):format(why))
    end
  end
  return values
end

-- Makes a client with the new values of the profile, and gets a token unless `no_check` is set.
local function check(options, values)
  local settings = try_source(config.complete(values))
  if options.no_check then
    return
  end
  settings.wait = session.wait
  local made <close> = client.new(settings)
  local token, message, code, detail = made:renew() -- a shared token would not prove that the credentials are valid
  if not token then
    try_source(nil, message .. ". Nothing was written.", code, detail)
  end
  terminal.note(options, ("The server accepted the credentials; a token is valid for %s."):format(
    duration(made:status().expires_in)))
end

--- Asks for missing values, checks the credentials, and saves the profile.
---@param options table
function login.run(options)
  local name = try(config.choose_profile { profile = options.profile }).profile or paths.DEFAULT_PROFILE
  local entry = try(profile.find(name))
  local values = try_source(input_sources.values(options))
  try(ask_for_missing(values, entry and entry.options or {}))
  try(consent.to_replace(options, name, entry, values.client_id))
  local source = config.source(values, values.from)
  check(options, try_source(profile_store.merge(name, source)))
  local path = try(profile_store.put(name, source, "central-auth login"))
  terminal.note(options, ("The profile %q is in %s%s."):format(name, path,
    entry and "; its comments are lost" or ""))
end

return login

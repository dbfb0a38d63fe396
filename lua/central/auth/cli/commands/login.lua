-- central-auth login: asks for credentials, checks them at the server, and saves them in a profile.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local clusters = require "central.auth.config.clusters"
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

local login = {}

login.summary = "Ask for credentials, check them, save them in a profile."
login.description = "Asks for the client id and, without showing it, for the client secret of a personal API client,"
  .. " gets a token and makes an API call with them, and saves them in the profile, mode 0600. After a wrong secret it"
  .. " asks again, twice at most. If no cluster is set, it shows the list to choose from. An existing profile keeps its"
  .. " other options, but loses its comments. Without a terminal the credentials come from a file, standard input or"
  .. " the environment."
login.options = {
  { "--client-id", value = "ID", help = "The client id; otherwise the command asks for it." },
  { "--client-secret-file", value = "FILE", help = "Read the secret from a file; - is standard input." },
  { "--from-file", value = "FILE", help = "Read credentials and related options from JSON or from lines like"
    .. " CENTRAL_CLIENT_ID=ID; - is standard input." },
  { "--cluster", value = "NAME", suggestions = clusters.names, help = "The cluster of Central, like EU-1 or its label;"
    .. " central-auth clusters lists them." },
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

local TYPED, SECRETS_MAX = "the keyboard", 3

local function fail_missing(name, why, option)
  errors.raise(("no client %s: %s; set it with %s"):format(name, why, option), "config")
end

local function ask_secret(values)
  local why
  values.client_secret, why = terminal.ask_secret "Client secret"
  values.from.client_secret = TYPED
  if not values.client_secret then
    fail_missing("secret", why, "--client-secret-file (- is standard input)")
  end
end

-- Asks until the answer is a cluster or empty. Returns its name; nil: none.
local function ask_cluster()
  for i, name in ipairs(clusters.names) do
    io.stderr:write(("%4d  %-12s %s\n"):format(i, name, clusters.base_url(name):match "//(.*)"))
  end
  while true do
    local answer, why = terminal.ask "Cluster, by number or name; empty for none (then no calls of Central's API)"
    if why then
      errors.raise(("no answer for the cluster: %s. Nothing was written."):format(why), "config")
    end
    local name = answer and clusters.names[math.tointeger(tonumber(answer))] or answer
    if not name or clusters.base_url(name) then
      return name
    end
    io.stderr:write(("%q is not in the list%s\n"):format(errors.printable(name), errors.suggest(name, clusters.names)))
  end
end

-- Asks for missing values. `current`: the options of the profile.
local function ask_for_missing(values, current)
  local can_ask = terminal.can_ask()
  if not values.client_id then
    values.client_id, values.from.client_id = can_ask and terminal.ask("Client id", current.client_id) or nil, TYPED
    if not values.client_id then
      fail_missing("id", "nothing was entered", "--client-id")
    end
  end
  if not values.client_secret then
    ask_secret(values)
  end
  if can_ask and not (values.cluster or values.base_url or current.cluster or current.base_url) then
    values.cluster, values.from.cluster = ask_cluster(), TYPED
  end
end

local TEST_PATH, TEST_CALL = "/network-monitoring/v1/aps", { query = { limit = 1 }, retry = 1, timeout = 10 }

-- Returns a command for the user to run. `named`: the profile, if the command does not find it by itself.
local function command(words, named)
  return ("central-auth %s%s"):format(words, named and " --profile " .. named or "")
end

-- Makes an API call. Its failure is only a note: it may be due to the role, and tokens work.
local function check_api(options, made, named)
  local reply, message = made:get(TEST_PATH, TEST_CALL)
  terminal.note(options, reply and "An API call succeeded." or ("An API call failed: %s\nIf the cluster is wrong, run"
    .. " %s."):format(message, command("login --cluster NAME", named)))
  return reply ~= nil
end

-- Makes a client with the new values of the profile, and unless `no_check` is set gets a token and makes an API call.
-- Returns whether API calls can work; nil and the failure if there is no token.
local function check(options, values, named)
  values.log = session.log(options) or values.log
  local settings = config.complete(values)
  local has_api = settings.base_url ~= nil
  if options.no_check then
    return has_api
  end
  settings.wait = session.wait
  local made <close> = client.new(settings)
  local token, message, code, detail = made:renew() -- a shared token would not prove that the credentials are valid
  if not token then
    return nil, message, code, detail
  end
  terminal.note(options, ("The server accepted the credentials; a token is valid for %s."):format(
    duration(made:status().expires_in)))
  return has_api and check_api(options, made, named)
end

-- Checks the credentials. A refused secret that was typed is asked for again.
local function check_all(options, name, source, named)
  for n = 1, SECRETS_MAX do
    local has_api, message, code, detail = check(options, profile_store.merge(name, source), named)
    if has_api ~= nil then
      return has_api
    elseif n == SECRETS_MAX or source.from.client_secret ~= TYPED or detail.oauth_error ~= "invalid_client" then
      errors.raise(message .. ". Nothing was written.", code, detail)
    end
    terminal.print_error(message)
    ask_secret(source.values)
  end
end

--- Asks for missing values, checks the credentials, and saves the profile.
---@param options table
function login.run(options)
  local chosen = config.choose_profile({ profile = options.profile }).profile
  local name = chosen or paths.DEFAULT_PROFILE
  local entry = profile.find(name)
  local values = input_sources.values(options)
  ask_for_missing(values, entry and entry.options or {})
  consent.ask_to_replace(options, name, entry, values.client_id)
  local source = { values = values, from = values.from }
  local named = (options.profile or chosen == false) and name
  local has_api = check_all(options, name, source, named)
  local path = profile_store.put(name, source, "central-auth login")
  terminal.note(options, ("The profile %q is in %s%s."):format(name, path,
    entry and "; its comments are lost" or ""))
  session.note_override(options, name, values)
  terminal.note(options, "Next: " .. command(has_api and "api " .. TEST_PATH or "token", named))
end

return login

-- The default client of the subcommands: it has the chosen profile, and shows progress while it waits.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local config = require "central.auth.config.resolve"
local result = require "central.auth.cli.result"
local try = require "central.auth.cli.try"
local util = require "central.auth.util"

local errors = util.lazy "central.auth.errors"
local terminal = util.lazy "central.auth.cli.terminal"

local session = {}

local CREDENTIALS = { "access_token", "access_token_file", "access_token_command", "client_id" }
local RENEWAL_MAX = 3 -- seconds that a renewal may take before the command ends

--- Waits for a descriptor, some seconds at most, by yielding both to central.auth.cli.main.
session.wait = coroutine.yield

--- Returns the library's option log for --verbose.
---@param options { verbose?: integer }
---@return "info" | "debug" | nil
function session.log(options)
  return ({ "info", "debug" })[options.verbose]
end

-- Returns the options of the library for a client.
local function client_options(options)
  return { profile = options.profile, log = session.log(options), wait = session.wait }
end

--- Notes that a variable overrides the credentials of a profile. `saved`: values of the profile.
---@param options { quiet?: boolean }
---@param profile string
---@param saved table<string, any>
function session.note_override(options, profile, saved)
  local by_environment = config.environment().values
  for _, name in ipairs(CREDENTIALS) do
    if by_environment[name] and by_environment[name] ~= saved[name] then
      return terminal.note(options, ("central-auth: %s overrides the profile %q; unset it to use the profile"):format(
        config.variable(name), profile))
    end
  end
end

--- Configures the default client, and returns it.
---@param options { profile?: string, verbose?: integer }
---@return central.auth.Client client
function session.open(options)
  local client = try(auth.configure(client_options(options)))
  if options.profile then
    session.note_override(options, options.profile, {})
  end
  return client
end

--- Returns the token of the chosen profile. Warns if it is valid for less time than --min-valid.
---@param options { profile?: string, min_valid?: number }
---@return string token
function session.token(options)
  session.open(options)
  local value, left = try(auth.token(options.min_valid and { min_valid = options.min_valid }))
  if left then
    terminal.note(options, ("central-auth: this token is valid for %s, less than --min-valid"):format(
      util.duration(left)))
  end
  return value
end

--- Returns the state of the shared token; makes no request.
---@param options { profile?: string }
---@return central.auth.Status status
function session.status(options)
  session.open(options)
  return auth.status { shared = true }
end

-- Returns the cache that still has a usable token after it was invalidated; nil if there is none.
local function cache_with_token(options)
  local client <close> = auth.new(client_options(options))
  local status = client and client:status { shared = true }
  return status and (status.state == "fresh" or status.state == "stale") and status.cache or nil
end

--- Forgets the shared token; with `refused` only if it is still this one. Ends the command if it is ready-made.
---@param options { profile?: string }
---@param refused? string
---@return boolean forgotten
---@return string? left the cache that still has a token
function session.forget(options, refused)
  if session.status(options).source == "ready-made" then
    errors.raise("the token is ready-made, and no process shares it: replace or remove it where it comes from (see"
      .. " central-auth doctor)", "config")
  end
  local forgotten = try(auth.invalidate(refused))
  return forgotten, forgotten and not refused and cache_with_token(options) or nil
end

--- Finishes a renewal that is due: one in the background would end with this process. A failure has no effect.
---@return string | false | nil token the new token; false: it was due and did not end
function session.finish_renewal()
  auth.token() -- starts a renewal that is due
  if not package.loaded["central.auth.http"] then
    return -- it was not due
  end
  local status = auth.status()
  if status.state ~= "stale" or status.next_try_in then
    return
  end
  local pending <close> = auth.pending { min_valid = status.expires_in + 1 }
  local clock = require("central.auth.core").clock()
  local deadline = clock:boot() + RENEWAL_MAX
  while pending and not pending:done() and clock:boot() < deadline do
    session.wait(pending:fd(), deadline - clock:boot())
  end
  return pending and pending:done() and pending:result() or false
end

--- Prints a result, then finishes a renewal that is due.
---@param text string
---@param line_end? string
function session.print_result(text, line_end)
  result(text, line_end)
  io.stdout:close() -- the reader does not wait for the renewal
  if session.finish_renewal() == false then
    auth.close() -- cancels a renewal that takes longer
  end
end

return session

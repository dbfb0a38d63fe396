-- central-auth logout: removes the shared token and, with --profile, the profile.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local consent = require "central.auth.cli.consent"
local errors = require "central.auth.errors"
local profile_store = require "central.auth.config.profile_store"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"

local logout = {}

logout.summary = "Forget the shared token; with --profile NAME the profile too."
logout.description = "Removes the shared token from the cache. With --profile NAME it also removes that profile and the"
  .. " secret in it from the profile file, after a question. It changes nothing at the server: reset or delete the"
  .. " credential there if it is known to others."
logout.options = { { "-y", "--yes", help = "Remove the profile without asking." } }

local function forget_token(options)
  local status, message, code, detail = session.status(options)
  if not status then
    return nil, message, code, detail
  end
  local removed = auth.invalidate()
  local left = removed and session.cache_with_token(options)
  if left then
    return errors.fail("config",
      ("a token is still shared in %s: another process has its lock; try again"):format(left))
  end
  terminal.note(options, removed and "The shared token is removed." or "There was no shared token.")
  return true
end

local function forget_profile(options)
  local found = try(profile_store.read())
  if not found[options.profile] then
    return errors.fail("config", ("there is no profile %q"):format(options.profile))
  end
  try(consent.to(options, ("Remove the profile %q and the secret in it?"):format(options.profile),
    ("the profile %q stays"):format(options.profile), "removes it"))
  local path = try(profile_store.remove(options.profile))
  terminal.note(options, ("The profile %q is removed from %s."):format(options.profile, path))
end

--- Removes the shared token, and the profile of --profile.
---@param options table
function logout.run(options)
  local forgotten, message, code, detail = forget_token(options)
  if options.profile then -- a profile whose credentials do not work can be removed, too
    if not forgotten then
      terminal.note(options, message)
    end
    return forget_profile(options)
  end
  return forgotten and 0 or nil, message, code, detail
end

return logout

-- central-auth logout: removes the shared token and, with --profile, the profile.
-- SPDX-License-Identifier: MIT

local consent = require "central.auth.cli.consent"
local errors = require "central.auth.errors"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local logout = {}

logout.summary = "Forget the shared token; with --profile NAME the profile too."
logout.description = "Removes the shared token from the cache. With --profile NAME it asks first, and then also deletes"
  .. " that profile's file and the secret in it; if the file is a link, only the link. The command changes nothing"
  .. " at the server: reset or delete the credential there if other people may know it."
logout.options = { { "-y", "--yes", help = "Remove the profile without asking." } }

local function forget_token(options)
  local removed, left = session.forget(options)
  if left then
    errors.raise(("the cache, %s, still has a token: another process has its lock; try again"):format(left), "config")
  end
  terminal.note(options, removed and "The shared token is removed." or "There was no shared token.")
end

-- Fails unless there is a file of this profile, readable or not.
local function check_exists(name)
  for _, each in ipairs(profile.names()) do
    if each == name then
      return
    end
  end
  profile.missing(name)
end

--- Removes the shared token, and the profile of --profile.
---@param options table
function logout.run(options)
  if not options.profile then
    return forget_token(options)
  end
  check_exists(options.profile)
  consent.ask(options, ("Remove the profile %q and the secret in it?"):format(options.profile),
    ("the profile %q was not removed"):format(options.profile), "removes it")
  local _, message = errors.catch(forget_token, options)
  if message then -- a profile with invalid credentials can be removed, too
    terminal.note(options, message)
  end
  local removed, why = os.remove(paths.profile(options.profile))
  if not removed then
    errors.raise("the profile can't be removed: " .. why, "config")
  end
  terminal.note(options, ("The profile %q is removed."):format(options.profile))
end

return logout

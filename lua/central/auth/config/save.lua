-- Saves a new secret to a separate file or to a profile, so that it is never shown on a terminal. `prepare` checks that
-- saving will work before there is a secret to lose. Failures are raised.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local profile_store = require "central.auth.config.profile_store"

---@alias central.auth.SaveTo string | { profile: string } the absolute path of a file, which gets mode 0600, in an
--- existing folder; or the name of a profile

local save = {}

--- Raises if the argument is not valid.
---@param to any
function save.check(to)
  local named = type(to) == "table" and type(to.profile) == "string" and next(to, next(to)) == nil
  if to ~= nil and type(to) ~= "string" and not named then
    errors.argument_error('save_to: the path of a file, or { profile = "name" }, expected')
  end
end

local function put_in_profile(name, client_id, client_secret, dry_run)
  local source = { values = { client_id = client_id, client_secret = client_secret }, from = "save_to" }
  return profile_store.put(name, source, "central-auth api-clients, or by save_to of the library", dry_run)
end

local function fail(place, why)
  errors.raise(("save_to: %s: %s"):format(place, why), "config", { option = "save_to" })
end

--- Checks whether a secret can be saved to this place.
---@param to? central.auth.SaveTo
function save.prepare(to)
  if to == nil then
    return
  elseif type(to) == "table" then
    local name, problem = options.check("profile", to.profile)
    if not name then
      fail(errors.printable(to.profile), problem)
    end
    put_in_profile(name, "id", "secret", true)
    return
  elseif not to:find("^/") then
    fail(to, "an absolute path expected")
  end
  local folder = to:match "^(.*)/"
  local ok, why, absent = core.replace_file(to)
  if not ok then
    fail(to, absent and ("there is no folder %s; create it first: mkdir -p %s"):format(folder, folder) or why)
  end
end

--- Saves the secret, in a profile with the client id. Returns the path of the file.
---@param to central.auth.SaveTo
---@param client_id string
---@param client_secret string
---@return string path
function save.put(to, client_id, client_secret)
  if type(to) == "table" then
    return put_in_profile(to.profile, client_id, client_secret)
  end
  local ok, why = core.replace_file(to, client_secret .. "\n")
  if not ok then
    fail(to, why)
  end
  return to
end

return save

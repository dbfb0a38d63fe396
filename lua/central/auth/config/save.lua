-- Where a new secret is put so that it never passes a terminal: a file of its own, or a profile. Whether that will
-- work is found out before there is a secret to lose.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local profile_writer = require "central.auth.config.profile_store"

---@alias central.auth.SaveTo string | { profile: string } the absolute path of a file of mode 0600, in a folder that is
--- there; or a profile's name

local save = {}

--- Raises mistakes of the caller.
---@param to any
function save.check(to)
  local named = type(to) == "table" and type(to.profile) == "string" and next(to, next(to)) == nil
  if to ~= nil and type(to) ~= "string" and not named then
    errors.mistake('save_to: the path of a file, or { profile = "name" }, expected')
  end
end

--- Values for a profile, and that it loses all other ways to a secret: those of the client it had would contradict.
---@param values table<string, any> changed
---@return table<string, any> values
function save.alone(values)
  for _, name in ipairs { "client_secret_file", "client_secret_command", "client_assertion", "client_assertion_file",
    "client_assertion_command" } do
    values[name] = false
  end
  return values
end

local function values_of(client_id, client_secret)
  return save.alone { client_id = client_id, client_secret = client_secret }
end

local function wrong(place, why)
  return errors.fail("config", ("save_to: %s: %s"):format(place, why), { option = "save_to" })
end

--- Whether a secret can be put there.
---@param to? central.auth.SaveTo
---@return boolean? ready
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function save.prepare(to)
  if to == nil then
    return true
  elseif type(to) == "table" then
    local path, message, code, detail = profile_writer.set(to.profile, values_of("id", "secret"), true)
    return path and true, message, code, detail
  elseif not to:find("^/") then
    return wrong(to, "an absolute path is needed")
  end
  local folder = to:match "^(.*)/"
  local ok, why, absent = core.replace_file(to)
  if absent then
    return wrong(to, ("there is no folder %s; make it first: mkdir -p %s"):format(folder, folder))
  elseif not ok then
    return wrong(to, why)
  end
  return true
end

--- Puts them there. The path of the file.
---@param to central.auth.SaveTo
---@param client_id string
---@param client_secret string
---@return string? path
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function save.put(to, client_id, client_secret)
  if type(to) == "table" then
    return profile_writer.set(to.profile, values_of(client_id, client_secret))
  end
  local ok, why = core.replace_file(to, client_secret .. "\n")
  if not ok then
    return wrong(to, why)
  end
  return to
end

return save

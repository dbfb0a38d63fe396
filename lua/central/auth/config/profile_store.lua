-- Writes the profile file: one profile at a time; everything else in it stays byte for byte. A file that cannot be
-- changed without losing something is refused.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local lua_text = require "central.auth.config.lua_text"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"

local profile_store = {}

local EMPTY = "return {\n}\n"
local LOCK_TIMEOUT, LOCK_POLL = 2, 0.02 -- seconds

local function is_equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not is_equal(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function no_path()
  return errors.fail("config", "the profile file has no path: neither XDG_CONFIG_HOME nor HOME is set")
end

--- Reads the file: its profiles, its text and its path.
---@return table<string, table>? profiles
---@return string text or message
---@return string path or code
function profile_store.read()
  local path = paths.profiles()
  if not path then
    return no_path()
  end
  local text, why, unusable = core.read_file(path)
  if not text and unusable ~= "absent" then
    return errors.fail("config", ("the profile file %s: %s"):format(path, why))
  end
  text = text and text:find "%S" and text or EMPTY
  local profiles, message, code, detail = profile.evaluate(path, text)
  if not profiles then
    return nil, message, code, detail
  end
  return profiles, text, path
end

-- Locks a file beside it that stays, as the profile file itself is replaced. Other processes wait.
local function lock(path)
  if not path then
    return no_path()
  end
  local clock = core.clock()
  local deadline = clock:boot() + LOCK_TIMEOUT
  local held, why = core.lock_file(path .. ".lock")
  while held == false and clock:boot() < deadline do
    clock:sleep(LOCK_POLL)
    held, why = core.lock_file(path .. ".lock")
  end
  if not held then
    return errors.fail("config", ("the profile file %s is left as it is: %s.lock %s"):format(path, path,
      why and "can't be locked: " .. why or "is locked by another process; try again"))
  end
  return held
end

-- Changes the text and the table in the same way, and writes the text if evaluating it gives the table. `dry`: does not
-- write.
local function change(edit, expect, dry)
  local path = paths.profiles()
  local held <close>, message, code, detail = lock(path)
  local profiles, text
  if held then
    profiles, text, code, detail = profile_store.read()
    message = text
  end
  if not profiles then
    return nil, message, code, detail
  end
  local edited = edit(text)
  expect(profiles)
  local result = edited and profile.evaluate(path, edited)
  if not result or not is_equal(result, profiles) then
    return errors.fail("config",
      ("the profile file %s is too complex to be changed by a program; change it by hand"):format(path))
  end
  local ok, why = core.replace_file(path, not dry and edited or nil)
  if not ok then
    return errors.fail("config", ("the profile file %s can't be written: %s"):format(path, why))
  end
  return path
end

--- Sets values in a profile, which is created if it is missing; `false` removes a value. Returns the path of the file.
---@param name string
---@param values table<string, string | number | boolean>
---@param dry? boolean only check whether it is possible
---@return string? path
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile_store.set(name, values, dry)
  return change(function(text) return lua_text.set(text, name, values) end, function(profiles)
    profiles[name] = type(profiles[name]) == "table" and profiles[name] or {}
    for key, value in pairs(values) do
      profiles[name][key] = value ~= false and value or nil
    end
  end, dry)
end

--- Removes a profile. Returns the path of the file.
---@param name string
---@return string? path
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile_store.remove(name)
  return change(function(text) return lua_text.remove(text, name) end, function(profiles) profiles[name] = nil end)
end

return profile_store

-- Writes the profile file: one profile at a time, whatever else is in it stays byte for byte. What can't be changed
-- without a loss is refused.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local lua_text = require "central.auth.lua_text"
local paths = require "central.auth.paths"
local profile = require "central.auth.profile"

local profile_writer = {}

local EMPTY = "return {\n}\n"

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
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

--- What the file holds: its profiles, its text and its path.
---@return table<string, table>? profiles
---@return string text or message
---@return string path or code
function profile_writer.read()
  local path = paths.profiles()
  if not path then
    return errors.fail("config", "neither XDG_CONFIG_HOME nor HOME says where the profile file is")
  end
  local text, why, absent = core.read_file(path)
  if not text and not absent then
    return errors.fail("config", ("the profile file %s: %s"):format(path, why))
  end
  text = text and text:find "%S" and text or EMPTY
  local found, message, code, detail = profile.evaluate(path, text)
  if not found then
    return nil, message, code, detail
  end
  return found, text, path
end

-- Other logins wait in line; where there is no folder for a lock they do not, as everywhere here.
local function lock()
  local folder = paths.cache()
  local store, clock = folder and core.folder(folder), core.clock()
  for _ = 1, 100 do
    local held = store and store:lock("profiles.lock", 0)
    if held ~= false then
      return held
    end
    clock:sleep(0.02)
  end
end

-- Changes text and table alike, and writes the text if it says what the table has; `dry`: only tries.
local function change(edit, expect, dry)
  local _ <close> = lock() or nil
  local found, text, path, detail = profile_writer.read()
  if not found then
    return nil, text, path, detail
  end
  local edited = edit(text)
  expect(found)
  local again = edited and profile.evaluate(path, edited)
  if not again or not same(again, found) then
    return errors.fail("config",
      ("the profile file %s is not plain enough to be changed by a program; change it by hand"):format(path))
  end
  local ok, why = core.replace_file(path, not dry and edited or nil)
  if not ok then
    return errors.fail("config", ("the profile file %s can't be written: %s"):format(path, why))
  end
  return path
end

--- Puts values into a profile, which is made where there is none; `false` takes one away. The path of the file.
---@param name string
---@param values table<string, string | number | boolean>
---@param dry? boolean only try whether that could be done
---@return string? path
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile_writer.set(name, values, dry)
  return change(function(text) return lua_text.set(text, name, values) end, function(found)
    found[name] = found[name] or {}
    for key, value in pairs(values) do
      found[name][key] = value ~= false and value or nil
    end
  end, dry)
end

--- Takes a profile away. The path of the file.
---@param name string
---@return string? path
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function profile_writer.remove(name)
  return change(function(text) return lua_text.remove(text, name) end, function(found) found[name] = nil end)
end

return profile_writer

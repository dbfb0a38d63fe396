-- Writes the profile file: one profile at a time, whatever else is in it stays byte for byte. What can't be changed
-- without a loss is refused.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local lua_text = require "central.auth.config.lua_text"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"

local profile_writer = {}

local EMPTY = "return {\n}\n"
local PATIENCE, PAUSE = 2, 0.02 -- seconds

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

local function nowhere()
  return errors.fail("config", "neither XDG_CONFIG_HOME nor HOME says where the profile file is")
end

--- What the file holds: its profiles, its text and its path.
---@return table<string, table>? profiles
---@return string text or message
---@return string path or code
function profile_writer.read()
  local path = paths.profiles()
  if not path then
    return nowhere()
  end
  local text, why, unusable = core.read_file(path)
  if not text and unusable ~= "absent" then
    return errors.fail("config", ("the profile file %s: %s"):format(path, why))
  end
  text = text and text:find "%S" and text or EMPTY
  local found, message, code, detail = profile.evaluate(path, text)
  if not found then
    return nil, message, code, detail
  end
  return found, text, path
end

-- Taken on a file beside it that stays, as the profile file itself is replaced. Others wait in line.
local function lock(path)
  if not path then
    return nowhere()
  end
  local clock = core.clock()
  local deadline = clock:boot() + PATIENCE
  local held, why = core.lock_file(path .. ".lock")
  while held == false and clock:boot() < deadline do
    clock:sleep(PAUSE)
    held, why = core.lock_file(path .. ".lock")
  end
  if not held then
    return errors.fail("config", ("the profile file %s is left as it is: %s.lock %s"):format(path, path,
      why and "can't be locked: " .. why or "is locked by another process; try again"))
  end
  return held
end

-- Changes text and table alike, and writes the text if it says what the table has; `dry`: only tries.
local function change(edit, expect, dry)
  local path = paths.profiles()
  local held <close>, message, code, detail = lock(path)
  local found, text
  if held then
    found, text, code, detail = profile_writer.read()
    message = text
  end
  if not found then
    return nil, message, code, detail
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
    found[name] = type(found[name]) == "table" and found[name] or {}
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

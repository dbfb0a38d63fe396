-- Files that the user names for a secret or a token, written by central.auth.config.save.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local save = require "central.auth.config.save"
local try = require "central.auth.cli.try"

local output_file = {}

local WORKING_FOLDER = "/proc/self/cwd/" -- the library needs absolute paths; $PWD may be wrong

--- Returns the path for the library's option save_to.
---@param path string as the user typed it
---@return string
function output_file.absolute(path)
  return path:find "^/" and path or WORKING_FOLDER .. path
end

--- Returns a path or a message of the library with the path, and the option, as the user typed them.
---@param text string
---@param option? string
---@return string
function output_file.as_typed(text, option)
  return (text:gsub("^save_to", option or "%0"):gsub(WORKING_FOLDER, ""))
end

local function replace(path, line)
  save.prepare(path) -- its messages say what to do
  save.put(path, nil, line)
end

--- Writes a line to the file, unless the file holds just that and is closed to other users.
---@param path string as the user typed it
---@param line string
function output_file.write(path, line)
  local absolute = output_file.absolute(path)
  local text, problem = core.read_file(absolute)
  if problem or text ~= line .. "\n" then
    local _, message, code, detail = errors.catch(replace, absolute, line)
    try(nil, message and output_file.as_typed(message, "--output"), code, detail)
  end
end

return output_file

-- What central-auth login is given: by options, else in a file, else in the environment; and where each value came
-- from, so that what is wrong with one is told in words of whoever gave it.
-- SPDX-License-Identifier: MIT

local handed_over = require "central.auth.cli.handed_over"

local given = {}

-- The credentials, and what is kept beside them. Of those that say the same thing in two ways the first source that
-- sets one has its way.
local GROUPS = {
  { "client_id" }, { "client_secret" }, { "token_url", "workspace_id" }, { "base_url", "cluster" }, { "auth_style" },
  { "scope" }, { "audience" }, { "ca_file" }, { "ca_path" }, { "proxy" }, { "greenlake_url" }, { "revocation_url" },
}

local function absolute(path)
  local pipe <close> = not path:find "^/" and io.popen "pwd" or nil
  return pipe and pipe:read "l" .. "/" .. path or path
end

--- A value of the environment, where it is not empty.
---@param name string of an option
---@return string? value
---@return string? origin
function given.environment(name)
  local variable = "CENTRAL_" .. name:upper()
  local value = os.getenv(variable)
  if value and value ~= "" then
    return value, "the environment variable " .. variable
  end
end

local function sources_of(options, handed)
  local function by_option(name)
    return options[name], "--" .. name:gsub("_", "-")
  end
  local function by_file(name)
    return handed[name], handed_over.name(options.from_file)
  end
  return { by_option, by_file, given.environment }
end

local function collect(sources)
  local values, origins = {}, {}
  for _, names in ipairs(GROUPS) do
    for _, source in ipairs(sources) do
      local found = false
      for _, name in ipairs(names) do
        local value, origin = source(name)
        if value then
          values[name], origins[name], found = value, origin, true
        end
      end
      if found then
        break
      end
    end
  end
  return values, origins
end

--- The values, and where each came from.
---@param options table
---@return table<string, string>? values
---@return table<string, string> | string origins or message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function given.values(options)
  local handed, message, code, detail = {}, nil, nil, nil
  if options.from_file then
    handed, message, code, detail = handed_over.read(options.from_file)
  end
  if not handed then
    return nil, message, code, detail
  end
  local values, origins = collect(sources_of(options, handed))
  for _, name in ipairs { "ca_file", "ca_path" } do -- a profile is used from other folders, too
    values[name] = values[name] and absolute(values[name])
  end
  if options.client_secret_file then
    local text
    text, message, code, detail = handed_over.text(options.client_secret_file)
    if not text then
      return nil, message, code, detail
    end
    values.client_secret, origins.client_secret = text:gsub("\r?\n$", ""), handed_over.name(options.client_secret_file)
  end
  return values, origins
end

--- A failure of the library, to which all values are arguments, in words of whoever gave them. A value of an option
--- that is wrong is a wrong argument of the command.
---@param origins table<string, string>
---@param message string
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return nil, string, string, central.auth.Detail
function given.explain(origins, message, code, detail)
  for name, origin in pairs(origins) do
    message = message:gsub("the argument " .. name .. "%f[^%w_]", function() return origin end)
  end
  local by_option = detail.option and (origins[detail.option] or ""):find "^%-%-"
  return nil, message, by_option and "usage" or code, detail
end

return given

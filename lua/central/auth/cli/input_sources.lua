-- The input of central-auth login: values from options, else from a file, else from the environment; and the origin of
-- each value, for messages.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local credentials_file = require "central.auth.cli.credentials_file"
local sorted_names = require("central.auth.util").sorted_names
local terminal = require "central.auth.cli.terminal"

local input_sources = {}

-- The values that are read. Of two names in one group, which set the same thing, the first source that sets one is
-- used.
local GROUPS = {
  { "client_id" }, { "client_secret" }, { "token_url", "workspace_id" }, { "base_url", "cluster" }, { "auth_style" },
  { "scope" }, { "audience" }, { "ca_file" }, { "ca_path" }, { "proxy" }, { "greenlake_url" }, { "revocation_url" },
}

local KNOWN = {}
for _, names in ipairs(GROUPS) do
  for _, name in ipairs(names) do
    KNOWN[name] = true
  end
end

local ENDPOINT_NAMES = { "token", "auth", "sso", "endpoint", "issuer", "idp" }

local function absolute(path)
  local pipe <close> = not path:find "^/" and io.popen "pwd" or nil
  return pipe and pipe:read "l" .. "/" .. path or path
end

--- Returns the value of an option in the environment, if it is not empty.
---@param name string of an option
---@return string? value
---@return string? origin
function input_sources.environment(name)
  local variable = "CENTRAL_" .. name:upper()
  local value = os.getenv(variable)
  if value and value ~= "" then
    return value, "the environment variable " .. variable
  end
end

local function sources_of(options, file_values)
  local function by_option(name)
    return options[name], "--" .. name:gsub("_", "-")
  end
  local function by_file(name)
    return type(file_values[name]) == "string" and file_values[name] or nil, credentials_file.name(options.from_file)
  end
  return { by_option, by_file, input_sources.environment }
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

-- Whether an ignored value may be the token endpoint of the credentials.
local function is_endpoint(name, value)
  if type(value) ~= "string" or not value:find "^%a+://" then
    return name == "token_url" or name == "workspace_id"
  end
  for _, word in ipairs(ENDPOINT_NAMES) do
    if name:lower():find(word, 1, true) then
      return true
    end
  end
  return false
end

-- Prints which values of the file are ignored; fails if one may be the token endpoint, as the secret would then be sent
-- to another.
local function check_ignored(options, file_values, values)
  local file, ignored = credentials_file.name(options.from_file), {}
  for _, name in ipairs(sorted_names(file_values)) do
    if not KNOWN[name] or type(file_values[name]) ~= "string" then
      local shown = ("%q"):format(errors.printable(name))
      if is_endpoint(name, file_values[name]) and not (values.token_url or values.workspace_id) then
        return errors.fail("config", ("%s: %s is ignored, and may be the token endpoint; set that by --token-url, or"
          .. " remove %s"):format(file, shown, shown))
      end
      ignored[#ignored + 1] = shown
    end
  end
  if #ignored > 0 then
    terminal.note(options, ("%s: ignored: %s"):format(file, table.concat(ignored, ", ")))
  end
  return true
end

--- Returns the values and the origin of each.
---@param options table
---@return table<string, string>? values
---@return table<string, string> | string origins or message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function input_sources.values(options)
  local file_values, message, code, detail = {}, nil, nil, nil
  if options.from_file then
    file_values, message, code, detail = credentials_file.read(options.from_file)
  end
  if not file_values then
    return nil, message, code, detail
  end
  local values, origins = collect(sources_of(options, file_values))
  if options.from_file then
    local ok
    ok, message, code, detail = check_ignored(options, file_values, values)
    if not ok then
      return nil, message, code, detail
    end
  end
  for _, name in ipairs { "ca_file", "ca_path" } do -- a profile is used in other folders, too
    values[name] = values[name] and absolute(values[name])
  end
  if options.client_secret_file then
    local text
    text, message, code, detail = credentials_file.text(options.client_secret_file)
    if not text then
      return nil, message, code, detail
    end
    values.client_secret = text:gsub("\r?\n$", "")
    origins.client_secret = credentials_file.name(options.client_secret_file)
  end
  return values, origins
end

--- Rewrites a failure of the library, which got all values as arguments, so that it names their origins. An invalid
--- value of an option is an invalid argument of the command.
---@param origins table<string, string>
---@param message string
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return nil, string, string, central.auth.Detail
function input_sources.explain(origins, message, code, detail)
  for name, origin in pairs(origins) do
    message = message:gsub("the argument " .. name .. "%f[^%w_]", function() return origin end)
  end
  local by_option = detail.option and (origins[detail.option] or ""):find "^%-%-"
  return nil, message, by_option and "usage" or code, detail
end

return input_sources

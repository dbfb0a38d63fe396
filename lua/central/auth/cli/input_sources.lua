-- The sources of central-auth login: its options, then another program's file, then the environment.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local credentials_file = require "central.auth.cli.credentials_file"
local errors = require "central.auth.errors"
local sorted_names = require("central.auth.util").sorted_names
local terminal = require "central.auth.cli.terminal"

local input_sources = {}

-- The options that are read. Those of one program or machine are not.
local IS_READ = {}
for _, name in ipairs { "client_id", "client_secret", "token_url", "workspace_id", "base_url", "cluster", "auth_style",
  "scope", "audience", "ca_file", "ca_path", "proxy", "greenlake_url", "revocation_url" } do
  IS_READ[name] = true
end

local ENDPOINT_NAMES = { "token", "auth", "sso", "endpoint", "issuer", "idp" }

local function absolute(path)
  local pipe <close> = not path:find "^/" and io.popen "pwd" or nil
  return pipe and pipe:read "l" .. "/" .. path or path
end

-- Returns a source with the texts among the values that are read.
local function source_of(values, from, is_text)
  local read = {}
  for name in pairs(IS_READ) do
    read[name] = type(values[name]) == "string" and values[name] or nil
  end
  return { values = read, from = from, is_text = is_text }
end

-- The options of the command as a source, with the content of --client-secret-file.
local function arguments(options)
  local path = options.client_secret_file
  local source = source_of(options, function(name)
    return name == "client_secret" and credentials_file.name(path) or "--" .. name:gsub("_", "-")
  end)
  source.values.client_secret = path and credentials_file.text(path):gsub("\r?\n$", "") or nil
  return source
end

-- Returns whether an ignored value may be the token endpoint of the credentials.
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

-- Prints the names of ignored values of the file. Fails if one may be the token endpoint, as the secret would then be
-- sent to another server.
local function check_ignored(options, file, file_values, values)
  local ignored = {}
  for _, name in ipairs(sorted_names(file_values)) do
    if not IS_READ[name] or type(file_values[name]) ~= "string" then
      local shown = ("%q"):format(errors.printable(name))
      if is_endpoint(name, file_values[name]) and not (values.token_url or values.workspace_id) then
        errors.raise(("%s: %s is ignored, but may be the token endpoint; set --token-url, or remove %s"):format(
          file, shown, shown), "config")
      end
      ignored[#ignored + 1] = shown
    end
  end
  if #ignored > 0 then
    terminal.note(options, ("%s: ignored: %s"):format(file, table.concat(ignored, ", ")))
  end
end

--- Returns the values of all sources as config.collect does.
---@param options table
---@return table<string, any> values
function input_sources.values(options)
  local file, environment = credentials_file.name(options.from_file), config.environment()
  local by_argument, file_values = arguments(options), credentials_file.read(options.from_file)
  local values = config.collect { by_argument, source_of(file_values, file),
    source_of(environment.values, environment.from, true) }
  check_ignored(options, file, file_values, values)
  for _, name in ipairs { "ca_file", "ca_path" } do -- a profile is read from any folder
    values[name] = values[name] and absolute(values[name])
  end
  return values
end

return input_sources

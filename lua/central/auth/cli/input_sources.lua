-- What central-auth login is given: by options, else in a file, else in the environment; and where each value came
-- from, so that what is wrong with one is told in words of whoever gave it.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local handed_over = require "central.auth.cli.credentials_file"
local sorted_names = require "central.auth.sorted_names"
local terminal = require "central.auth.cli.terminal"

local given = {}

-- The credentials, and what is kept beside them. Of those that say the same thing in two ways the first source that
-- sets one has its way.
local GROUPS = {
  { "client_id" }, { "client_secret" }, { "token_url", "workspace_id" }, { "base_url", "cluster" }, { "auth_style" },
  { "scope" }, { "audience" }, { "ca_file" }, { "ca_path" }, { "proxy" }, { "greenlake_url" }, { "revocation_url" },
}

local TAKEN = {}
for _, names in ipairs(GROUPS) do
  for _, name in ipairs(names) do
    TAKEN[name] = true
  end
end

local ENDPOINT_WORDS = { "token", "auth", "sso", "endpoint", "issuer", "idp" }

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
    return type(handed[name]) == "string" and handed[name] or nil, handed_over.name(options.from_file)
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

-- Whether a value that is not taken may be the endpoint that the credentials are for.
local function is_endpoint(name, value)
  if type(value) ~= "string" or not value:find "^%a+://" then
    return name == "token_url" or name == "workspace_id"
  end
  for _, word in ipairs(ENDPOINT_WORDS) do
    if name:lower():find(word, 1, true) then
      return true
    end
  end
  return false
end

-- Names what the file has and nothing takes; fails where that may be the endpoint, as the secret would go to another.
local function check_ignored(options, handed, values)
  local file, ignored = handed_over.name(options.from_file), {}
  for _, name in ipairs(sorted_names(handed)) do
    if not TAKEN[name] or type(handed[name]) ~= "string" then
      local shown = ("%q"):format(errors.printable(name))
      if is_endpoint(name, handed[name]) and not (values.token_url or values.workspace_id) then
        return errors.fail("config", ("%s: %s is not taken, and may be the token endpoint; give that by --token-url, or"
          .. " remove %s"):format(file, shown, shown))
      end
      ignored[#ignored + 1] = shown
    end
  end
  if #ignored > 0 then
    terminal.note(options, ("%s: not taken: %s"):format(file, table.concat(ignored, ", ")))
  end
  return true
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
  if options.from_file then
    local ok
    ok, message, code, detail = check_ignored(options, handed, values)
    if not ok then
      return nil, message, code, detail
    end
  end
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

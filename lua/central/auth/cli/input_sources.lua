-- The sources of central-auth login: its options, then another program's file, then the environment. The file is JSON,
-- or has lines like NAME=value and name: value.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local sorted_names = require("central.auth.util").sorted_names
local terminal = require "central.auth.cli.terminal"

local input_sources = {}

-- --- another program's file -----------------------------------------------------------------------------------------

local DEPTH_MAX = 3 -- levels of nested objects

local FORMATS = 'write JSON like {"client_id": "ID", "client_secret": "SECRET"}, or lines like'
  .. " CENTRAL_CLIENT_ID=ID"

local ALIASES = { cluster_name = "cluster", token_endpoint = "token_url" } -- the names of pycentral

-- Returns the objects that have a client_id; other programs nest them in further objects. Adds the plain values of the
-- outer objects to `beside`.
local function objects_with_id(value, depth, found, beside)
  if type(value) ~= "table" or depth > DEPTH_MAX then
    return found
  elseif type(value.client_id) == "string" then
    found[#found + 1] = value
    return found
  end
  for name, inner in pairs(value) do
    if type(name) == "string" and type(inner) ~= "table" then
      beside[name] = inner
    end
    objects_with_id(inner, depth + 1, found, beside)
  end
  return found
end

-- Adds the values that are not empty, by the names of this package's options.
local function add(values, more)
  for name, value in pairs(more) do
    local known = ALIASES[name]
    if value ~= "" and value ~= cjson.null then
      values[known and more[known] == nil and known or name] = value
    end
  end
end

local function from_lines(text)
  local values = {}
  for line in text:gmatch "[^\r\n]+" do
    local name, value = line:gsub("^%s*export%s+", ""):match "^%s*([%w_]+)%s*[=:]%s*(.-)%s*,?$"
    if name then
      values[name:lower():gsub("^central_", "")] = value:match "^\"(.*)\"$" or value:match "^'(.*)'$" or value
    end
  end
  return values
end

-- Returns the name of the file for messages.
local function file_name(path)
  return path == "-" and "standard input" or path
end

local function fail(path, problem)
  errors.raise(("%s: %s"):format(file_name(path), problem), "config")
end

-- Reads a file, or with - standard input. The file may be readable by other users, but not writable.
local function read_text(path)
  local text, why, kind
  if path == "-" then
    text = io.read "a"
  else
    text, why, kind = core.read_file(path)
  end
  if kind == "foreign" then
    why = why .. "; copy the file, or pass it on standard input (-)"
  end
  if not text then
    fail(path, why)
  end
  return (text:gsub("^\xEF\xBB\xBF", ""))
end

-- Returns the problem with invalid JSON, and the line from lua-cjson's message.
local function json_problem(text, why)
  local _, before = text:sub(1, tonumber(tostring(why):match "at character (%d+)")):gsub("\n", "")
  return ("line %d: not valid JSON; %s"):format(before + 1, FORMATS)
end

-- Reads the values of another program's file that are not empty, by the names of options.
local function read_values(path)
  local text, values, beside = read_text(path), {}, {}
  if text:find "^%s*[{%[]" then
    local ok, decoded = pcall(cjson.decode, text)
    local found = ok and objects_with_id(decoded, 1, {}, beside) or fail(path, json_problem(text, decoded))
    if #found > 1 then
      fail(path, "the file has several clients; leave only one")
    end
    add(values, beside)
    add(values, found[1] or {})
  else
    add(values, from_lines(text))
  end
  if type(values.client_id) ~= "string" then
    fail(path, "the file has no client_id; " .. FORMATS)
  end
  return values
end

-- --- the sources ---------------------------------------------------------------------------------------------------

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
    return name == "client_secret" and file_name(path) or "--" .. name:gsub("_", "-")
  end)
  source.values.client_secret = path and read_text(path):gsub("\r?\n$", "") or nil
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
  local file, environment = file_name(options.from_file), config.environment()
  local by_argument, file_values = arguments(options), options.from_file and read_values(options.from_file) or {}
  local values = config.collect { by_argument, source_of(file_values, file),
    source_of(environment.values, environment.from, true) }
  check_ignored(options, file, file_values, values)
  for _, name in ipairs { "ca_file", "ca_path" } do -- a profile is read from any folder
    values[name] = values[name] and absolute(values[name])
  end
  return values
end

return input_sources

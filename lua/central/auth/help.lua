-- What the module says of itself at a prompt: what it is and how it stands, the documentation of each function, and
-- which name was meant.
-- SPDX-License-Identifier: MIT

local annotations = require "central.auth.annotations"
local config = require "central.auth.config"
local duration = require "central.auth.duration"
local errors = require "central.auth.errors"
local options = require "central.auth.options"
local sorted_names = require "central.auth.sorted_names"

local help = {}

local FACE = "central.auth"
local SHORTEST = 4 -- letters of a name that is taken for another mistyped: shorter ones are near to each other
local SOURCES = {
  "central.auth.client", "central.auth.calls",
  "central.auth.options", "central.auth.request", "central.auth.pages", "central.auth.tenant",
}

-- --- looking comments up ------------------------------------------------------------------------------------------

local function find(modules, fits)
  for _, module in ipairs(modules) do
    for _, item in ipairs(annotations.of(module)) do
      if fits(item) then
        return item
      end
    end
  end
end

local function class(name)
  return find(SOURCES, function(item) return item.kind == "class" and item.name == name end)
end

-- Functions of the module that act on the default client are documented at the client's methods; those that stand for
-- `request` with a method have no such argument.
local function resolve(name, item)
  local method = item.text:match "See Client:([%w_]+)"
  local found = method and find(SOURCES, function(other)
    return other.owner == "central.auth.Client" and other.name == method
  end)
  if not found then
    return item
  elseif name ~= method then
    table.insert(found.lines, 1, name:upper() .. ", else as auth." .. method .. ".")
    table.remove(found.params, 1)
  end
  return found
end

-- The functions of a table of the module: their comments stand in a source of their own.
local function add_inner(list, auth, name)
  for _, item in ipairs(annotations.of(FACE .. "." .. name)) do
    if item.kind == "function" and item.owner ~= name and auth[name][item.name] then
      list[#list + 1] = { name .. "." .. item.name, item }
    end
  end
end

-- The functions of the module, as their comments stand in the source: name and item.
local function functions(auth)
  local list = {}
  for _, item in ipairs(annotations.of(FACE)) do
    local value = item.owner == FACE and rawget(auth, item.name)
    if type(value) == "table" then
      add_inner(list, auth, item.name)
    elseif value then
      list[#list + 1] = { item.name, resolve(item.name, item) }
    end
  end
  return list
end

-- --- showing them -------------------------------------------------------------------------------------------------

local function signature(name, item)
  local words = {}
  for _, param in ipairs(item.params) do
    words[#words + 1] = param.optional and ("[%s]"):format(param.name) or param.name
  end
  return ("auth.%s(%s)"):format(name, table.concat(words, ", "))
end

local function row(name, kind, text)
  return (("  %-24s %s  %s"):format(name, kind, text):gsub("%s+$", ""))
end

local FAILURE = { message = true, code = true, detail = true }

local function show(name, item)
  local lines = { signature(name, item), "", table.concat(item.lines, "\n") }
  for _, param in ipairs(item.params) do
    lines[#lines + 1] = "\n" .. row(param.name, param.type, param.text)
    local known = class(param.type)
    for _, field in ipairs(known and param.type ~= "central.auth.Options" and known.fields or {}) do
      lines[#lines + 1] = row("  ." .. field.name, field.type, field.text)
    end
  end
  local fails = false
  for i, value in ipairs(item.returns) do
    if i == 1 or not FAILURE[value.name] or value.text ~= "" then
      lines[#lines + 1] = (i == 1 and "\nReturns\n" or "") .. row(value.name or "", value.type, value.text)
    end
    fails = fails or value.name == "code"
  end
  lines[#lines + 1] = fails and "\nOn failure: nil, message, code, detail. See auth.help(\"errors\").\n" or ""
  return table.concat(lines, "\n")
end

-- The functions whose names begin so, a line each.
local function index(auth, start)
  local lines = {}
  for _, entry in ipairs(functions(auth)) do
    local name, item = table.unpack(entry)
    if name:sub(1, #start) == start then
      local first = table.concat(item.lines, " "):match "^.-%.%f[%s\0]" or item.lines[1]
      lines[#lines + 1] = ("  %-34s %s"):format(signature(name, item), first)
    end
  end
  return lines
end

local function overview(auth)
  local lines = index(auth, "")
  table.insert(lines, 1, help.greeting() .. "\n")
  lines[#lines + 1] = '\nMore: auth.help("token"), auth.help("options"), auth.help("errors").'
  return table.concat(lines, "\n")
end

local function all_options()
  local lines = { "auth.configure { … } and auth.new { … } take:", "" }
  for _, field in ipairs(class("central.auth.Options").fields) do
    lines[#lines + 1] = row(field.name, field.type, field.text)
  end
  lines[#lines + 1] = "\nEach may come from the environment (CENTRAL_CLIENT_ID …) or a profile as well."
  return table.concat(lines, "\n")
end

local function codes()
  return find({ "central.auth.errors" }, function(item) return item.name == "central.auth.Code" end).fields
end

local function all_codes()
  local lines = { "Every failure is nil, message, code, detail. The codes:", "" }
  for _, code in ipairs(codes()) do
    lines[#lines + 1] = row(code.name, code.text, "")
  end
  return table.concat(lines, "\n")
end

local function one_option(name)
  for _, field in ipairs(class("central.auth.Options").fields) do
    if field.name == name then
      local variable = options.get(name).arguments_only and "" or ", in the environment CENTRAL_" .. name:upper()
      return ("option %s%s\n\n%s"):format(name, variable, row(name, field.type, field.text))
    end
  end
end

local function one_code(name)
  for _, code in ipairs(codes()) do
    if code.name == name then
      return ("error code %s: %s"):format(name, code.text)
    end
  end
end

local function one_function(auth, name)
  for _, item in ipairs(functions(auth)) do
    if item[1] == name then
      return show(name, item[2])
    end
  end
end

-- --- the face -----------------------------------------------------------------------------------------------------

--- The text for `auth.help(topic)`. An unknown topic is a mistake, and the nearest is named.
---@param auth table
---@param topic? string
---@return string
function help.about(auth, topic)
  if topic == nil then
    return overview(auth)
  elseif type(topic) ~= "string" then
    errors.mistake "help: the name of a function, in quotes, expected"
  end
  local name = topic:gsub("^auth%.", ""):gsub("%(.*$", "")
  local found = { name == "options" and all_options() or name == "errors" and all_codes() or nil }
  found[#found + 1] = one_function(auth, name)
  found[#found + 1] = type(rawget(auth, name)) == "table" and table.concat(index(auth, name .. "."), "\n") or nil
  found[#found + 1] = one_option(name)
  found[#found + 1] = one_code(name) -- some are the names of options too
  if #found == 0 then
    local known = sorted_names(auth)
    table.move(options.names, 1, #options.names, #known + 1, known)
    table.move(errors.codes, 1, #errors.codes, #known + 1, known)
    errors.mistake(("help: there is nothing about %q%s"):format(errors.printable(topic), errors.suggest(name, known)))
  end
  return table.concat(found, "\n\n")
end

local function state_of(client)
  local status = client:status()
  if status.state == "closed" then
    return "closed; auth.configure{ … } starts anew"
  elseif status.expires_in then
    return ("a token that is %s, for %s more"):format(status.state, duration(status.expires_in))
  end
  return "no token yet, auth.token() gets one"
end

--- What it is and how it stands.
---@param client? central.auth.Client
---@return string
function help.greeting(client)
  local state
  if client then
    state = state_of(client)
  else
    local found = config.resolve {}
    state = found and "credentials found, auth.token() gets a token" or 'no credentials yet, see auth.help("configure")'
  end
  return ("central.auth %s: %s"):format(config.VERSION, state)
end

--- The value of a field that is not there: nil, unless it is nearly one that is.
---@param auth table
---@param name any
function help.unknown(auth, name)
  if name == "_VERSION" then
    return "central.auth " .. config.VERSION
  elseif type(name) == "string" and #name >= SHORTEST and not name:find "^_" then
    local nearest = errors.suggest(name, sorted_names(auth)):match '"([%w_]+)"'
    if nearest then
      errors.mistake(("there is no auth.%s; did you mean auth.%s? auth.help() lists all"):format(name, nearest))
    end
  end
end

return help

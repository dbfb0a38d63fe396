-- Help at a prompt: the state of the module, the documentation of each topic, and suggestions for mistyped names.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local duration = require "central.auth.duration"
local environment = require "central.auth.config.environment"
local errors = require "central.auth.errors"
local lazy = require "central.auth.lazy"
local options = require "central.auth.config.options"
local sorted_names = require "central.auth.sorted_names"

local documented = lazy "central.auth.help.documented"

local help = {}

local NAME_MIN = 4 -- letters of a name for which there is a suggestion: shorter names are too similar to each other

-- --- topics -------------------------------------------------------------------------------------------------------

local function overview(auth)
  local lines = documented.index(documented.functions(auth))
  table.insert(lines, 1, help.greeting() .. "\n")
  lines[#lines + 1] = '\nMore: auth.help("token"); likewise of "options", "errors", "environment", and of "pending",'
    .. ' "loops",\n"sandbox" and "server", which have functions, too.'
  return table.concat(lines, "\n")
end

local function all_options()
  local lines = { "The options of auth.configure { … } and auth.new { … }:", "" }
  for _, field in ipairs(documented.class("central.auth.Options").fields) do
    lines[#lines + 1] = documented.row(field.name, field.type, field.text)
  end
  lines[#lines + 1] = "\nEach can also be set in the environment (CENTRAL_CLIENT_ID …) or in a profile."
  return table.concat(lines, "\n")
end

local function codes()
  return documented.class("central.auth.Code").fields
end

local function all_codes()
  local lines = { "On failure every function returns nil, message, code, detail. The codes:", "" }
  for _, code in ipairs(codes()) do
    lines[#lines + 1] = documented.row(code.name, code.text, "")
  end
  return table.concat(lines, "\n")
end

local function variable_of(name)
  return not options.get(name).arguments_only and "CENTRAL_" .. name:upper() or nil
end

local function one_option(name)
  for _, field in ipairs(documented.class("central.auth.Options").fields) do
    local variable = variable_of(field.name)
    if name == field.name or name == variable then
      return ("option %s%s\n\n%s"):format(field.name, variable and ", in the environment " .. variable or "",
        documented.row(field.name, field.type, field.text))
    end
  end
end

local function all_variables()
  local lines = { "For each option: CENTRAL_ and its name in capitals. Others:" }
  for _, variable in ipairs(environment) do
    lines[#lines + 1] = ("\n  %s\n      %s"):format(variable[1], variable[2])
  end
  return table.concat(lines, "\n")
end

local function one_variable(name)
  for _, variable in ipairs(environment) do
    for word in variable[1]:gmatch "[%w_]+" do
      if word == name then
        return ("in the environment: %s\n\n  %s"):format(variable[1], variable[2])
      end
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

-- The text of the function with this name; the list of functions whose names start with it; the texts of all whose
-- names end with it.
local function find_functions(auth, name)
  local text, inner, ends = nil, {}, {}
  for _, entry in ipairs(documented.all(auth)) do
    local known = documented.plain(entry[1])
    text = known == name and documented.show(table.unpack(entry)) or text
    inner[#inner + 1] = known:sub(1, #name + 1) == name .. "." and entry or nil
    ends[#ends + 1] = known:match "[^.]+$" == name and documented.show(table.unpack(entry)) or nil
  end
  return text, #inner > 0 and table.concat(documented.index(inner), "\n") or nil, ends
end

local TOPICS = { options = all_options, errors = all_codes, environment = all_variables }

-- The names of all topics.
local function topics(auth)
  local list = sorted_names(TOPICS)
  for _, entry in ipairs(documented.all(auth)) do
    local name = documented.plain(entry[1])
    list[#list + 1] = name
    list[#list + 1] = name:match "^(.*)%."
  end
  for _, name in ipairs(options.names) do
    list[#list + 1] = name
    list[#list + 1] = variable_of(name)
  end
  for _, variable in ipairs(environment) do
    for word in variable[1]:gmatch "[%w_]+" do
      list[#list + 1] = word
    end
  end
  return table.move(errors.codes, 1, #errors.codes, #list + 1, list)
end

-- --- public functions ---------------------------------------------------------------------------------------------

--- Returns the text for `auth.help(topic)`. Raises for an unknown topic, with a suggestion.
---@param auth table
---@param topic? string
---@return string
function help.about(auth, topic)
  if not package.searchpath("central.auth.config.options", package.path) then
    errors.argument_error "help: the texts are in the module's source files, which are not on package.path"
  end
  if topic == nil then
    return overview(auth)
  elseif type(topic) ~= "string" then
    errors.argument_error "help: the name of a function, in quotes, expected"
  end
  local name = documented.plain(topic)
  local found = { TOPICS[name] and TOPICS[name]() }
  local text, inner, ends = find_functions(auth, name)
  found[#found + 1] = text
  found[#found + 1] = inner
  found[#found + 1] = one_option(name)
  found[#found + 1] = one_variable(name)
  found[#found + 1] = one_code(name) -- some codes are names of options, too
  found = #found > 0 and found or ends
  if #found == 0 then
    local suggestion = errors.suggest(name, topics(auth))
    errors.argument_error(("help: there is no topic %q%s"):format(errors.printable(topic),
      suggestion ~= "" and suggestion or "; auth.help() lists all topics"))
  end
  return table.concat(found, "\n\n")
end

local function state_of(client)
  local status = client:status()
  if status.state == "closed" then
    return "closed; auth.configure{ … } makes another client"
  elseif status.expires_in then
    return ("a %s token, valid for %s"):format(status.state, duration(status.expires_in))
  end
  return "no token yet, auth.token() gets one"
end

--- Returns the module's version and state.
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

--- The value of an unknown field of the module: nil; raises if the name is similar to a known one.
---@param auth table
---@param name any
function help.unknown(auth, name)
  if name == "_VERSION" then
    return "central.auth " .. config.VERSION
  elseif type(name) == "string" and #name >= NAME_MIN and not name:find "^_" then
    local nearest = errors.suggest(name, sorted_names(auth)):match '"([%w_]+)"'
    if nearest then
      errors.argument_error(("there is no auth.%s; did you mean auth.%s? auth.help() lists all"):format(name, nearest))
    end
  end
end

return help

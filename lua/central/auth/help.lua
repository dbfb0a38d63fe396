-- Help at a prompt: the state of the module, the documentation of each topic, and suggestions for mistyped names.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"
local util = require "central.auth.util"

local texts = util.lazy "central.auth.help_texts" -- made by .ci/help_texts.lua

local help = {}

local NAME_MIN = 4 -- letters of a name that gets a suggestion; shorter names are too similar to each other

-- Returns the topic of a function's name, which may be written with `auth.`, `client:` or arguments.
local function topic_of(name)
  return (name:gsub("%(.*$", ""):gsub("^auth%.", ""):gsub("^client[.:]", ""):gsub(":", "."))
end

--- Returns the text for `auth.help(topic)`. Raises for an unknown topic, with a suggestion.
---@param topic? string
---@return string
function help.about(topic)
  if topic == nil then
    return ('%s\n\n%s\n\nMore: auth.help("token"). Further topics: "options", "errors", "environment", and "pending",'
      .. ' "loops",\n"sandbox" and "server", which have functions.'):format(help.greeting(), texts.overview)
  elseif type(topic) ~= "string" then
    errors.argument_error 'help: a topic in quotes expected, like auth.help("token")'
  end
  local name = topic_of(topic)
  local text = texts.topics[name] or texts.last_names[name]
  if not text then
    local suggestion = errors.suggest(name, texts.names)
    errors.argument_error(("help: unknown topic %q%s"):format(errors.printable(topic),
      suggestion ~= "" and suggestion or "; auth.help() lists all topics"))
  end
  return text
end

local function state_of(client)
  local status = client:status()
  if status.state == "closed" then
    return "closed; make another client with auth.configure{ … }"
  elseif status.state == "expired" then
    return "the token has expired; auth.token() gets another"
  elseif status.state ~= "none" then
    return ("a %s token%s"):format(status.state,
      status.expires_in and ", valid for " .. util.duration(status.expires_in) or "")
  end
  return "no token yet; auth.token() gets one"
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
    state = found and "credentials found; auth.token() gets a token" or 'no credentials yet; see auth.help("configure")'
  end
  return ("central.auth %s: %s"):format(config.VERSION, state)
end

--- Returns the value of an unknown field of the module, nil. Raises if the name is similar to a known one.
---@param auth table
---@param name any
function help.unknown(auth, name)
  if name == "_VERSION" then
    return "central.auth " .. config.VERSION
  elseif type(name) == "string" and #name >= NAME_MIN and not name:find "^_" then
    local nearest = errors.suggest(name, util.sorted_names(auth)):match '"([%w_]+)"'
    if nearest then
      errors.argument_error(("there is no auth.%s; did you mean auth.%s? auth.help() lists all"):format(name, nearest))
    end
  end
end

return help

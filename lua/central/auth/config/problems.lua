-- The messages for invalid arguments, missing credentials, a missing base and ignored variables. Loaded only if needed.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"
local util = require "central.auth.util"

local profile = util.lazy "central.auth.config.profile"

local problems = {}

--- Raises for an unknown name or a wrong type in the arguments, which are errors in the calling program.
---@param given central.auth.Options
function problems.raise(given)
  if type(given) ~= "table" then
    errors.argument_error("a table of options expected, got " .. type(given))
  elseif type(given.configure) == "function" then
    errors.argument_error("call functions of the module with a dot: auth.configure{ … }")
  end
  for name, value in pairs(given) do
    local option = options.get(name)
    if not option then
      name = tostring(name)
      errors.argument_error(("unknown option %q%s"):format(name, errors.suggest(name, options.names())))
    elseif not options.has_type(name, value) then
      local types = option.types:gsub(" ", " or ")
      errors.argument_error(("option %s: %s expected, got %s"):format(name, types, type(value)))
    end
  end
end

local MISSING = 'no %s: run "central-auth login", or set %s\nProfile: %s%s. %s'
local CREATE = "Create credentials in HPE GreenLake: Manage Workspace, Personal API clients, Create Personal API"
  .. " client."

--- The problem of a path without a base.
problems.NO_BASE = 'a path needs a cluster: set CENTRAL_CLUSTER, like US-1 ("central-auth clusters" lists them), or'
  .. " base_url"

local function variable_of(option)
  return "CENTRAL_" .. option:upper()
end

local known, settable = { CENTRAL_TOKEN = true }, {} -- central-auth exec sets it
for _, name in ipairs(options.names()) do
  if not options.get(name).arguments_only then
    settable[#settable + 1] = name
    known[variable_of(name)] = true
  end
end

--- Returns a message for each environment variable that has no effect, as its name only begins like that of an option,
--- with the nearest known name, or as it is empty.
---@return string[]
function problems.ignored_variables()
  local messages = {}
  for _, variable in ipairs(util.sorted_names(core.variables "")) do
    local name = variable:lower():match "^central_(.*)"
    if name and not known[variable] then
      local nearest = errors.suggest(name, settable):gsub('"(.-)"', variable_of)
      messages[#messages + 1] = ("%s is not a variable of central-auth, and is ignored%s"):format(
        errors.printable(variable), nearest)
    end
  end
  for _, name in ipairs(settable) do
    local variable = variable_of(name)
    messages[#messages + 1] = os.getenv(variable) == "" and variable .. " is empty, and is ignored" or nil
  end
  return messages
end

--- Returns sentences that name ignored variables, after `before`; or "" if there are none.
---@param before string
---@return string
function problems.ignored(before)
  local sentences = problems.ignored_variables()
  for i, text in ipairs(sentences) do
    sentences[i] = text:find "%?$" and text or text .. "."
  end
  return sentences[1] and before .. table.concat(sentences, " ") or ""
end

--- Fails because credentials are missing.
---@param option? "client_id" | "client_secret" the missing one; nil: both
---@param entry? central.auth.Profile the profile that was used
---@param reason? string why no profile was used
function problems.missing(option, entry, reason)
  local name, variables = "client id", "CENTRAL_CLIENT_ID"
  if option == "client_secret" then
    name, variables = "client secret", "CENTRAL_CLIENT_SECRET or CENTRAL_CLIENT_SECRET_FILE"
  elseif option == nil then
    name, variables = "credentials", "CENTRAL_CLIENT_ID and CENTRAL_CLIENT_SECRET"
  end
  local names = not entry and not reason and errors.catch(profile.names) or {}
  if #names > 0 then
    reason = "no such file; other profiles: " .. table.concat(names, ", ")
  end
  local ignored = problems.ignored ""
  local path = entry and entry.path or paths.profile(paths.DEFAULT_PROFILE) or "central-auth/default.lua"
  errors.raise(MISSING:format(name, variables, path, reason and ": " .. reason or "",
    ignored ~= "" and ignored or CREATE), "config", { option = option or "client_id" })
end

return problems

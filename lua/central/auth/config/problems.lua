-- The messages for invalid arguments, missing credentials and a missing base. Loaded only if there is such an error.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local lazy = require("central.auth.util").lazy
local options = require "central.auth.config.options"
local paths = require "central.auth.config.paths"
local ignored_variables = require "central.auth.config.ignored_variables"

local profile = lazy "central.auth.config.profile"

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
      errors.argument_error(("option %s: %s expected, got %s"):format(name, option.types, type(value)))
    end
  end
end

local MISSING = 'no %s: run "central-auth login", or set %s\nProfile: %s%s. %s'
local CREATE = "Create credentials in HPE GreenLake: Manage Workspace, Personal API clients, Create Personal API"
  .. " client."

--- The problem of a path without a base.
problems.NO_BASE = 'a path needs a cluster: set CENTRAL_CLUSTER, like US-1 ("central-auth clusters" lists them), or'
  .. " base_url"

--- Returns sentences that name ignored variables, after `before`; or "" if there are none.
---@param before string
---@return string
function problems.ignored(before)
  local sentences = ignored_variables()
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

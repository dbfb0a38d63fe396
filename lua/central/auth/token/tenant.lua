-- Tenants of an MSP: their tokens are got by exchanging the parent's (RFC 8693, as GreenLake documents it,
-- developer.greenlake.hpe.com/docs/greenlake/services/credentials/public/msp-token-exchange).
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"

---@class central.auth.TenantOptions
---@field base_url? string of the tenant, if it differs from the parent's
---@field cluster? string in place of base_url
---@field token_url? string default: GreenLake's endpoint of the tenant's workspace
---@field authenticate? boolean send the client's credentials in the exchange; GreenLake does not need it
---@field scope? string | string[] of the exchange, like the next three
---@field audience? string | string[]
---@field resource? string | string[]
---@field params? table<string, string | string[]>

local tenant = {}

local OWN = { "base_url", "cluster", "token_url", "scope", "audience", "resource", "params" }
local TYPES = { authenticate = "boolean" }
for _, name in ipairs(OWN) do
  TYPES[name] = "any"
end

-- --- its configuration ---------------------------------------------------------------------------------------------

--- Raises mistakes of the caller.
---@param workspace_id string the workspace's id, or the tenant's name
---@param given? central.auth.TenantOptions
function tenant.check(workspace_id, given)
  if type(workspace_id) ~= "string" then
    errors.argument_error("the tenant's workspace id or name, a string, expected, got " .. type(workspace_id))
  end
  errors.check_options(given, TYPES)
  for name, value in pairs(given or {}) do
    if name ~= "authenticate" and not options.has_type(name, value) then
      errors.argument_error(("option %s: a %s does not fit"):format(name, type(value)))
    end
  end
end

--- The configuration of a tenant's client: the parent's, but for what the exchange and the options change.
---@param parent central.auth.Config
---@param workspace_id string
---@param given? central.auth.TenantOptions
---@return central.auth.Config? config
---@return central.auth.Failure? failure
function tenant.config(parent, workspace_id, given)
  given = given or {}
  local id, problem = options.check("workspace_id", workspace_id)
  if not id then
    return nil, errors.invalid_option("workspace_id", "the argument of tenant", problem)
  elseif given.authenticate and parent.ready_made then
    return nil, errors.invalid_option("authenticate", "the argument authenticate of tenant",
      "with a ready-made token there are no client credentials to send")
  end
  local own = { scope = false, audience = false, resource = false, params = false, cluster = false, ready_made = false }
  for _, name in ipairs(OWN) do
    if given[name] ~= nil then
      own[name], problem = options.check(name, given[name])
      if own[name] == nil then
        return nil, errors.invalid_option(name, "the argument " .. name .. " of tenant", problem)
      end
    end
  end
  local made = {}
  for name, value in pairs(parent) do
    made[name] = value
  end
  for name, value in pairs(own) do
    made[name] = value or nil
  end
  made.token_url = own.token_url or config.workspace_url(parent, id)
  made.base_url = config.base_url(own) or parent.base_url
  made.exchange = { authenticate = given.authenticate and "yes" or nil }
  for _, name in ipairs { "token_url", "scope", "audience", "resource", "params" } do
    made.exchange[name] = parent[name] -- the rights of the one are those of the other
  end
  return made
end

return tenant

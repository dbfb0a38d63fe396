-- Tenants of an MSP: their tokens are got by exchanging the parent's (RFC 8693, as GreenLake documents it,
-- developer.greenlake.hpe.com/docs/greenlake/services/credentials/public/msp-token-exchange).
-- SPDX-License-Identifier: MIT

local by_hand = require "central.auth.token.operations"
local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local refusal = require "central.auth.token.refusal"
local task = require "central.auth.token.task"

---@class central.auth.TenantOptions
---@field base_url? string the tenant's, where it is not the parent's
---@field cluster? string
---@field token_url? string default: GreenLake's endpoint of the tenant's workspace
---@field authenticate? boolean name the client in the exchange, too, for servers that want it; GreenLake does not
---@field scope? string | string[]
---@field audience? string | string[]
---@field resource? string | string[]
---@field params? table<string, string | string[]>

local tenant = {}

local POLL = 0.01          -- seconds between looks for the parent's token
local NEW_SUBJECT_AFTER = 15 -- seconds between parent's tokens that are given up because an exchange was refused

local OWN = { "base_url", "cluster", "token_url", "scope", "audience", "resource", "params" }
local TYPES = { authenticate = "boolean" }
for _, name in ipairs(OWN) do
  TYPES[name] = "any"
end

-- --- its configuration ---------------------------------------------------------------------------------------------

--- Raises mistakes of the caller.
---@param workspace_id string
---@param given? central.auth.TenantOptions
function tenant.check(workspace_id, given)
  if type(workspace_id) ~= "string" then
    errors.mistake("the tenant's workspace id, a string, expected, got " .. type(workspace_id))
  end
  errors.check_options(given, TYPES)
  for name, value in pairs(given or {}) do
    if name ~= "authenticate" and not options.fits(name, value) then
      errors.mistake(("option %s: a %s does not fit"):format(name, type(value)))
    end
  end
end

--- The configuration of a tenant's client: the parent's, but for what the exchange and the options change.
---@param parent central.auth.Config
---@param workspace_id string
---@param given? central.auth.TenantOptions
---@return central.auth.Config? config
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function tenant.config(parent, workspace_id, given)
  given = given or {}
  local id, problem = options.check("workspace_id", workspace_id)
  if not id then
    return errors.wrong("workspace_id", "the argument of tenant", problem)
  end
  local own = { scope = false, audience = false, resource = false, params = false, cluster = false }
  for _, name in ipairs(OWN) do
    if given[name] ~= nil then
      own[name], problem = options.check(name, given[name])
      if own[name] == nil then
        return errors.wrong(name, "the argument " .. name .. " of tenant", problem)
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

-- --- its subject token ---------------------------------------------------------------------------------------------

--- The parent's token, which may have to be got first. Within a task.
---@param self central.auth.Renewal
---@param mode central.auth.Mode
---@return string? token
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function tenant.subject_token(self, mode)
  local parent = self.parent
  if parent.closed then
    return errors.fail("closed", "the client of the tenant's MSP was closed")
  end
  local current, message, code, detail = parent:want(nil, true)
  while current and not current:look() do
    if self.clock:boot() >= mode.deadline then
      return errors.fail("timeout", "the parent's token took too long")
    end
    task.wait(self.clock:boot() + POLL)
  end
  if current then
    message, code, detail = table.unpack(current.results, 2, 4)
  end
  self.subject_token, message, code, detail = parent:outcome(nil, message, code, detail)
  return self.subject_token, message, code, detail
end

local DEAD = { invalid_grant = true, invalid_token = true, invalid_request = true }

--- Whether another try is worth while because an exchange was refused for what may be a dead parent's token: the
--- parent has another already, or gives it up now. A server that refuses for other reasons costs the parent four tokens
--- a minute at most.
---@param self central.auth.Renewal
---@param mode central.auth.Mode
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function tenant.has_new_subject(self, mode, code, detail)
  local parent, now = self.parent, self.clock:boot()
  if mode.new_subject or not (refusal.rejected(code, detail) or DEAD[detail.oauth_error]) then
    return false
  elseif parent.tracker:token() == self.subject_token then
    if now < (parent.next_new_subject or 0) then
      return false
    end
    parent.next_new_subject = now + NEW_SUBJECT_AFTER
    by_hand.invalidate(parent, self.subject_token)
  end
  mode.new_subject = true
  return true
end

return tenant

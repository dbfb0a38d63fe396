-- Tells the server that a token is no longer wanted (RFC 7009).
-- SPDX-License-Identifier: MIT

local by_hand = require "central.auth.by_hand"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local grant = require "central.auth.grant"
local json = require "central.auth.json"
local refusal = require "central.auth.refusal"

local revocation = {}

-- Within a task.
local function ask(self, token, deadline, alarm)
  local config, credential = self.config, self.credential
  local ok, message, code, detail = credential:prepare(config.timeout)
  local assertion, raw
  if ok and credential:asserts() then
    assertion, message, code, detail = credential:assertion(config.timeout)
    ok = assertion
  end
  if not ok then
    return nil, message, code, detail
  end
  local secret = not assertion and credential.secret or nil
  local body, authorization = grant.revocation(config, token, { secret = secret, assertion = assertion })
  local request = { url = config.revocation_url, body = body, authorization = authorization }
  raw, message, code, detail = self.pool:exchange(request, deadline, { alarm = alarm })
  local function clean(text)
    return errors.printable(core.redact(text, secret, assertion, token))
  end
  if raw and raw.status == 200 then
    return true
  elseif raw then
    raw, message, code, detail = refusal.of(raw, json.object(raw.body), clean)
  else
    message = clean(message)
  end
  return raw, "the token could not be revoked: " .. message, code, detail
end

--- Revokes the token that is held, and forgets it here and in the cache. True also where there is none.
---@param self central.auth.Renewal
---@return boolean? revoked
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function revocation.revoke(self)
  local token = self.tracker:token()
  if not self.config.revocation_url then
    return errors.fail("config", "to revoke a token the option revocation_url is needed", { option = "revocation_url" })
  elseif not token then
    return true
  end
  by_hand.invalidate(self, token)
  local deadline = self.clock:boot() + self.config.timeout
  return self.host:run(function(alarm) return ask(self, token, deadline, alarm) end, deadline)
end

return revocation

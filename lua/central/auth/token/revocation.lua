-- Gives a token up for good: the server is told that nobody wants it any more (RFC 7009).
-- SPDX-License-Identifier: MIT

local by_hand = require "central.auth.token.operations"
local errors = require "central.auth.errors"
local token_request = require "central.auth.token.request"

local revocation = {}

-- Within a task.
local function revoke(self, deadline, alarm)
  local config = self.config
  local ready, message, code, detail = self.credential:prepare(config.timeout)
  if not ready then
    return nil, message, code, detail
  end
  self.cache:attach(self.credential.secret)
  local token = self.tracker:token() or self:adopt_shared() and self.tracker:token()
  if not token then
    return true
  end
  by_hand.invalidate(self, token)
  return token_request.new(config, self.credential, self.clock, self.pool):revoke(token, deadline, alarm)
end

--- Revokes the token that is held, or else the shared one, and forgets it here and in the cache. True also where there
--- is none.
---@param self central.auth.Renewal
---@return boolean? revoked
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function revocation.revoke(self)
  if not self.config.revocation_url then
    return errors.fail("config", "to revoke a token the option revocation_url is needed", { option = "revocation_url" })
  end
  local deadline = self.clock:boot() + self.config.timeout
  return self.host:run(function(alarm) return revoke(self, deadline, alarm) end, deadline)
end

return revocation

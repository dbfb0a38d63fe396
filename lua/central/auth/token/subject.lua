-- The token of an MSP's client as the subject of its tenants' exchanges (RFC 8693). One for all tenants of a client.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.token.call"
local errors = require "central.auth.errors"
local invalidation = require "central.auth.token.invalidation"
local response_error = require "central.auth.token.response_error"

local NEW_SUBJECT_AFTER = 15 -- seconds between invalidations of the subject token because an exchange was refused
local PAUSE = 1 -- seconds until the next renewal of a tenant's usable token where there is no subject token

local subject = {}

---@class central.auth.Subject
local Subject = {}
Subject.__index = Subject

--- `source`: the MSP's.
---@param source central.auth.TokenSource
---@return central.auth.Subject
function subject.new(source)
  return setmetatable({
    _source = source, _tenants = setmetatable({}, { __mode = "k" }), _next_invalidation = 0,
  }, Subject)
end

--- Another tenant, which is closed with the MSP's client.
---@param tenant central.auth.TokenSource
function Subject:add(tenant)
  self._tenants[tenant] = true
end

--- The token that a tenant exchanges, or the renewal to wait for, or a failure. `early`: no caller waits for the
--- tenant's token.
---@param tenant central.auth.TokenSource
---@param deadline central.auth.Deadline
---@param early boolean
---@return string? token
---@return central.auth.Renewal? renewal
---@return central.auth.Failure? failure
function Subject:token(tenant, deadline, early)
  local source = self._source
  if source.closed then
    return nil, nil, errors.failure("closed", "the client of the tenant's MSP was closed")
  end
  local call = calls.new(source, { deadline = deadline, early = early })
  if not call:step() then
    return nil, call.renewal
  end
  local token, failure = source:outcome(nil, call.failure)
  if not token then
    tenant.renewals:postpone(PAUSE)
    return nil, nil, failure
  end
  return token
end

local INVALID_SUBJECT = { invalid_grant = true, invalid_token = true, invalid_request = true }

-- Invalidates a subject token; a ready-made one, which may be the only one, is read again and stays if it is the same.
function Subject:_replace(token)
  local source = self._source
  if not source.config.ready_made then
    invalidation.invalidate(source, token, source:deadline(0)) -- a call that has a token does not wait for Redis
    return true
  end
  calls.new(source, { since = source.clock:boot(), early = true }):step() -- a command goes on after this
  return source.current:token() ~= token
end

--- Whether another exchange may succeed because this one was refused for what may be an invalid subject token: then
--- that is replaced, unless another was only now, and there is, or will be, another.
---@param token string
---@param failure central.auth.Failure
---@return boolean
function Subject:may_exchange_again(token, failure)
  local source = self._source
  local now, is_current = source.clock:boot(), source.current:token() == token
  if not response_error.rejected(failure.code, failure.detail) and not INVALID_SUBJECT[failure.detail.oauth_error]
    or is_current and now < self._next_invalidation then
    return false
  elseif is_current then
    self._next_invalidation = now + NEW_SUBJECT_AFTER
    return self:_replace(token)
  end
  return true
end

function Subject:close()
  for tenant in pairs(self._tenants) do
    tenant:close()
  end
end

return subject

-- A ready-made token (option access_token): its renewal reads it again from where it comes, and makes no request. A
-- value, a file and a function are read at once, a command by a fetch that does nothing else.
-- SPDX-License-Identifier: MIT

local client_secret = require "central.auth.token.client_secret"
local errors = require "central.auth.errors"
local renewal = require "central.auth.token.renewal"
local response = require "central.auth.token.response"
local status = require("central.auth.util").lazy "central.auth.token.status"

local REREAD = 60 -- seconds after which a call reads a file, or a profile, again; and any source for min_valid

local NEXT_STEP = {
  value = "set a new token", file = "write a new token to the file",
  command = "the command must print a new token", ["function"] = "the function must return a new token",
}

local ready_made = {}

---@class central.auth.ReadyMade: central.auth.Renewal
local ReadyMade = setmetatable({}, { __index = renewal.class })
ReadyMade.__index = ReadyMade

--- See renewal.new.
---@param source central.auth.TokenSource
---@param purpose table
---@return central.auth.ReadyMade
function ready_made.new(source, purpose)
  local self = setmetatable(renewal.new(source, purpose), ReadyMade)
  self._origin, self._by_force = source.config.ready_made, purpose.since ~= nil
  return self
end

function ReadyMade:_invalid(problem)
  return errors.invalid_option(self._origin.name, self._origin.from, problem)
end

function ReadyMade:_expired(problem)
  local origin = self._origin
  return errors.failure("expired", ("%s (from %s): %s; %s, or use a client id and secret, whose tokens are renewed")
    :format(origin.name, origin.from, problem, NEXT_STEP[origin.kind]), { option = origin.name, source = origin.from })
end

-- When the life of a token began, as far as is known, and how long it is; the same each time for the one that is held.
function ReadyMade:_life(token)
  local source, current = self._source, self._source.current
  local boot, wall = source.clock:boot(), source.clock:wall()
  local issued, expires = response.jwt_times(token)
  local age = expires and wall - math.min(issued or wall, wall, expires - 1) or 0
  local raw = { sent_boot = boot - age, sent_wall = wall - age, received_boot = boot }
  if token == current:token() and current:state() then
    raw.sent_boot, raw.sent_wall = current.sent_boot, current.sent_wall
  end
  local rereads = self._origin.kind == "file" or self._origin.reload
  return raw, {
    access_token = token, ready_made = true, expires_in = expires and expires - raw.sent_wall,
    refresh_in = rereads and boot - raw.sent_boot + REREAD or nil,
  }, expires
end

-- Takes a token into use. Returns the failure where it can't be; true behind it: the token that is held is as good.
function ReadyMade:_take_token(token)
  local source, current = self._source, self._source.current
  local position = token:match "^[%w._~+/-]*=*()" -- RFC 6750, 2.1
  if position <= #token then
    return self:_invalid(("byte %d is a character that no bearer token has there; the token must stand alone, without"
      .. ' "Bearer", a name or quotes'):format(position))
  elseif current:is_invalidated(token) then
    return self:_expired "this token was refused or invalidated"
  end
  local is_held = token == current:token()
  local raw, terms, expires = self:_life(token)
  if not current:take_ready_made(terms, raw) then
    return self:_expired(("the token %s at %s by this machine's clock"):format(
      expires > source.clock:wall() and "is about to expire," or "expired", status.utc(expires)))
  end
  source:succeeded()
  source.renewals:postpone(REREAD)
  if not is_held then
    source.renewals:note_token()
  elseif self._by_force then
    return self:_expired "it is still the token in use", true
  end
end

-- Ends with a secret that was read, or with the failure.
function ReadyMade:_settle(secret, failure)
  local source, is_in_use = self._source, false
  if source.closed then
    failure = errors.closed()
  elseif secret then
    failure, is_in_use = self:_take_token(secret:reveal())
  end
  if secret and secret ~= self._origin.value then
    secret:wipe()
  end
  if failure and not is_in_use then
    source.failures:failed_before_request(failure)
  end
  self:finish(failure)
end

--- See Renewal:order.
---@return table? order
function ReadyMade:order()
  if self._origin.kind ~= "command" then
    self:_settle(client_secret.read(self._origin, 0))
    return nil
  end
  return { look_only = true, waits = self.waits, secret = self._origin, timeout = self.deadline:left() }
end

--- See Renewal:take.
---@param result table
function ReadyMade:take(result)
  if result.outcome == "cancelled" or result.outcome == "forked" then
    return self:finish()
  end
  local problem = result.problem or not result.secret and "there is not enough memory to read it"
  self:_settle(result.secret, problem and self:_invalid(problem) or nil)
end

return ready_made

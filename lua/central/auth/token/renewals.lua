-- When a token is renewed: at most one renewal is under way, which all calls wait for. After a failure no request is
-- made for a while, and after a renewal the token is not renewed for a while.
-- SPDX-License-Identifier: MIT

local renewal = require "central.auth.token.renewal"

local MIN_INTERVAL = 1 -- seconds between renewals of a usable token

local renewals = {}

---@class central.auth.Renewals
---@field count integer tokens that replaced another
---@field skew? number seconds this machine's clock is ahead of the server's
local Renewals = {}
Renewals.__index = Renewals

--- None has begun yet.
---@param source central.auth.TokenSource
---@return central.auth.Renewals
function renewals.new(source)
  return setmetatable({
    _source = source, _new = source.config.ready_made and require("central.auth.token.ready_made").new or renewal.new,
    count = 0, _not_before = 0, _next_in_background = 0,
  }, Renewals)
end

-- --- what a fetch brings --------------------------------------------------------------------------------------------

--- Notes that another token is in use.
function Renewals:note_token()
  local current = self._source.current
  self.count = self.count + (current.replaced and 1 or 0)
  self._source:note(current.replaced and "renewed" or "fetched",
    { expires_in = not current.has_no_end and select(3, current:state()) or nil })
end

--- Takes a token from the network into use. Whether it can be used.
---@param token central.auth.TokenResponse
---@param raw central.auth.RawReply
---@return boolean
function Renewals:take(token, raw)
  local source, current = self._source, self._source.current
  source.cache:mark_seen(raw)
  source:succeeded()
  local how, warning = current:take(token, raw)
  local half = how == "same" and select(3, current:state()) / 2 or 0
  self._not_before = source.clock:boot() + math.max(half, MIN_INTERVAL)
  if how == "expired" then
    source:note("odd_reply", { what = warning })
    return true
  end
  self.skew = raw.date and raw.received_wall - raw.date
  self:note_token()
  if source.listens then
    local warnings = require("central.auth.token.reply_warnings").list(raw, token, source.config.scope, warning)
    for _, what in ipairs(warnings) do
      source:note("odd_reply", { what = what })
    end
  end
  return current:can_be_returned()
end

--- Notes what a fetch found beside its outcome. Returns the secret that it read, if it did.
---@param result table
---@return userdata? secret
function Renewals:note_result(result)
  local client_secret = self._source.client_secret
  self._source.cache:note(result)
  if result.secret then
    client_secret:take(result.secret)
    return client_secret.current
  end
end

-- --- when a renewal begins -----------------------------------------------------------------------------------------

--- Does not renew a usable token for so many seconds.
---@param seconds number
function Renewals:postpone(seconds)
  self._not_before = math.max(self._not_before, self._source.clock:boot() + seconds)
end

--- The renewal under way, advanced as far as possible; nil where there is none. One that another coroutine advances
--- does not count: that coroutine may have been dropped.
---@return central.auth.Renewal?
function Renewals:under_way()
  local current = self._current
  if current and (current.is_advancing or current:advance()) and self._current == current then
    self._current = nil
  end
  return self._current
end

--- Of a renewal that starts: whether it is the one under way, unless another has become that meanwhile.
---@param starting central.auth.Renewal
---@return boolean
function Renewals:claim(starting)
  local other = self._current
  if other and other ~= starting and not other.done and not other.is_advancing then
    return false
  end
  self._current = starting
  return true
end

-- The renewal under way, which goes on for this call, too, if its caller waits.
function Renewals:_join(call)
  if not call.early then
    self._current:join(call.deadline)
  end
  return self._current
end

--- Starts a renewal, or joins the one that another coroutine started while this one read its secret. `purpose`: a call,
--- or see renewal.new.
---@param purpose table
---@return central.auth.Renewal? renewal to be waited for
---@return central.auth.Failure? failure
function Renewals:start(purpose)
  local ready, failure = self._source:prepare()
  if not ready then
    return nil, failure
  elseif self:under_way() then
    return self:_join(purpose)
  end
  local started = self._new(self._source, purpose)
  started:start(purpose)
  if not started.done then
    return started
  elseif self._current == started then
    self._current = nil
  end
  return nil, started.failure
end

--- Starts a renewal that no call waits for; its failure costs nothing.
function Renewals:start_in_background()
  local source, now = self._source, self._source.clock:boot()
  if self._current or select(2, source:backoff()) > 0 or now < math.max(self._not_before, self._next_in_background) then
    return
  end
  local purpose = { early = true, deadline = source:deadline() }
  local found, failure = source:read_local_records()
  local is_fresh = found and select(2, source.current:state()) == "fresh"
  if not failure and not is_fresh or failure and source.failures:may_have_other_secret(purpose) then
    self._next_in_background = now + MIN_INTERVAL -- while a function yields, other coroutines only return the token
    self:start(purpose)
    self._next_in_background = 0
  end
end

--- A renewal to wait for; nil: a token is there after all, or none can be had now, as the failure behind says.
---@param call central.auth.Call
---@return central.auth.Renewal?
---@return central.auth.Failure?
function Renewals:begin(call)
  local source = self._source
  local left = select(2, source:backoff())
  if self._current then
    return self:_join(call)
  elseif (left > 0 or source.clock:boot() < self._not_before) and source.current:state() then
    return nil
  elseif left == 0 or call.not_before then
    return self:start(call)
  end
  return source.failures:begin(call)
end

--- Cancels the renewal under way; all calls that wait for it end with this failure, or begin anew.
---@param failure? central.auth.Failure
function Renewals:cancel(failure)
  if self._current then
    self._current:cancel(failure)
    self._current = nil
  end
end

--- Ends the renewal under way, as the client is closed.
function Renewals:close()
  self:cancel(require("central.auth.errors").closed())
end

return renewals

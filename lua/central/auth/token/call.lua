-- A call that needs a token and has to wait for a renewal: advanced step by step, or waited for until its deadline.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy

local response_error = lazy "central.auth.token.response_error"

local DEADLINE_SLACK = 0.05 -- seconds: a fetch that ends at the same deadline says better why
local SIGNAL_POLL = 1       -- seconds: Ctrl-C reaches Lua at least so often
local RESET_POLL = 0.02     -- seconds between checks whether a reset of the credential has ended
local TRIES = 4             -- with an assertion that a function gives for each

local call = {}

---@class central.auth.Call
---@field deadline central.auth.Deadline
---@field min_valid? number seconds
---@field early? boolean no caller waits for its token
---@field blocks? boolean its caller blocks until it is done
---@field since? number boot time, of a call for a new token by force: records of requests sent before do not count
---@field not_before? number boot time: a request is wanted then although a failure is remembered
---@field renewal? central.auth.Renewal to be waited for
---@field failure? central.auth.Failure
local Call = {}
Call.__index = Call

--- `purpose`: `deadline` (by default `timeout` from now), `min_valid`, `early`, `since`, as above.
---@param source central.auth.TokenSource
---@param purpose table
---@return central.auth.Call
function call.new(source, purpose)
  return setmetatable({
    _source = source, deadline = purpose.deadline or source:deadline(), min_valid = purpose.min_valid,
    early = purpose.early, since = purpose.since, _adoptions = purpose.since and source.current.adoptions, _tries = 1,
  }, Call)
end

--- A new token now, whatever the old one's state. On failure the old one stays.
---@param source central.auth.TokenSource
---@return string? token
---@return central.auth.Failure? failure
function call.renew(source)
  return call.new(source, { since = source.clock:boot() }):run()
end

-- A new token by force: a refusal in memory is passed over, a Retry-After is not.
function Call:_begin_by_force()
  local source = self._source
  local current, renewals, failures = source.current, source.renewals, source.failures
  local renewal = renewals:under_way()
  if current.adoptions ~= self._adoptions and current:can_be_returned() then
    return nil
  end
  self._adoptions = current.adoptions -- what was taken meanwhile is expired or invalidated by now
  if renewal then
    renewal:join(self.deadline, failures.not_before)
    return renewal
  end
  local not_before, failure = failures:pass_over(self.deadline)
  if failure then
    return nil, failure
  end
  self.not_before = not_before
  failures:reread_if_due()
  return renewals:start(self)
end

-- Begins, or joins, the renewal that is to be waited for; there is none if the token is there, or can't be had now.
function Call:_begin()
  local source = self._source
  if self.since and not source.closed then
    self.renewal, self.failure = self:_begin_by_force()
    return
  end
  local needs_renewal
  needs_renewal, self.failure = source:needs_renewal(self.min_valid, self.deadline)
  if needs_renewal then
    self.renewal, self.failure = source.renewals:begin(self)
  end
end

-- Whether nothing is left to wait for after a renewal that ended without a failure: it may have been cancelled, or its
-- token invalidated or expired meanwhile; where no caller waits, another process may be requesting one.
function Call:_is_settled()
  local source = self._source
  return source.closed or self.early or self.deadline:over()
    or source.current:can_be_returned() and source.current.adoptions ~= self._adoptions
end

-- Whether the call begins another renewal after a failure: a function of the user's may give another secret, or another
-- assertion.
function Call:_may_retry()
  local source, code, detail = self._source, self.failure.code, self.failure.detail
  if source.closed or self.early or self.deadline:over() then
    return false
  elseif response_error.rejected(code, detail) then
    if self._waits and source.resets:is_under_way() then
      source.waiter:pause(RESET_POLL)
      return true
    end
    return source.failures:reread_if_due()
  elseif source.client_secret.assertion_kind == "function" and response_error.transient(code, detail) then
    self._tries, self.not_before = self._tries + 1, source.failures.next_try
    return self._tries <= TRIES and self.deadline:allows(self.not_before)
  end
  return false
end

--- Advances the call as far as possible without waiting. Returns whether it is done: then `failure` says whether it
--- failed; else `renewal` is to be waited for.
---@return boolean done
function Call:step()
  while true do
    local renewal = self.renewal
    if renewal and renewal.is_advancing then
      self.renewal = nil -- in a coroutine that may have been dropped
    elseif renewal and not renewal:advance(self.deadline:left(), self.blocks) then
      return false
    else
      if renewal then
        self.renewal, self.failure = nil, renewal.failure
      else
        self:_begin()
      end
      if self.failure and not self:_may_retry() or not self.renewal and not self.failure and self:_is_settled() then
        return true
      end
    end
  end
end

--- Drops the renewal: the call no longer waits for it.
function Call:leave()
  self.renewal = nil
end

--- Waits for it until its deadline.
function Call:await()
  local source = self._source
  self._waits, self.blocks = true, not source.config.wait or not source.waiter:yields()
  while not self:step() do
    local left = self.deadline.at + DEADLINE_SLACK - source.clock:boot()
    local failure
    if left <= 0 then
      failure = require("central.auth.errors").failure("timeout",
        "no token in time: a request for one is still under way")
    elseif source.config.wait then
      failure = source.waiter:wait_for(self.renewal, left)
    else
      self.renewal:wait(math.min(left, SIGNAL_POLL), left)
    end
    if failure then
      self.renewal, self.failure = nil, failure
      return
    end
  end
end

--- Waits for it and returns what came of it. A token that was there may expire, or be invalidated, before it is
--- returned: then the call begins anew.
---@return string? token
---@return number|central.auth.Failure|nil remaining or failure, as of TokenSource:outcome
function Call:run()
  local source = self._source
  while true do
    self:await()
    if self.failure and self.since then
      return nil, self.failure
    elseif self.failure or source.closed or self.deadline:over() or source.current:can_be_returned() then
      return source:outcome(self.min_valid, self.failure)
    end
  end
end

return call

-- The renewal of one token that is under way, for all calls that wait for it: a fetch on a thread, or several one after
-- the other, as the result of each one demands.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local request = require "central.auth.token.request"
local response = require "central.auth.token.response"

local errors = lazy "central.auth.errors"

local TRIES = 4 -- requests at most where a call waits

local renewal = {}

---@class central.auth.Renewal
---@field deadline central.auth.Deadline
---@field waits boolean a call waits for it
---@field since? number boot time, of a renewal by force: records of requests sent before do not count
---@field tries integer requests that are left
---@field not_before? number boot time: a request is wanted then although a failure is remembered
---@field secret? userdata that the last fetch used
---@field subject_token? string likewise
---@field began number boot time
---@field is_advancing boolean a coroutine began to advance it and has not finished: an error ended that, for instance
--- of memory, or a function of the user's, or `wait`, has yielded in it, and it may never go on
---@field done boolean
---@field failure? central.auth.Failure of a renewal that is done
local Renewal = {}
Renewal.__index = Renewal

--- For token/ready_made, which has another order and takes its result in another way.
renewal.class = Renewal

--- One that has not begun. `purpose`: `deadline`; `early`: no call waits for it; `blocks`: its call blocks until it is
--- done; `since` (boot time): records of requests sent before it do not count; `look_only`: no request, but what other
--- machines have; `refusal`: of another process, after which this one rereads the secret (see `start`).
---@param source central.auth.TokenSource
---@param purpose table
---@return central.auth.Renewal
function renewal.new(source, purpose)
  return setmetatable({
    _source = source, _here = purpose.blocks and purpose.deadline:left() or 0, -- seconds for which a fetch may block
    deadline = purpose.deadline, waits = not purpose.early, tries = purpose.early and 1 or TRIES,
    since = purpose.since, _look_only = purpose.look_only, _refusal = purpose.refusal, began = source.clock:boot(),
    done = false, is_advancing = false, _requests = 0,
  }, Renewal)
end

-- --- waiting -------------------------------------------------------------------------------------------------------

--- Another call waits for it, too. With `not_before` (boot time) a request is wanted then although a failure is
--- remembered.
---@param deadline central.auth.Deadline
---@param not_before? number
function Renewal:join(deadline, not_before)
  self.not_before = self.not_before or not_before
  if deadline.at > self.deadline.at then
    self.deadline = deadline
  end
  self.waits, self.tries = true, TRIES
end

--- Another descriptor that becomes readable when there is something to do; nil, why where none is left.
---@return userdata? notifier
---@return string? why
function Renewal:notifier()
  if not self._notifier then
    local notifier, why = core.notifier()
    local ok = notifier ~= nil
    if ok then
      ok, why = self:notify(notifier)
    end
    if not ok then
      return nil, why
    end
    self._notifier = notifier
  end
  return self._notifier:copy()
end

--- All descriptors stay readable: one of a pending token that was done before the renewal is.
function Renewal:keep_signalled()
  self._stays_signalled = true
end

-- There is nothing to do at present.
function Renewal:_clear_notifier()
  if self._notifier and not self._stays_signalled then
    self._notifier:clear()
  end
end

--- Blocks until there is something to do, so many seconds at most. A fetch without a thread runs in here, as a whole,
--- for as long as the call that waits has left.
---@param seconds number
---@param left number seconds
function Renewal:wait(seconds, left)
  local awaited = self._subject or self._transfer
  if awaited then
    awaited:wait(seconds, left)
  end
end

--- This notifier, too, is signalled when there is something to do. nil, why where no descriptor is left.
---@param notifier userdata
---@return boolean? ok
---@return string? why
function Renewal:notify(notifier)
  local awaited = self._subject or self._transfer
  if awaited then
    return awaited:notify(notifier)
  end
  return true
end

--- Whether nothing goes on unless a caller blocks.
---@return boolean
function Renewal:is_inline()
  return self._is_inline or self._subject ~= nil and self._subject:is_inline()
end

--- Ends it, and all calls that wait go on: with a failure, with a new token, or, if there is none, beginning anew.
---@param failure? central.auth.Failure
function Renewal:finish(failure)
  if self.done then
    return
  end
  local transfer, notifier <close> = self._transfer, self._notifier
  self.done, self.failure, self._subject, self._transfer, self._notifier = true, failure, nil, nil, nil
  if transfer and transfer:ours() then
    self._source.transfers:give_back(transfer)
  end
  if notifier and notifier:ours() then
    notifier:signal() -- copies of the descriptor stay readable
  end
end

--- Cancels what is under way and ends it.
---@param failure? central.auth.Failure
function Renewal:cancel(failure)
  if self._transfer and not self.done then
    self._transfer:cancel()
  end
  self:finish(failure)
end

-- --- fetches -------------------------------------------------------------------------------------------------------

-- The form of the request. nil: none is to be made, or not yet, or the failure behind says why.
function Renewal:_form()
  if self._look_only then
    return nil
  elseif not self._source.subject then
    return request.form(self._source.config)
  end
  local token, under_way, failure = self._source.subject:token(self._source, self.deadline, not self.waits)
  if under_way then
    self._subject = under_way
    self:_clear_notifier()
    if self._notifier then
      under_way:notify(self._notifier)
    end
  end
  self.subject_token = token or self.subject_token
  return token and request.form(self._source.config, token), failure
end

--- The order of a fetch; nil: there is none yet, or the failure behind says why, or the renewal is done. Other calls
--- that wait are woken: should a function of the user's yield, they start a renewal of their own.
---@return table? order
---@return central.auth.Failure? failure
function Renewal:order()
  local source = self._source
  if self._notifier then
    self._notifier:signal()
  end
  local form, failure = self:_form()
  local order
  if not failure and not self._subject then
    order, failure = request.order(source, self.deadline)
    if failure then
      source.failures:failed_before_request(failure)
    end
  end
  if order then
    order.form, order.waits, order.look_only = form, self.waits, self._look_only
    order.tries = math.min(order.tries or TRIES, self.tries)
    order.not_before, order.reread = self._more.not_before, self._more.reread
  end
  return order, failure
end

-- Gives an order to a thread; where an error prevents that, calls that wait are woken. Returns the failure.
function Renewal:_fetch(order)
  local notifier, failure = self._notifier, nil
  self.secret = order.current
  if not self._transfer then
    self._transfer, failure = self._source.transfers:take()
  end
  if failure then
    return failure
  end
  self:_clear_notifier()
  local ok, started, why = pcall(self._transfer.fetch, self._transfer, order, notifier, self._here)
  if not ok then -- an interruption, or memory that is short
    self._transfer:cancel()
    if notifier then
      notifier:signal()
    end
    error(started, 0)
  end
  self._is_inline = why == true
  return not started and errors.failure("config", why) or nil
end

function Renewal:_start(more)
  self._more, self._subject = more or {}, nil
  local order, failure
  if not self.deadline:over() then
    order, failure = self:order()
  end
  if self.done then -- by a function of the user's
    return
  elseif self.deadline:over() then
    failure = failure or errors.failure("timeout", "no token in time")
    self._source:note("failed", { code = failure.code, message = failure.message })
    return self:finish(failure)
  elseif failure or not self._source.renewals:claim(self) then
    return self:finish(failure)
  end
  failure = order and self:_fetch(order)
  if failure then
    self._source.failures:failed_before_request(failure)
    self:finish(failure)
  end
end

--- Starts a fetch, or waits for the subject token first; ends the renewal where neither can be. `more`: `not_before`
--- (boot time), `reread`.
---@param more? table
function Renewal:start(more)
  self.is_advancing = true
  self:_start(more)
  self.is_advancing = false
end

--- Advances it as far as possible without waiting. Returns whether it is done. A fetch without a thread runs in here,
--- too, for a call that has so much left; if that blocks anyway, so does the next fetch, at first.
---@param left? number seconds
---@param blocks? boolean
---@return boolean
function Renewal:advance(left, blocks)
  self._here = blocks and left or 0
  local own = self._transfer or self._notifier
  if self.done then
    return true
  elseif own and not own:ours() then -- this is a forked child of the process that began it
    self:finish()
  elseif self._subject then
    self:start(self._more)
  elseif self._transfer and self._transfer:wait(0, left or 0) then
    local result = self._transfer:finish() -- after an error in there it can be called again
    self.is_advancing = true
    self:take(result)
    self.is_advancing = false
  elseif self._is_inline and self.deadline:over() then -- no thread works on it, and no call waits any more
    self:cancel(errors.failure("timeout", "no token in time"))
  end
  return self.done
end

-- --- what a result means -------------------------------------------------------------------------------------------

function Renewal:_recovery()
  self._recovers_by = self._recovers_by
    or require("central.auth.token.recovery").new(self._source, self, self._refusal)
  return self._recovers_by
end

-- Fetches again as `more` says, or ends.
function Renewal:_continue(more, failure)
  if more then
    return self:start(more)
  end
  self:finish(failure)
end

function Renewal:_on_reply(result)
  local source, raw = self._source, result.attempts[#result.attempts]
  local token = response.read(raw)
  if not token then
    return self:_continue(self:_recovery():reply(result))
  elseif self.secret and self.secret ~= source.client_secret.current then
    return self:start() -- a reset has ended that token already
  elseif source.renewals:take(token, raw) then
    return self:finish()
  elseif self.deadline:over() then
    return self:finish(errors.failure("timeout", "the new token had already expired on arrival"))
  end
  self:start()
end

function Renewal:_on_shared(result)
  local found, failure = self._source:take_records(result.token, result.last, self.since)
  if failure then
    return self:_continue(self:_recovery():shared(failure, result.last))
  end
  self:_continue(not found and {} or nil)
end

--- Goes on as the result of a fetch says.
---@param result table
function Renewal:take(result)
  local outcome = result.outcome
  if self._source.listens then
    self._source.events:add_fetch(result, self._requests, self.subject_token)
  end
  self._requests = self._requests + #result.attempts
  self.tries = math.max(self.tries - #result.attempts, 0)
  self.secret = self._source.renewals:note_result(result) or self.secret
  self._look_only = outcome ~= "nothing" and self._look_only or nil
  if #result.attempts > 1 then
    self:_recovery():note_retries(result)
  end
  if outcome == "reply" then
    self:_on_reply(result)
  elseif outcome == "shared" then
    self:_on_shared(result)
  elseif outcome == "cancelled" or outcome == "forked" then
    self:finish()
  else
    local recovery = self:_recovery()
    self:_continue(recovery[outcome](recovery, result))
  end
end

return renewal

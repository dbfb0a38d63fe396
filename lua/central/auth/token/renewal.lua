-- The renewal of one token that is under way, for all who wait for it: a fetch on a thread, or several one after the
-- other, as the result of each one demands.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local request = require "central.auth.token.request"
local response = require "central.auth.token.response"

local errors = lazy "central.auth.errors"
local response_error = lazy "central.auth.token.response_error"

local MIN_ATTEMPT = 0.1 -- seconds an attempt needs at least: a shorter one would only hide the failure before it
local LOOK_AGAIN = 1    -- seconds until a usable token looks for the one that another process is getting, with jitter

local renewal = {}

renewal.TRIES = 4 -- requests at most for one who waits

---@class central.auth.Renewal
---@field done boolean
---@field failure? central.auth.Failure of a renewal that is done
local Renewal = {}
Renewal.__index = Renewal

--- One that has not begun. `purpose`: `deadline`; `early`: nobody waits for it; `since` (boot time): records of
--- requests sent before it do not count; `look_only`: no request, but what other machines have; `refusal`: of another
--- process, after which this one rereads the secret (see `start`).
---@param source central.auth.TokenSource
---@param purpose table
---@return central.auth.Renewal
function renewal.new(source, purpose)
  local notifier, why = core.notifier()
  return setmetatable({
    _source = source,
    _notifier = notifier, _no_notifier = why, -- where no descriptor is left, nothing can wait by one
    _deadline = purpose.deadline, _waits = not purpose.early, _tries = purpose.early and 1 or renewal.TRIES,
    _since = purpose.since, _look_only = purpose.look_only, _began = source.clock:boot(), done = false,
    _is_moving = false, _refusal = purpose.refusal, _has_reread = purpose.refusal ~= nil,
  }, Renewal)
end

-- --- who waits -----------------------------------------------------------------------------------------------------

--- Somebody else waits for it, too. With `not_before` (boot time) a request is wanted then although a failure is
--- remembered.
---@param deadline central.auth.Deadline
---@param not_before? number
function Renewal:join(deadline, not_before)
  self._not_before = self._not_before or not_before
  if deadline.at > self._deadline.at then
    self._deadline = deadline
  end
  self._waits, self._tries = true, renewal.TRIES
end

--- Another descriptor that becomes readable when there is something to do; nil, why where none is left.
---@return userdata? notifier
---@return string? why
function Renewal:notifier()
  if not self._notifier then
    return nil, self._no_notifier
  end
  return self._notifier:copy()
end

--- Blocks until there is something to do, so many seconds at most.
---@param seconds number
function Renewal:block(seconds)
  if self._subject then
    self._subject:block(seconds)
  elseif self._transfer then
    self._transfer:wait(seconds)
  end
end

--- Whether nothing goes on unless a caller blocks.
---@return boolean
function Renewal:is_inline()
  return self._is_inline or self._subject ~= nil and self._subject:is_inline()
end

--- This notifier, too, is signalled when there is something to do.
---@param notifier userdata
function Renewal:notify(notifier)
  if self._subject then
    self._subject:notify(notifier)
  elseif self._transfer then
    self._transfer:notify(notifier)
  end
end

--- Ends it, and all who wait go on: with a failure, with a new token, or, if there is none, beginning anew.
---@param failure? central.auth.Failure
function Renewal:finish(failure)
  if self.done then
    return
  end
  self.done, self.failure, self._subject = true, failure, nil
  if self._transfer and self._transfer:ours() then
    self._source:transfers():give_back(self._transfer)
  end
  self._transfer = nil
  if self._notifier and self._notifier:ours() then
    self._notifier:signal() -- copies of the descriptor stay readable
  end
  if self._notifier then
    self._notifier:close()
    self._notifier = nil
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

function Renewal:_failed(failure)
  self._source:note("failed", { code = failure.code, message = failure.message })
  self:finish(failure)
end

-- --- fetches -------------------------------------------------------------------------------------------------------

-- The form of the request. nil: none is to be made, or not yet, or the failure behind says why.
function Renewal:_form()
  if self._look_only then
    return nil
  elseif not self._source.subject then
    return request.client_credentials(self._source.config)
  end
  local token, under_way, failure = self._source.subject(self._deadline, not self._waits)
  if under_way then
    self._subject = under_way
    if self._notifier then
      self._notifier:clear()
      under_way:notify(self._notifier)
    end
  end
  self._subject_token = token or self._subject_token
  return token and request.token_exchange(self._source.config, token), failure
end

--- Whether a coroutine began to move it on and did not come to the end of that: an error broke it off, for instance of
--- memory, or a function of the user's, or `wait`, has yielded in it, and it may never go on.
---@return boolean
function Renewal:is_moving()
  return self._is_moving
end

-- The order of a fetch; nil: there is none yet, or the failure behind says why. Others who wait here look again: should
-- a function of the user's yield, they start a renewal of their own.
function Renewal:_order()
  if self._has_started and self._notifier then
    self._notifier:signal()
  end
  self._has_started = true
  local form, failure = self:_form()
  local order
  if not failure and not self._subject then
    order, failure = self._source:order(self._deadline:left())
    self._source:note_before_request(failure)
  end
  if order then
    order.form = form
  end
  return order, failure
end

-- Starts a fetch by this order. Where an error prevents that, those who wait look again.
function Renewal:_fetch(order)
  local notifier = self._notifier
  if notifier then
    notifier:clear()
  end
  local ok, started, more = pcall(self._transfer.fetch, self._transfer, order, notifier)
  if ok then
    return started, more
  elseif notifier then
    notifier:signal()
  end
  error(started, 0)
end

function Renewal:_start(more)
  self._more, self._subject = more or {}, nil
  local order, failure
  if not self._deadline:over() then
    order, failure = self:_order()
  end
  if self.done then -- by a function of the user's
    return
  elseif self._deadline:over() then
    return self:_failed(failure or errors.failure("timeout", "no token in time"))
  elseif failure or not self._source:claim(self) then
    return self:finish(failure)
  elseif not order then
    return
  end
  order.waits, order.since, order.look_only = self._waits, self._since, self._look_only
  order.tries = math.min(order.tries or renewal.TRIES, self._tries)
  order.not_before, order.reread = self._more.not_before, self._more.reread
  self._secret = order.current
  if not self._transfer then
    self._transfer, failure = self._source:transfers():take()
  end
  local started, why
  if self._transfer then
    started, why = self:_fetch(order)
  end
  if not started then
    failure = failure or errors.failure("config", why)
    self._source:note_before_request(failure)
    return self:finish(failure)
  end
  self._is_inline = why == true
end

--- Starts a fetch, or waits for the subject token first; ends the renewal where neither can be. `more`: `not_before`
--- (boot time), `reread`.
---@param more? table
function Renewal:start(more)
  self._is_moving = true
  self:_start(more)
  self._is_moving = false
end

--- Moves it on as far as it can go without waiting. Whether it is done.
---@return boolean
function Renewal:advance()
  if self.done then
    return true
  elseif self._transfer and not self._transfer:ours() then -- this is a forked child of the process that began it
    self:finish()
  elseif self._subject then
    self:start(self._more)
  elseif self._transfer and self._transfer:wait(0) then
    local result = self._transfer:finish() -- after an error in there it can be called again
    self._is_moving = true
    self:_take(result)
    self._is_moving = false
  end
  return self.done
end

-- --- what a result means -------------------------------------------------------------------------------------------

-- A function that makes text from the server fit to print.
function Renewal:_cleaner(assertion)
  return self._source:cleaner(assertion, self._subject_token)
end

-- The end, unless the failure may pass and there is time and a try left.
function Renewal:_end_or_try_again(failure)
  local next_try = self._source:next_try()
  if self._waits and self._tries > 0 and response_error.transient(failure.code, failure.detail)
    and not self._source:asserts_by_function() and next_try + MIN_ATTEMPT < self._deadline.at then
    self._source:note("retry", { code = failure.code, message = failure.message })
    return self:start { not_before = next_try }
  end
  self:_failed(failure)
end

-- Whether a refused secret may have changed, so that another fetch was started. A function that gives it is called by
-- whoever waits: see source.lua. `at`: when this client was refused; nil where it was another process.
function Renewal:_tries_other_secret(failure, at)
  if self._has_reread or not response_error.rejected(failure.code, failure.detail) then
    return false
  end
  self._has_reread = true
  local how = self._source:secret_after_refusal(self._secret)
  if how == "unchanged" or self._deadline:over() then
    return false
  end
  self._refusal, self._refused_at = failure, at
  self:start { reread = how == "reread" or nil }
  return true
end

-- A reply without a token, which came at `at`.
function Renewal:_refused(failure, at)
  if self._subject_token and not self._had_new_subject and not self._deadline:over()
    and self._source:has_new_subject(self._subject_token, failure) then
    self._had_new_subject = true
    return self:start()
  elseif not self:_tries_other_secret(failure, at) then
    self._source:failed(failure, at)
    self:_end_or_try_again(failure)
  end
end

function Renewal:_on_reply(result)
  local raw = result.attempts[#result.attempts]
  local token, failure = response.read(raw, self:_cleaner(result.assertion))
  if not token then
    self._source:saw(raw)
    return self:_refused(failure, raw.received_boot)
  elseif self._secret and self._secret ~= self._source:secret() then
    return self:start() -- a reset has ended that token already
  elseif self._source:take(token, raw) then
    return self:finish()
  elseif self._deadline:over() then
    return self:finish(errors.failure("timeout", "the new token had already expired on arrival"))
  end
  self:start()
end

-- A failure that came while this renewal waited is its own, however long ago; one from before counts until its pause is
-- over.
function Renewal:_on_shared(result)
  local found, failure = self._source:take_records(result.token, result.last, self._since)
  local is_own = failure and result.last.received_boot >= self._began
  if found then
    self:finish()
  elseif not failure or not is_own and self._source:backoff_left() == 0 then
    self:start()
  elseif self:_tries_other_secret(failure) then
    return
  elseif is_own then
    self:_end_or_try_again(failure)
  else
    self:finish(self._source:remembered())
  end
end

function Renewal:_on_nothing()
  local is_in_time = self._not_before and self._not_before < self._deadline.at
  if self._source:backoff_left() > 0 and not is_in_time then
    return self:finish(self._source:remembered())
  end
  self._look_only = nil
  self:start { not_before = self._not_before }
end

function Renewal:_on_busy()
  self._source:hold(LOOK_AGAIN * self._source:random())
  if self._waits then
    return self:start()
  end
  self:finish()
end

function Renewal:_on_unchanged()
  if self._refused_at then
    self._source:failed(self._refusal, self._refused_at)
  end
  self:_end_or_try_again(self._refusal)
end

function Renewal:_on_limited(result)
  self._source:hold(result.retry_after)
  self:_failed(errors.failure("rate_limited",
    "too many token requests with this credential; no request is made before its budget allows one",
    { retry_after = result.retry_after }))
end

function Renewal:_on_failed(result)
  local attempt = result.attempts[#result.attempts]
  local failure = request.failure(self._source.config, attempt, self:_cleaner(result.assertion))
  self._source:failed(failure, attempt.at)
  self:_end_or_try_again(failure)
end

function Renewal:_on_config(result)
  local failure = self._source:secret_failure(result.option, result.problem)
  self._source:failed(failure)
  self:_failed(failure)
end

function Renewal:_on_timeout()
  if self._waits and not self._deadline:over() then
    return self:start() -- somebody joined who has more time
  end
  self:_failed(errors.failure("timeout", "no token in time: another process is requesting one, and has none yet"))
end

function Renewal:_on_memory()
  local failure = errors.failure("config", "there is not enough memory for a token request")
  self._source:failed(failure)
  self:_failed(failure)
end

function Renewal:_on_cancelled()
  self:finish()
end

Renewal._on_forked = Renewal._on_cancelled

-- The failures before the last attempt, which the fetch has tried again by itself.
function Renewal:_note_retries(result)
  for i = 1, #result.attempts - 1 do
    local attempt, clean = result.attempts[i], self:_cleaner(result.assertion)
    local failure = attempt.status and select(2, response.read(attempt, clean))
      or not attempt.status and request.failure(self._source.config, attempt, clean)
    if failure then
      self._source:failed(failure, attempt.at or attempt.received_boot)
      self._source:note("retry", { code = failure.code, message = failure.message })
    end
  end
end

function Renewal:_take(result)
  self._tries = math.max(self._tries - #result.attempts, 0)
  self._secret = self._source:note_result(result) or self._secret
  self:_note_retries(result)
  self["_on_" .. result.outcome](self, result)
end

return renewal

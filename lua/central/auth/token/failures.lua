-- What follows from failures: how long the token endpoint is left alone, and whether the secret is read again after a
-- refusal. Loaded when the first one comes.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local response_error = require "central.auth.token.response_error"
local util = require "central.auth.util"

local FIRST_PAUSE = 0.5       -- seconds of back-off; doubles, with full jitter
local REFUSED_PAUSE = 2       -- seconds a refused credential is remembered at first; doubles likewise
local REMOTE_INTERVAL = 1     -- seconds between reads of other machines' records during a pause
local RETRY_AFTER_MAX = 3600  -- seconds that a server may ask for; a longer time is reported, and not waited for

local failures = {}

---@class central.auth.Failures
---@field count integer since the last success
---@field next_try number boot time; before it a failure is answered from memory
---@field not_before number boot time; the server's Retry-After
---@field last? central.auth.Failure
local Failures = {}
Failures.__index = Failures

--- None yet.
---@param source central.auth.TokenSource
---@return central.auth.Failures
function failures.new(source)
  return setmetatable({
    _source = source, _at = 0, _next_remote_read = 0, count = 0, next_try = 0, not_before = 0,
  }, Failures)
end

-- --- the back-off --------------------------------------------------------------------------------------------------

-- Whether a try costs no server anything; then a correction takes effect at once.
function Failures:_is_cheap(failure)
  local ready_made = self._source.config.ready_made
  return failure.code == "config" or ready_made and (ready_made.kind == "value" or ready_made.kind == "file")
end

-- Seconds until the next try. Jitter also on the first, so that a fleet does not come back at once.
function Failures:_pause(failure, retry_after)
  if self:_is_cheap(failure) then
    return 0
  elseif (failure.code == "http" or failure.code == "oauth")
    and not response_error.transient(failure.code, failure.detail) then
    return math.max(util.backoff(REFUSED_PAUSE, self.count - 1), retry_after)
  end
  return retry_after + self._source.random() * util.backoff(FIRST_PAUSE, self.count - 1)
end

--- Notes a failure that came at `at`, by default now; `count`: how many in a row it makes, by default one
--- more than before. A refusal says where the credential came from.
---@param failure central.auth.Failure
---@param at? number boot time
---@param count? integer
function Failures:failed(failure, at, count)
  local source = self._source
  local origin = source.client_secret.origin
  if origin and not source.subject and response_error.rejected(failure.code, failure.detail) then
    failure.message = ("%s (client_id from %s, %s from %s)"):format(failure.message, source.config.from.client_id,
      origin.name, origin.from)
  end
  local retry_after = math.min(failure.detail.retry_after or 0, RETRY_AFTER_MAX)
  self.count = count or self.count + 1
  self._at = at or source.clock:boot()
  self.not_before = self._at + retry_after
  self.next_try = self._at + self:_pause(failure, retry_after)
  self.last = failure
  if self:_is_cheap(failure) then -- a call without a token may try again at once; a usable token is not renewed yet
    source.renewals:postpone(source.random() * util.backoff(FIRST_PAUSE, self.count - 1))
  end
end

--- A token is there.
function Failures:succeeded()
  self.count, self.next_try, self.not_before, self.last = 0, 0, 0, nil
end

--- Seconds for which the token endpoint is left alone.
---@return number
function Failures:left()
  return self.last and math.max(self.next_try - self._source.clock:boot(), 0) or 0
end

--- The failure that is answered from memory; its detail says how long that still lasts.
---@return central.auth.Failure
function Failures:remembered()
  local last, detail = self.last, {}
  for key, value in pairs(last.detail) do
    detail[key] = value
  end
  detail.retry_after = self:left()
  return errors.failure(last.code, ("%s (not tried again for %.1f s)"):format(last.message, detail.retry_after), detail)
end

--- Notes a failure that keeps this client from making a request.
---@param failure central.auth.Failure
function Failures:failed_before_request(failure)
  if failure.code ~= "closed" then
    self._source:note("failed", { code = failure.code, message = failure.message })
    self:failed(failure)
  end
end

--- Notes and returns the failure in another process's record; nil where it does not concern this client, or is older.
---@param raw central.auth.RawReply without a token
---@return central.auth.Failure?
function Failures:take_shared(raw)
  local source = self._source
  if raw.received_boot <= math.max(source.current.sent_boot or 0, self._at) then
    return nil
  end
  local failure = response_error.of(raw, response_error.cleaner(source), source.config)
  if raw.status >= 400 or failure.code == "oauth" then
    self:failed(failure, raw.received_boot, raw.failures)
    self._must_reread = response_error.rejected(failure.code, failure.detail) -- only our secret may be the former one
    return failure
  end
end

-- --- another secret ------------------------------------------------------------------------------------------------

-- Whether the secret's source gives another secret by now.
function Failures:_reread()
  local changed = self._source.client_secret:reread()
  if changed then
    self:succeeded()
  end
  return changed
end

--- Reads the secret again if a refusal asked for that. Whether it changed.
---@return boolean
function Failures:reread_if_due()
  if not self._must_reread then
    return false
  end
  self._must_reread = false
  return self:_reread()
end

--- Whether a renewal may succeed after a refusal, because the secret's source gives another one by now. A command
--- is run by the renewal, and what it gives may be the same. A function is called only where a caller waits.
---@param purpose table of the renewal
---@return boolean
function Failures:may_have_other_secret(purpose)
  local kind = self._source.client_secret.kind
  if purpose.early and kind == "function" then
    return false
  elseif self._must_reread and kind == "command" then
    self._must_reread, purpose.reread, purpose.refusal = false, true, self:remembered()
    return true
  end
  return self:reread_if_due()
end

--- After the secret that a fetch used was refused: "changed" (another one is there), "reread" (the next fetch reads its
--- source again) or "unchanged". `is_late`: there is no next fetch, so the next call that needs a token reads it again.
---@param used? userdata
---@param is_late boolean
---@return "changed" | "reread" | "unchanged"
function Failures:secret_after_refusal(used, is_late)
  local secret = self._source.client_secret
  local is_another = used ~= nil and used ~= secret.current
  self._must_reread = not is_another -- a function is called when a caller waits
    and (secret.kind == "function" or is_late and secret:is_read_by_fetch())
  if is_another then
    return "changed"
  elseif secret:is_read_by_fetch() then
    return "reread"
  elseif secret.kind == "function" then
    return "unchanged"
  end
  return self:_reread() and "changed" or "unchanged"
end

--- When a renewal by force may make its request (boot time): it passes over the failure before, but not a Retry-After;
--- nil and that failure where there is no time left then.
---@param deadline central.auth.Deadline
---@return number? not_before
---@return central.auth.Failure? failure
function Failures:pass_over(deadline)
  if deadline:allows(self.not_before) then
    return self.not_before
  end
  return nil, self:remembered()
end

-- --- calls during a pause ------------------------------------------------------------------------------------------

--- A renewal to wait for, where the secret may be another one by now, or where it is time to read what other
--- machines have; nil: a token is there after all, or none can be had now, as the failure behind says.
---@param call central.auth.Call
---@return central.auth.Renewal?
---@return central.auth.Failure?
function Failures:begin(call)
  local source, now = self._source, self._source.clock:boot()
  if source:read_local_records() then
    return nil
  end
  local purpose = { deadline = call.deadline, early = call.early }
  if self:may_have_other_secret(purpose) then
    return source.renewals:start(purpose)
  elseif source.cache:has_remote() and now >= self._next_remote_read then
    self._next_remote_read, purpose.look_only = now + REMOTE_INTERVAL, true
    return source.renewals:start(purpose)
  elseif self:left() == 0 then -- another coroutine got a token while a function of the user's yielded
    return nil
  end
  return nil, self:remembered()
end

return failures

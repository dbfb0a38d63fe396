-- What a renewal does after a fetch that brought no token: fetches again, perhaps with another secret or subject token,
-- or ends. Each renewal has its own. Loaded when a fetch fails.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local response_error = require "central.auth.token.response_error"

local BUSY_PAUSE = 1 -- seconds until the next check for a token that another process is requesting, with jitter

local recovery = {}

-- All methods but `note_retries` return how the next fetch begins (see Renewal:start); or nil, and the failure by which
-- the renewal ends, if there is one.
---@class central.auth.Recovery
local Recovery = {}
Recovery.__index = Recovery

--- `refusal`: of another process, after which the renewal has read the secret again.
---@param source central.auth.TokenSource
---@param renewal central.auth.Renewal
---@param refusal? central.auth.Failure
---@return central.auth.Recovery
function recovery.new(source, renewal, refusal)
  return setmetatable({
    _source = source, _renewal = renewal, _refusal = refusal, _has_reread = refusal ~= nil,
  }, Recovery)
end

function Recovery:_cleaner(result)
  return response_error.cleaner(self._source, result.assertion, self._renewal.subject_token)
end

function Recovery:_end(failure)
  self._source:note("failed", { code = failure.code, message = failure.message })
  return nil, failure
end

-- The end, unless the failure may pass and there is time and a try left.
function Recovery:_end_or_try_again(failure)
  local source, renewal = self._source, self._renewal
  local next_try = source.failures.next_try
  if renewal.waits and renewal.tries > 0 and response_error.transient(failure.code, failure.detail)
    and source.client_secret.assertion_kind ~= "function" and renewal.deadline:allows(next_try) then
    source:note("retry", { code = failure.code, message = failure.message })
    return { not_before = next_try }
  end
  return self:_end(failure)
end

-- How a fetch begins with a secret that may have changed after a refusal. A function that gives it is called by the
-- call that waits: see call.lua. `at`: when this client was refused; nil where it was another process.
function Recovery:_with_other_secret(failure, at)
  if self._has_reread or not response_error.rejected(failure.code, failure.detail) then
    return nil
  end
  self._has_reread = true
  local is_over = self._renewal.deadline:over()
  local how = self._source.failures:secret_after_refusal(self._renewal.secret, is_over)
  if how == "unchanged" or is_over then
    return nil
  end
  self._refusal, self._refused_at = failure, at
  return { reread = how == "reread" or nil }
end

--- After a reply without a token.
---@param result table
function Recovery:reply(result)
  local source, renewal = self._source, self._renewal
  local raw, subject_token = result.attempts[#result.attempts], renewal.subject_token
  local failure = response_error.of(raw, self:_cleaner(result), self._source.config)
  source.cache:mark_seen(raw)
  if subject_token and not self._had_new_subject and not renewal.deadline:over()
    and source.subject:may_exchange_again(subject_token, failure) then
    self._had_new_subject = true
    return {}
  end
  local more = self:_with_other_secret(failure, raw.received_boot)
  if more then
    return more
  end
  source.failures:failed(failure, raw.received_boot)
  return self:_end_or_try_again(failure)
end

-- A renewal by force goes on after a failure from before. A function that gives the secret is called by the call that
-- waits: see call.lua.
function Recovery:_pass_over()
  local source = self._source
  local not_before, failure = source.failures:pass_over(self._renewal.deadline)
  if failure then
    return nil, failure
  elseif source.client_secret.kind ~= "function" then
    source.failures:reread_if_due()
  end
  return { not_before = not_before }
end

--- After another process's failure. One that came while this renewal waited is its own, however long ago; one from
--- before counts until its pause is over.
---@param failure central.auth.Failure
---@param record central.auth.RawReply
function Recovery:shared(failure, record)
  local renewal, failures = self._renewal, self._source.failures
  if renewal.since and record.sent_boot <= renewal.since then
    return self:_pass_over()
  end
  local is_own = record.received_boot >= renewal.began
  if not is_own and failures:left() == 0 then
    return {}
  end
  local more = self:_with_other_secret(failure)
  if more then
    return more
  elseif is_own then
    return self:_end_or_try_again(failure)
  end
  return nil, failures:remembered()
end

--- After a fetch that only read records and found no new one. A request may be wanted although a failure is remembered.
function Recovery:nothing()
  local renewal = self._renewal
  local is_in_time = renewal.not_before and renewal.not_before < renewal.deadline.at
  if self._source.failures:left() > 0 and not is_in_time then
    return nil, self._source.failures:remembered()
  end
  return { not_before = renewal.not_before }
end

--- After another process had the lock.
function Recovery:busy()
  self._source.renewals:postpone(BUSY_PAUSE * self._source.random())
  return self._renewal.waits and {} or nil
end

--- After the source gave the refused secret again.
function Recovery:unchanged()
  if self._refused_at then
    self._source.failures:failed(self._refusal, self._refused_at)
  end
  return self:_end_or_try_again(self._refusal)
end

---@param result table
function Recovery:limited(result)
  self._source.renewals:postpone(result.retry_after)
  return self:_end(errors.failure("rate_limited",
    "too many token requests with this credential; no request is made before its budget allows one",
    { retry_after = result.retry_after }))
end

--- After a request without a reply.
---@param result table
function Recovery:failed(result)
  local attempt = result.attempts[#result.attempts]
  local failure = response_error.of_transfer(self._source.config, attempt, self:_cleaner(result))
  self._source.failures:failed(failure, attempt.at)
  return self:_end_or_try_again(failure)
end

---@param result table
function Recovery:config(result)
  local config = self._source.config
  local origin = result.option == "client_assertion" and config.assertion or config.secret
  local failure = errors.invalid_option(origin.name, origin.from, result.problem)
  self._source.failures:failed(failure)
  return self:_end(failure)
end

function Recovery:memory()
  local failure = errors.failure("config", "there is not enough memory for a token request")
  self._source.failures:failed(failure)
  return self:_end(failure)
end

function Recovery:timeout()
  if self._renewal.waits and not self._renewal.deadline:over() then
    return {} -- a call with more time has joined
  end
  return self:_end(errors.failure("timeout",
    "no token in time: another process is requesting one, and has none yet"))
end

--- Notes the failures before the last attempt, which the fetch has tried again by itself.
---@param result table
function Recovery:note_retries(result)
  local source, clean = self._source, self:_cleaner(result)
  for i = 1, #result.attempts - 1 do
    local attempt = result.attempts[i]
    local failure = attempt.status and response_error.of(attempt, clean, source.config)
      or response_error.of_transfer(source.config, attempt, clean)
    source.failures:failed(failure, attempt.at or attempt.received_boot)
    source:note("retry", { code = failure.code, message = failure.message })
  end
end

return recovery

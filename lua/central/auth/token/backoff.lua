-- How long the token endpoint is left alone after failures, whatever the callers do.
-- SPDX-License-Identifier: MIT

local util = require "central.auth.util"

local errors = util.lazy "central.auth.errors"
local response_error = util.lazy "central.auth.token.response_error"

local FIRST_PAUSE = 0.5       -- seconds of back-off; doubles, with full jitter
local REFUSED_PAUSE = 2       -- seconds a refused credential is remembered at first; doubles likewise
local RETRY_AFTER_MAX = 3600  -- seconds that a server may ask for; a longer time is reported, and not waited for

local backoff = {}

---@class central.auth.Backoff
---@field failures integer since the last success
---@field next_try number boot time; before it a failure is answered from memory
---@field not_before number boot time; the server's Retry-After
---@field last? central.auth.Failure
local Backoff = {}
Backoff.__index = Backoff

--- No failures yet.
---@param clock userdata
---@param random fun(): number
---@return central.auth.Backoff
function backoff.new(clock, random)
  return setmetatable({ _clock = clock, _random = random, failures = 0, next_try = 0, not_before = 0, at = 0 }, Backoff)
end

-- Seconds until the next try. Jitter also on the first, so that a fleet does not come back at once.
local function pause(self, failure, retry_after)
  if failure.code == "config" then
    return 0 -- costs the server nothing, and whoever mends it wants to see the effect
  elseif (failure.code == "http" or failure.code == "oauth")
    and not response_error.transient(failure.code, failure.detail) then
    return math.max(util.doubled(REFUSED_PAUSE, self.failures - 1), retry_after)
  end
  return retry_after + self._random() * util.doubled(FIRST_PAUSE, self.failures - 1)
end

--- Takes notice of a failure that came at `at`, by default now; `failures`: how many in a row it makes, by default
--- one more than before.
---@param failure central.auth.Failure
---@param at? number boot time
---@param failures? integer
function Backoff:failed(failure, at, failures)
  local retry_after = math.min(failure.detail.retry_after or 0, RETRY_AFTER_MAX)
  self.failures = failures or self.failures + 1
  self.at = at or self._clock:boot()
  self.not_before = self.at + retry_after
  self.next_try = self.at + pause(self, failure, retry_after)
  self.last = failure
end

--- Seconds for which a usable token is left alone after a failure that costs the server nothing.
---@return number
function Backoff:rest()
  return self._random() * util.doubled(FIRST_PAUSE, self.failures - 1)
end

function Backoff:succeeded()
  self.failures, self.next_try, self.not_before, self.last = 0, 0, 0, nil
end

--- Seconds until the next try; 0 when it may be now.
---@return number
function Backoff:left()
  return self.last and math.max(self.next_try - self._clock:boot(), 0) or 0
end

--- The failure that the back-off stands for; its detail says how long that still lasts.
---@return central.auth.Failure
function Backoff:remembered()
  local last, detail = self.last, {}
  for key, value in pairs(last.detail) do
    detail[key] = value
  end
  detail.retry_after = self:left()
  return errors.failure(last.code, ("%s (not tried again for %.1f s)"):format(last.message, detail.retry_after), detail)
end

return backoff

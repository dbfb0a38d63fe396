-- How long to keep still after failures, and how many token requests at most, whatever the callers do.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"
local refusal = lazy "central.auth.token.refusal"

local FIRST_PAUSE = 0.5       -- seconds of back-off; doubles …
local LONGEST_PAUSE = 60      -- … up to here, with full jitter
local REFUSED_PAUSE = 2       -- seconds a refused credential is remembered at first; doubles likewise
local BURST, REFILL = 10, 2   -- token requests at once; then one in so many seconds
local RETRY_AFTER_MAX = 3600  -- seconds that a server may ask for; a longer time is reported, and not waited for
local PEACE = 60              -- seconds in which the token that replaced a refused one is not replaced in its turn

local backoff = {}

---@class central.auth.Backoff
---@field failures integer since the last success
---@field next_try number boot time; before it a failure is answered from memory
---@field not_before number boot time; the server's Retry-After
---@field last? table message, code, detail of the last failure
local Backoff = {}
Backoff.__index = Backoff

--- No failures yet.
---@param clock userdata
---@param random fun(): number
---@return central.auth.Backoff
function backoff.new(clock, random)
  return setmetatable({
    _clock = clock, _random = random, failures = 0, next_try = 0, not_before = 0, failed_at = 0,
    _permits = BURST, _permits_at = 0, _replaced_at = -PEACE,
  }, Backoff)
end

local function told_wait(detail)
  return math.min(detail.retry_after or 0, RETRY_AFTER_MAX)
end

local function doubled(self, first)
  return math.min(LONGEST_PAUSE, first * 2 ^ math.min(self.failures - 1, 16))
end

-- Seconds until the next try. Jitter also on the first, so that a fleet does not come back as one.
local function pause(self, code, detail)
  if code == "config" then
    return 0 -- costs the server nothing, and whoever mends it wants to see the effect
  elseif code == "http" and not refusal.transient(code, detail) then
    return REFUSED_PAUSE
  elseif code == "oauth" and not refusal.transient(code, detail) then
    return doubled(self, REFUSED_PAUSE)
  end
  return told_wait(detail) + self._random() * doubled(self, FIRST_PAUSE)
end

--- Takes notice of a failure: one more of ours, now, or one that another process had at `at`, the `failures`th.
---@param message string
---@param code central.auth.Code
---@param detail central.auth.Detail
---@param failures? integer
---@param at? number boot time
function Backoff:failed(message, code, detail, failures, at)
  self.failures = failures or self.failures + 1
  self.failed_at = at or self._clock:boot()
  self.next_try = self.failed_at + math.max(pause(self, code, detail), told_wait(detail))
  self.not_before = self.failed_at + told_wait(detail)
  self.last = { message, code, detail }
end

--- Seconds for which a usable token is left alone after a failure that costs the server nothing.
---@return number
function Backoff:rest()
  return self._random() * doubled(self, FIRST_PAUSE)
end

function Backoff:succeeded()
  self.failures, self.next_try, self.not_before, self.last = 0, 0, 0, nil
end

--- Seconds until the next try, 0 when it may be now.
---@return number
function Backoff:waits()
  return self.last and math.max(self.next_try - self._clock:boot(), 0) or 0
end

--- The failure that the back-off stands for; tells how long it still lasts.
function Backoff:remembered()
  local message, code, detail = table.unpack(self.last)
  local again = {}
  for key, value in pairs(detail) do
    again[key] = value
  end
  again.retry_after = self:waits()
  return errors.fail(code, ("%s (not tried again for %.1f s)"):format(message, again.retry_after), again)
end

-- What the last holder of the lock left: the permits all processes share, and when one of them replaced a token that an
-- API had refused; by the wall clock, which other machines have too. Nothing it says can stop us for long.
local function recall(self, lock, now, wall)
  local permits, at, replaced = lock:note():match("^(%d+) (%d+) (%d+)$") -- thousandths: no locale changes whole numbers
  permits, at, replaced = tonumber(permits), tonumber(at), tonumber(replaced)
  if permits and at and replaced then
    self._permits = math.min(permits / 1000, BURST)
    self._permits_at = now - math.max(wall - at / 1000, 0)
    self._replaced_at = now - math.max(wall - replaced / 1000, 0)
  end
end

local function leave(self, lock, now, wall)
  local replaced = math.max(wall - (now - self._replaced_at), 0)
  lock:leave(("%d %d %d"):format(self._permits * 1000 // 1, wall * 1000 // 1, replaced * 1000 // 1))
end

-- Calls `decide(now)` with what all processes know, while the lock is held, and lets them know what came of it.
local function decide_together(self, lock, decide)
  local now, wall = self._clock:boot(), self._clock:wall()
  if lock then
    recall(self, lock, now, wall)
  end
  self._permits = math.min(BURST, self._permits + (now - self._permits_at) / REFILL)
  self._permits_at = now
  local decision = decide(now)
  if lock then
    leave(self, lock, now, wall)
  end
  return decision
end

--- Takes a permit for a request, of those all processes share while the lock is held; or says in how many seconds there
--- will be one.
---@param lock? userdata
---@return number? seconds
function Backoff:take_permit(lock)
  return decide_together(self, lock, function()
    if self._permits < 1 then
      return (1 - self._permits) * REFILL
    end
    self._permits = self._permits - 1
  end)
end

--- Whether a token that an API refused may cost all processes that share it another one. One that replaced a refused
--- token may not within its first minute, unless it is `proven` that it was good; then as long as half of the permits
--- are left, so that an endpoint whose answers alternate leaves the other processes able to get a token.
---@param lock? userdata
---@param sent_boot number when it was asked for
---@param proven boolean
---@return boolean
function Backoff:may_replace(lock, sent_boot, proven)
  return decide_together(self, lock, function(now)
    if sent_boot < self._replaced_at then
      return true -- another process was refused with it, too
    elseif now - sent_boot < PEACE and (proven and self._permits < BURST / 2
        or not proven and now - self._replaced_at < PEACE) then
      return false
    end
    self._replaced_at = now
    return true
  end)
end

return backoff

-- When a token is asked for, by whom, and what a failure means for the next try. One object per client; it owns the
-- tracker's content and never hands out a token that has expired.
-- SPDX-License-Identifier: MIT

local backoff = require "central.auth.backoff"
local cache = require "central.auth.cache"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local reply = require "central.auth.reply"
local token_request = require "central.auth.token_request"

local TRIES = 4               -- requests one call makes at most
local STALE_WAIT = 2          -- seconds a call may spend on renewal while its token is still good
local LEAST = 0.1             -- seconds a try needs at least: a shorter one would only hide the failure before it
local GAP = 1                 -- seconds between renewals of a usable token
local POLL = 0.02             -- seconds between looks at the cache while another process renews, with jitter

local renew = {}

---@class central.auth.Renewal
local Renewal = {}
Renewal.__index = Renewal

--- `parts`: clock and tracker (native), and for specs `transport`, `sleep` and `random`.
---@param config central.auth.Config
---@param parts table
function renew.new(config, parts)
  local random = parts.random or math.random
  local self = setmetatable({
    config = config,
    clock = parts.clock,
    tracker = parts.tracker,
    sleep = parts.sleep or function(seconds) parts.clock:sleep(seconds) end,
    random = random,
    stretch = random(),
    backoff = backoff.new(parts.clock, random),
    request = token_request.new(config, parts.clock, parts.transport),
    hold_until = 0,    -- boot time; no renewal of a usable token before it
    renewals = 0,
    events = {},
  }, Renewal)
  self.cache = cache.new(config, parts.clock, function(why) self:note("cache_error", { message = why }) end)
  return self
end

-- --- events -------------------------------------------------------------------------------------------------------

function Renewal:note(name, fields)
  if self.config.on_event then
    fields.event = name
    self.events[#self.events + 1] = fields
  end
end

--- Delivers what happened, after the fact, so that a handler may call anything here. Its errors are its own.
function Renewal:deliver()
  while self.events[1] and not self.busy do
    pcall(self.config.on_event, table.remove(self.events, 1))
  end
end

-- --- what a reply means -------------------------------------------------------------------------------------------

local function same_scope(a, b)
  local words = {}
  for word in a:gmatch("%S+") do
    words[word] = true
  end
  for word in b:gmatch("%S+") do
    if not words[word] then
      return false
    end
    words[word] = nil
  end
  return next(words) == nil
end

local function begin(self, tracker, granted, raw)
  tracker:begin(granted.access_token, {
    sent_boot = raw.sent_boot, sent_wall = raw.sent_wall, expires_in = granted.expires_in,
    refresh_in = granted.refresh_in, renew_before = self.config.renew_before, stretch = self.stretch,
  })
end

-- Takes the token into use, whoever got it.
function Renewal:hold(granted, raw, source)
  begin(self, self.tracker, granted, raw)
  self.source = source
  self.granted_scope = granted.scope
  self.backoff:succeeded()
end

-- A server that returns the token we hold renews nothing: the first schedule stands, and it is not asked in vain again
-- before half of what remains has passed.
function Renewal:keeps_schedule(granted, raw)
  local state, remaining = self.tracker:state()
  if granted.access_token ~= self.tracker:token() or (state ~= "fresh" and state ~= "stale") then
    return false
  end
  granted.odd[#granted.odd + 1] = "the server returned the token already held"
  self.hold_until = self.clock:boot() + math.max(remaining / 2, GAP)
  local said = granted.expires_in and granted.expires_in - (self.clock:boot() - raw.sent_boot)
  return not (said and said < remaining)
end

function Renewal:adopt(granted, raw)
  local replaced = self.last_token ~= nil
  self.last_token = true
  if granted.access_token == self.rejected then
    granted.odd[#granted.odd + 1] = "the server returned the token that was just invalidated"
  end
  self.hold_until = self.clock:boot() + GAP
  if self:keeps_schedule(granted, raw) then
    self.backoff:succeeded()
  else
    self:hold(granted, raw, "network")
    self.cache:keep(raw)
  end
  self.renewals = self.renewals + (replaced and 1 or 0)
  self.skew = raw.date and raw.received_wall - raw.date
  local asked = self.config.scope
  if asked and granted.scope and not same_scope(asked, granted.scope) then
    granted.odd[#granted.odd + 1] = "the granted scope differs from the one asked for"
  end
  local _, remaining = self.tracker:state()
  self:note(replaced and "renewed" or "fetched", { expires_in = remaining })
  for _, what in ipairs(granted.odd) do
    self:note("odd_reply", { what = what })
  end
end

-- --- what other processes know ------------------------------------------------------------------------------------

--- Takes the shared token where it is better than ours: usable, not refused by the API, good for longer; with `since`
--- (boot time) only one that was asked for after that.
function Renewal:adopt_shared(since)
  local raw = self.cache:token()
  local granted = raw and (not since or raw.sent_boot > since) and reply.read(raw)
  if not granted or granted.access_token == self.rejected or granted.access_token == self.tracker:token() then
    return false
  end
  local other = core.tracker(self.clock)
  begin(self, other, granted, raw)
  local state, remaining = other:state()
  if state == "expired" or remaining <= select(2, self.tracker:state()) then
    return false
  end
  self:hold(granted, raw, "cache")
  self.last_token = true
  self:note("shared", { expires_in = remaining })
  return true
end

-- Whether another process was turned down so lately that asking again is idle.
function Renewal:shares_failure()
  local raw = self.cache:failure()
  if raw and raw.sent_boot > self.backoff.failed_at then
    local granted, message, code, detail = reply.read(raw)
    if not granted then
      self.backoff:failed(message, code, detail, raw.failures, raw.sent_boot)
    end
  end
  return self.backoff:waits() > 0
end

function Renewal:remember(message, code, detail, raw)
  if reply.rejected(code, detail) and self.config.secret then
    message = ("%s (client_id from %s, %s from %s)"):format(message, self.config.from.client_id,
      self.config.secret.name, self.config.secret.from)
  end
  self.backoff:failed(message, code, detail)
  if raw and (code == "oauth" or raw.status >= 400) then
    self.cache:keep_failure(raw, self.backoff.failures)
  end
  return nil, message, code, detail
end

-- --- getting one --------------------------------------------------------------------------------------------------

function Renewal:sleep_until(moment)
  local left = moment - self.clock:boot()
  while left > 0 do -- a signal ends a sleep early
    self.sleep(left)
    left = moment - self.clock:boot()
  end
end

-- Waits for a permit, or fails where that would pass the deadline.
function Renewal:wait_for_permit(deadline, lock)
  local wait = self.backoff:take_permit(lock)
  while wait do
    if self.clock:boot() + wait > deadline then
      return errors.fail("rate_limited", "too many token requests from this machine; it asks the server no further",
        { retry_after = wait })
    end
    self:sleep_until(self.clock:boot() + wait)
    wait = self.backoff:take_permit(lock)
  end
  return true
end

function Renewal:try(deadline, lock)
  local allowed, message, code, detail = self:wait_for_permit(deadline, lock)
  if not allowed then
    return nil, message, code, detail
  end
  local granted, raw, reply_raw
  granted, raw, code, detail, reply_raw = self.request:send(deadline, self.tracker:token())
  if not granted and reply.rejected(code, detail) and self.request:secret_changed(deadline) then
    self.cache:attach(self.request.secret)
    granted, raw, code, detail, reply_raw = self.request:send(deadline, self.tracker:token())
  end
  if granted then
    self:adopt(granted, raw)
    return true
  end
  return self:remember(raw, code, detail, reply_raw)
end

-- Asks until there is a token, `tries` times at most, never after the deadline.
function Renewal:insist(deadline, tries, lock)
  local ok, message, code, detail
  for n = 1, tries do
    ok, message, code, detail = self:try(deadline, lock)
    if ok then
      return true
    end
    local again = n < tries and self.backoff.last and reply.transient(code, detail)
      and self.backoff.next_try + LEAST < deadline
    self:note(again and "retry" or "failed", { code = code, message = message })
    if not again then
      break
    end
    self:sleep_until(self.backoff.next_try)
  end
  return nil, message, code, detail
end

-- Waits until it is our turn to ask: true when another process brought a token meanwhile (or, with `early`, is about
-- to); false and the lock; false alone where there is none. A holder that hangs is overtaken, not by all at once.
function Renewal:take_turn(deadline, mode)
  local now = self.clock:boot()
  local patience = now + (deadline - now) * (0.5 + self.random() / 4)
  while true do
    if self:adopt_shared(mode.since) then
      return true
    end
    local lock = self.cache:lock()
    if lock and self:adopt_shared(mode.since) then -- it came between the look and the lock
      lock:release()
      return true
    elseif lock == false and mode.early then
      self.hold_until = self.clock:boot() + GAP * self.random()
      return true
    elseif not mode.since and self:shares_failure() then
      if lock then
        lock:release()
      end
      return self.backoff:remembered()
    elseif lock ~= false or self.clock:boot() >= patience then
      return false, lock or nil
    end
    self.sleep(POLL * (0.5 + self.random()))
  end
end

--- Gets a token that is new here, from another process or from the server. true, or a failure. `mode`: `tries`;
--- `early`: ours is still usable; `since`: boot time before which a shared one does not count.
function Renewal:obtain(deadline, mode)
  self.busy = true
  local _ <close> = setmetatable({}, { __close = function() self.busy = false end })
  local ok, message, code, detail = self.request:prepare(deadline)
  if not ok then
    self:note("failed", { code = code, message = message })
    return self:remember(message, code, detail)
  end
  self.cache:attach(self.request.secret)
  local lock
  ok, lock, code, detail = self:take_turn(deadline, mode)
  if ok ~= false then
    return ok, lock, code, detail
  end
  local held <close> = lock
  return self:insist(deadline, mode.tries, held)
end

-- A good token whose renewal is due: one short try, and its failure costs nothing.
function Renewal:renew_early(seconds, tries)
  local now = self.clock:boot()
  if not self.busy and now >= self.backoff.next_try and now >= self.hold_until then
    self:obtain(now + seconds, { tries = tries, early = true })
  end
end

local NESTED = "a token was asked for by the function that provides the client's own secret or assertion"

--- A usable token, or a failure. With `min_valid` the remaining life as second value where it falls short.
---@param min_valid? number seconds
function Renewal:token(min_valid)
  local state, remaining, life = self.tracker:state()
  if state == "fresh" or state == "stale" then
    -- More than three quarters of a life can't be had at any time: asking for it must not mean asking all the time.
    if min_valid and remaining < math.min(min_valid, life * 0.75) then
      self:renew_early(self.config.timeout, TRIES)
    elseif state == "stale" then
      self:renew_early(math.min(STALE_WAIT, self.config.connect_timeout), 1)
    end
    state, remaining = self.tracker:state()
  end
  if state == "none" or state == "expired" then
    if self.busy then
      return errors.fail("config", NESTED)
    elseif self.backoff:waits() > 0 then
      return self.backoff:remembered()
    end
    local ok, message, code, detail = self:obtain(self.clock:boot() + self.config.timeout, { tries = TRIES })
    if not ok then
      return nil, message, code, detail
    end
    remaining = select(2, self.tracker:state())
  end
  if min_valid and remaining < min_valid then
    return self.tracker:token(), remaining
  end
  return self.tracker:token()
end

--- A new token now, whatever the old one's state; a refusal in memory is passed over, a Retry-After is not.
function Renewal:renew()
  local now = self.clock:boot()
  local deadline = now + self.config.timeout
  if self.busy then
    return errors.fail("config", NESTED)
  elseif self.backoff.not_before > deadline then
    return self.backoff:remembered()
  end
  self:sleep_until(self.backoff.not_before)
  local ok, message, code, detail = self:obtain(deadline, { tries = TRIES, since = now })
  if not ok then
    return nil, message, code, detail
  end
  return self.tracker:token()
end

-- Takes a refused token out of the cache, if it is still the one there; where another process is renewing, that one's
-- success replaces it anyway.
function Renewal:drop_shared(token)
  if not self.request:prepare(self.clock:boot() + self.config.timeout) then
    return false
  end
  self.cache:attach(self.request.secret)
  local lock <close> = self.cache:lock() or nil
  local raw = lock and self.cache:token()
  local granted = raw and reply.read(raw)
  if not granted or granted.access_token ~= token then
    return false
  end
  self.cache:drop()
  return true
end

--- Forgets the token, here and in the cache, if it is still the current one. Whether it was.
---@param token? string
function Renewal:invalidate(token)
  local held = self.tracker:token()
  token = token or held
  if not token then
    return false
  end
  local dropped = not self.busy and self:drop_shared(token)
  if token == held then
    self.tracker:forget()
  elseif not dropped then
    return false
  end
  self.rejected = token
  self:note("invalidated", {})
  return true
end

function Renewal:close()
  self.tracker:forget()
  self.request:close()
  self.cache:close()
end

return renew

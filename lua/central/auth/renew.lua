-- When a token is asked for, by whom, and what a failure means for the next try. One object per client; it owns the
-- tracker's content and never hands out a token that has expired.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.cache"
local core = require "central.auth.core"
local credential = require "central.auth.credential"
local lazy = require "central.auth.lazy"
local reply = require "central.auth.reply"

local asking = lazy "central.auth.asking"
local backoff = lazy "central.auth.backoff"
local by_hand = lazy "central.auth.by_hand"
local errors = lazy "central.auth.errors"
local refusal = lazy "central.auth.refusal"

local STALE_WAIT = 2          -- seconds a call may spend on renewal while its token is still good
local LOOK_AGAIN = 1          -- seconds until a usable token looks for the one another process is getting, with jitter
local POLL = 0.02             -- seconds between looks at the cache while another process renews, with jitter

local renew = {}

renew.TRIES = 4 -- requests one call makes at most

---@class central.auth.Renewal
---@field backoff? central.auth.Backoff nil as long as nothing was asked and nothing failed
---@field request? central.auth.TokenRequest likewise
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
    credential = credential.new(config),
    transport = parts.transport,
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
  if self.backoff then
    self.backoff:succeeded()
  end
end

--- Failures and permits, from the first of either on.
function Renewal:pace()
  self.backoff = self.backoff or backoff.new(self.clock, self.random)
  return self.backoff
end

--- Seconds before which nothing is asked, for the last try failed.
function Renewal:waits()
  return self.backoff and self.backoff:waits() or 0
end

function Renewal:sleep_until(moment)
  local left = moment - self.clock:boot()
  while left > 0 do -- a signal ends a sleep early
    self.sleep(left)
    left = moment - self.clock:boot()
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
  if raw and raw.sent_boot > self:pace().failed_at then
    local granted, message, code, detail = reply.read(raw)
    if not granted then
      self:pace():failed(message, code, detail, raw.failures, raw.sent_boot)
    end
  end
  return self:waits() > 0
end

-- Where another process was turned down and our secret has been changed meanwhile: another key, another name, and
-- none of that failure is ours.
function Renewal:moves_on(deadline)
  local _, code, detail = table.unpack(self.backoff.last)
  if not refusal.rejected(code, detail) or not self.credential:changed(deadline - self.clock:boot()) then
    return false
  end
  self.cache:attach(self.credential.secret)
  self.backoff:succeeded()
  return true
end

-- --- getting one --------------------------------------------------------------------------------------------------

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
      self.hold_until = self.clock:boot() + LOOK_AGAIN * self.random()
      return true
    elseif not mode.since and self:shares_failure() then
      if lock then
        lock:release()
      end
      if not self:moves_on(deadline) then
        return self.backoff:remembered()
      end
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
  local ok, message, code, detail = self.credential:prepare(deadline - self.clock:boot())
  if not ok then
    self:note("failed", { code = code, message = message })
    return asking.remember(self, message, code, detail)
  end
  self.cache:attach(self.credential.secret)
  local lock
  ok, lock, code, detail = self:take_turn(deadline, mode)
  if ok ~= false then
    return ok, lock, code, detail
  end
  local held <close> = lock
  return asking.insist(self, deadline, mode.tries, held)
end

-- A good token whose renewal is due: one short try, and its failure costs nothing.
function Renewal:renew_early(seconds, tries)
  local now = self.clock:boot()
  if not self.busy and self:waits() == 0 and now >= self.hold_until then
    self:obtain(now + seconds, { tries = tries, early = true })
  end
end

--- A token was asked for while one is being got: by a function that is part of getting it.
function Renewal.nested()
  return errors.fail("config",
    "a token was asked for by the function that provides the client's own secret or assertion")
end

--- A usable token, or a failure. With `min_valid` the remaining life as second value where it falls short.
---@param min_valid? number seconds
function Renewal:token(min_valid)
  local state, remaining, life = self.tracker:state()
  if state == "fresh" or state == "stale" then
    -- More than three quarters of a life can't be had at any time: asking for it must not mean asking all the time.
    if min_valid and remaining < math.min(min_valid, life * 0.75) then
      self:renew_early(self.config.timeout, renew.TRIES)
    elseif state == "stale" then
      self:renew_early(math.min(STALE_WAIT, self.config.connect_timeout), 1)
    end
    state, remaining = self.tracker:state()
  end
  if state == "none" or state == "expired" then
    if self.busy then
      return self.nested()
    elseif self:waits() > 0 then
      return self.backoff:remembered()
    end
    local ok, message, code, detail = self:obtain(self.clock:boot() + self.config.timeout, { tries = renew.TRIES })
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

--- See by_hand.
function Renewal:renew()
  return by_hand.renew(self)
end

--- See by_hand.
---@param token? string
function Renewal:invalidate(token)
  return by_hand.invalidate(self, token)
end

function Renewal:close()
  self.tracker:forget()
  if self.request then
    self.request:close()
  end
  self.credential:close()
  self.cache:close()
end

return renew

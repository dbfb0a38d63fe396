-- When a token is asked for, by whom, and what a failure means for the next try. One object per client; it owns the
-- tracker's content and never hands out a token that has expired.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.cache"
local core = require "central.auth.core"
local credential = require "central.auth.credential"
local host = require "central.auth.host"
local lazy = require "central.auth.lazy"
local pool = require "central.auth.pool"
local task = require "central.auth.task"

local asking = lazy "central.auth.asking"
local backoff = lazy "central.auth.backoff"
local by_hand = lazy "central.auth.by_hand"
local errors = lazy "central.auth.errors"
local turns = lazy "central.auth.turns"

local LOST = 60 -- seconds past its deadline after which a renewal is not believed to end by itself
local LATE = 1  -- seconds after its arrival a token is still handed to who asked, however dead it is

local renew = {}

renew.TRIES = 4 -- requests one call makes at most

--- How a renewal is made; who joins it may ask for more.
---@class central.auth.Mode
---@field deadline number boot time
---@field tries integer
---@field early? boolean ours is still usable, and nobody waits
---@field since? number boot time before which a shared token does not count
---@field alarm? userdata

---@class central.auth.Renewal
---@field task? central.auth.Task the renewal under way
---@field backoff? central.auth.Backoff nil as long as nothing was asked and nothing failed
---@field request? central.auth.TokenRequest likewise
---@field unread? boolean the secret was refused in the background, its source not read again yet
local Renewal = {}
Renewal.__index = Renewal

--- `parts`: clock and tracker (native); `parent`, whose token is exchanged for this one, which then uses its
--- credential and connections; and for specs `transport`, `sleep` and `random`.
---@param config central.auth.Config
---@param parts table
function renew.new(config, parts)
  local random = parts.random or math.random
  local self = setmetatable({
    config = config,
    clock = parts.clock,
    tracker = parts.tracker,
    host = host.new(parts.clock, config.wait, parts.sleep),
    random = random,
    stretch = random(),
    parent = parts.parent,
    credential = parts.parent and parts.parent.credential or credential.new(config),
    pool = parts.parent and parts.parent.pool
      or pool.new(config, parts.clock, parts.transport and function() return parts.transport end),
    hold_until = 0, -- boot time; no renewal of a usable token before it
    renewals = 0,
    resets = 0,                                          -- of the credential, by this client …
    resetting = setmetatable({}, { __mode = "k" }),      -- … and those under way: each call's deadline
    refusing = {},                                       -- hosts that refuse even new tokens: until when
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
  if self.parent then
    self.parent:deliver()
  end
  while self.events[1] and not (self.task and self.task:running()) do
    pcall(self.config.on_event, table.remove(self.events, 1))
  end
end

-- --- what is held -------------------------------------------------------------------------------------------------

--- Tells a tracker of a token.
---@param tracker userdata
---@param granted central.auth.Grant
---@param raw central.auth.RawReply
function Renewal:begin(tracker, granted, raw)
  tracker:begin(granted.access_token, {
    sent_boot = raw.sent_boot, sent_wall = raw.sent_wall, expires_in = granted.expires_in,
    refresh_in = granted.refresh_in, renew_before = self.config.renew_before, stretch = self.stretch,
    took = raw.received_boot and raw.received_boot - raw.sent_boot,
  })
end

-- Takes the token into use, whoever got it.
function Renewal:hold(granted, raw, source)
  self:begin(self.tracker, granted, raw)
  self.source, self.sent_boot, self.unread = source, raw.sent_boot, false
  self.arrived = raw.received_boot or 0
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

local function is_usable(self)
  local state, remaining, life = self.tracker:state()
  return state == "fresh" or state == "stale", state, remaining, life
end

--- Whether there is a token to hand out: a usable one, or one that is dead and has only just arrived.
---@return boolean
function Renewal:has_token()
  local usable, state = is_usable(self)
  return usable or state == "expired" and self.clock:boot() - self.arrived < LATE
end

-- --- one renewal at a time, for all who want it -------------------------------------------------------------------

-- Now that somebody waits: reads the secret's source again. Whether that leaves nothing but the failure in memory.
local function is_hopeless(self, mode)
  self.unread = false
  if self.credential:changed(mode.deadline - self.clock:boot()) then
    self.cache:attach(self.credential.secret)
    self.backoff:succeeded()
  end
  return self:waits() > 0 and not mode.since
end

-- Gets a token that is new here, from another process or from the server. Within a task.
local function obtain(self, mode)
  local ok, message, code, detail = self.credential:prepare(mode.deadline - self.clock:boot())
  if not ok then
    self:note("failed", { code = code, message = message })
    return asking.remember(self, message, code, detail)
  end
  self.cache:attach(self.credential.secret)
  local hopeless = self.unread and not mode.early and is_hopeless(self, mode)
  if turns.adopt_shared(self, mode.since) then
    return true
  elseif hopeless then
    return self.backoff:remembered()
  elseif mode.since and self:pace().not_before > self.clock:boot() then
    task.wait(self:pace().not_before)
  end
  return asking.insist(self, mode)
end

--- The renewal under way. A forked child forgets that of its parent, and one that is stuck is given up.
---@return central.auth.Task?
function Renewal:under_way()
  local current = self.task
  if current and current:alive() and current:ours() and self.clock:boot() <= self.mode.deadline + LOST then
    return current
  elseif current and current:ours() then
    current:close(errors.fail("timeout", "the renewal took too long"))
  end
  self.task = nil
end

-- What it came to, after the refused token that was kept from being dropped meanwhile.
local function ended(self, ...)
  if self.to_drop then
    by_hand.drop_shared(self, self.to_drop)
    self.to_drop = nil
  end
  return ...
end

-- In the background where nobody waits for it, or where the host waits in a way of its own: on a thread, with an alarm.
local function start(self, mode, background)
  mode.alarm = background and core.alarm() or nil
  self.mode = mode
  self.task = task.new(self.clock, function() return ended(self, obtain(self, mode)) end, mode.alarm)
  return self.task
end

--- A renewal for somebody who wants its result: the one under way, which may take as long and try as often as ours
--- would, or another. nil and a failure where none is to be made now.
---@param mode central.auth.Mode
---@param background? boolean
---@return central.auth.Task?
function Renewal:join(mode, background)
  local current = self:under_way()
  if not current then
    return start(self, mode, background or self.host:waits())
  elseif current:running() then
    return errors.fail("config",
      "a token was asked for by the function that provides the client's own secret or assertion")
  end
  local joined = self.mode
  joined.deadline, joined.tries = math.max(joined.deadline, mode.deadline), math.max(joined.tries, mode.tries)
  joined.early = joined.early and mode.early
  return current
end

-- A renewal that nobody waits for, begun or moved on; its failure costs nothing.
local function see_to_it(self)
  local current = self:under_way()
  local now = self.clock:boot()
  if not current and self:waits() == 0 and now >= self.hold_until then
    current = start(self, { deadline = now + self.config.timeout, tries = 1, early = true }, true)
  end
  if current and not current:running() then
    current:look()
  end
end

--- The renewal that a token has to wait for. nil where there is none: it is there, or it can't be had now, as the
--- failure behind says.
---@param min_valid? number seconds
---@param background? boolean
---@return central.auth.Task? task
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Renewal:want(min_valid, background)
  local usable, state, remaining, life = is_usable(self)
  local now = self.clock:boot()
  -- More than three quarters of a life can't be had at any time: asking for it must not mean asking all the time.
  if usable and not (min_valid and remaining < math.min(min_valid, life * 0.75)) then
    if state == "stale" then
      see_to_it(self)
    end
    return nil
  elseif not self:under_way() and (self:waits() > 0 and not self.unread or usable and now < self.hold_until) then
    if usable or turns.adopt_shared(self) then
      return nil
    end
    return self.backoff:remembered()
  end
  return self:join({ deadline = now + self.config.timeout, tries = renew.TRIES }, background)
end

--- What comes of it: the token that is held, with its remaining life where that is less than `min_valid`; or the
--- failure, where there is none to use.
---@param min_valid? number
---@param message? string
---@param code? central.auth.Code
---@param detail? central.auth.Detail
function Renewal:outcome(min_valid, message, code, detail)
  if code and not is_usable(self) then
    return nil, message, code, detail
  end
  local state, remaining = self.tracker:state()
  if state == "none" then
    return errors.fail("closed", "the client was closed, or its new token invalidated, before this could be told of it")
  elseif not self:has_token() then
    return errors.fail("timeout", "the new token expired before this could be told of it")
  elseif min_valid and remaining < min_valid then
    return self.tracker:token(), remaining
  end
  return self.tracker:token()
end

--- Whether a renewal that ended, and not with a failure, leaves nothing to ask for: it may have been given up, or its
--- token invalidated or dead before who waited was told.
---@param deadline number boot time
---@return boolean
function Renewal:settled(deadline)
  return self.closed or self:has_token() or self.clock:boot() >= deadline
end

--- A usable token, or a failure.
---@param min_valid? number seconds
---@param deadline? number boot time, where that is not `timeout` from now
function Renewal:token(min_valid, deadline)
  deadline = deadline or self.clock:boot() + self.config.timeout
  local current, message, code, detail
  repeat
    current, message, code, detail = self:want(min_valid)
    if current then
      current, message, code, detail = self.host:await(current, deadline)
    end
  until current == nil or self:settled(deadline)
  return self:outcome(min_valid, message, code, detail)
end

--- Whether a reset of this client's credential is under way: a secret that is refused meanwhile is no surprise.
---@return boolean
function Renewal:is_resetting()
  for _, deadline in pairs(self.resetting) do
    if self.clock:boot() < deadline then
      return true
    end
  end
  return false
end

--- Goes on with another secret, here and in the cache; tokens of the former one are dead.
---@param secret userdata
function Renewal:use_secret(secret)
  local _ <close> = self.cache:lock() or nil
  self.cache:drop()
  self.credential:replace(secret)
  self.cache:attach(secret)
  self.tracker:forget()
  self:pace():succeeded()
  self.resets = self.resets + 1
end

function Renewal:close()
  self.closed = true
  self.tracker:forget()
  if self.task then
    self.task:close(errors.fail("closed", "the client was closed"))
  end
  if not self.parent then
    self.pool:close()
    self.credential:close()
  end
  self.cache:close()
end

return renew

-- When a token is asked for, by whom, and what a failure means for the next try. One object per client; it owns the
-- tracker's content and never hands out a token that has expired.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.token.cache"
local core = require "central.auth.core"
local credential = require "central.auth.token.client_secret"
local lazy = require "central.auth.lazy"
local reply = require "central.auth.token.response"

local asking = lazy "central.auth.token.fetch"
local backoff = lazy "central.auth.token.backoff"
local errors = lazy "central.auth.errors"
local host = lazy "central.auth.token.waiter"
local pool = lazy "central.auth.token.connection_pool"
local under_way = lazy "central.auth.token.in_flight"

local YOUNG = 60 -- seconds in which min_valid renews no token, or a quarter of a short life
local LATE = 1 -- seconds after its arrival a token is still handed to who asked, however dead it is

local renew = {}

--- How a renewal is made; who joins it may ask for more.
---@class central.auth.Mode
---@field deadline number boot time
---@field tries integer
---@field early? boolean ours is still usable, and nobody waits
---@field since? number boot time before which a shared token does not count
---@field glances? boolean the server is left alone for a while: nothing but a look at what other machines have
---@field alarm? userdata

---@class central.auth.Renewal
---@field task? central.auth.Task the renewal under way
---@field backoff? central.auth.Backoff nil as long as nothing was asked and nothing failed
---@field request? central.auth.TokenRequest likewise
---@field accepted? table of the token that is held: see `unauthorized`
---@field ended? { tracker: userdata, sent_boot: number } a shared token that has expired: for `status` alone
---@field unread? boolean the secret was refused in the background, its source not read again yet
local Renewal = {}

-- What a token that lies ready in the cache does without is made when it is first used: how the host waits, the
-- connections.
local PARTS = {
  host = function(self)
    return host.new(self.clock, self.config.wait, self.parts.sleep)
  end,
  pool = function(self)
    local transport = self.parts.transport
    return self.parent and self.parent.pool or pool.new(self.config, self.clock, transport and function()
      return transport
    end)
  end,
}

local metatable = {
  __index = function(self, name)
    if PARTS[name] then
      self[name] = PARTS[name](self)
      return self[name]
    end
    return Renewal[name]
  end,
}

--- `parts`: clock and tracker (native); `parent`, whose token is exchanged for this one, which then uses its
--- credential and connections; and for specs `transport`, `sleep`, `random` and `stretch`.
---@param config central.auth.Config
---@param parts table
function renew.new(config, parts)
  local random = parts.random or core.random
  local self = setmetatable({
    config = config,
    clock = parts.clock,
    tracker = parts.tracker,
    parts = parts,
    random = random,
    stretch = parts.stretch,
    parent = parts.parent,
    credential = parts.parent and parts.parent.credential or credential.new(config),
    hold_until = 0, -- boot time; no renewal of a usable token before it
    closed = false,
    renewals = 0,
    resets = 0,                                          -- of the credential, by this client …
    resetting = setmetatable({}, { __mode = "k" }),      -- … and those under way: each call's deadline
    events = {},
    children = setmetatable({}, { __mode = "k" }),       -- renewals of tenants
  }, metatable)
  local function report(why)
    if not self.closed then
      self:note("cache_error", { message = why })
    end
  end
  self.cache = cache.new(config, { clock = parts.clock, random = random }, report)
  if self.parent then -- which closes nothing half-made
    self.parent.children[self] = true
  end
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
    refresh_in = granted.refresh_in, renew_before = self.config.renew_before,
    stretch = self.stretch or core.stretch(granted.access_token),
    took = raw.received_boot and raw.received_boot - raw.sent_boot,
  })
end

-- Takes the token into use, whoever got it.
function Renewal:hold(granted, raw, source)
  if self.closed then
    return
  end
  self:begin(self.tracker, granted, raw)
  self.source, self.sent_boot, self.unread, self.ended = source, raw.sent_boot, false, nil
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

--- Reads the client secret where that has not been done yet, and finds the cache that belongs to it.
---@param limit number seconds
---@return boolean? ready
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Renewal:prepare(limit)
  local ok, message, code, detail = self.credential:prepare(limit)
  if not ok then
    self:note("failed", { code = code, message = message })
    return asking.remember(self, message, code, detail)
  end
  self.cache:attach(self.credential.secret)
  return true
end

-- Takes a token that others got where it is better than ours.
local function adopt(self, raw, since)
  local granted = raw and (not since or raw.sent_boot > since) and reply.read(raw)
  if not granted or granted.access_token == self.rejected or granted.access_token == self.tracker:token() then
    return false
  end
  local other = core.tracker(self.clock)
  self:begin(other, granted, raw)
  local state, remaining = other:state()
  if state == "expired" then
    self.ended = { tracker = other, sent_boot = raw.sent_boot }
    return false
  elseif remaining <= select(2, self.tracker:state()) then
    return false
  end
  self:hold(granted, raw, "cache")
  self.last_token = true
  self:note("shared", { expires_in = remaining })
  return true
end

--- Takes the shared token where it is better than ours: usable, not refused by the API, good for longer; with `since`
--- (boot time) only one that was asked for after that. That of this machine; else, within a visit, that of all.
---@param since? number
---@return boolean
function Renewal:adopt_shared(since)
  if adopt(self, self.cache:token(), since) then
    return true
  end
  local raw = self.cache.beyond and self.cache:beyond()
  if raw and adopt(self, raw, since) then
    self.cache:bring_home(raw)
    return true
  end
  return false
end

--- See under_way.
---@return central.auth.Task?
function Renewal:under_way()
  return self.task and under_way.current(self)
end

-- What lies ready in the cache needs no task, unless the secret takes time: a function of the user's may yield, a
-- command be waited for.
local function may_lie_ready(self, state)
  local kind = self.config.secret and self.config.secret.kind
  return state == "none" and not self.looked and not self.task and (kind == "value" or kind == "file")
end

-- Whether a usable token is to be renewed for `min_valid`: where a new one would do, and otherwise once three quarters
-- of a life or less are left. A young token is not, or such calls would renew one after the other.
local function falls_short(state, remaining, life, min_valid)
  local wanted = min_valid < life and min_valid or life * 0.75
  return remaining < wanted and (state == "stale" or life - remaining >= math.min(YOUNG, life / 4))
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
  if self.closed then
    return errors.closed()
  end
  local usable, state, remaining, life = is_usable(self)
  if may_lie_ready(self, state) then
    self.looked = true
    local ok, message, code, detail = self:prepare(self.config.timeout)
    if not ok then
      return nil, message, code, detail
    elseif self:adopt_shared() then
      return self:want(min_valid, background)
    end
  end
  if usable and not (min_valid and falls_short(state, remaining, life, min_valid)) then
    if state == "stale" then
      under_way.see_to_it(self)
    end
    return nil
  end
  return under_way.begin(self, usable, background)
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
    return errors.fail("closed", "the client was closed, or the new token invalidated, before the call returned it")
  elseif not self:has_token() then
    return errors.fail("timeout", "the new token expired before the call returned it")
  elseif min_valid and remaining < min_valid then
    return self.tracker:token(), remaining
  end
  return self.tracker:token()
end

--- The outcome of a call, packed, and whether that is final: not where nothing failed, and there is no token all the
--- same. A renewal may have been given up, or its token invalidated or dead before who waited was told; a token that
--- lay ready may have expired during the call.
---@param deadline number boot time
---@param min_valid? number
---@param message? string
---@param code? central.auth.Code
---@param detail? central.auth.Detail
---@return boolean final
---@return table results
function Renewal:conclude(deadline, min_valid, message, code, detail)
  local results = table.pack(self:outcome(min_valid, message, code, detail))
  return results[1] ~= nil or code ~= nil or self.closed or self.clock:boot() >= deadline, results
end

--- A usable token, or a failure.
---@param min_valid? number seconds
---@param deadline? number boot time, where that is not `timeout` from now
function Renewal:token(min_valid, deadline)
  deadline = deadline or self.clock:boot() + self.config.timeout
  local final, results
  repeat
    local current, message, code, detail = self:want(min_valid)
    if current then
      message, code, detail = select(2, self.host:await(current, deadline))
    end
    final, results = self:conclude(deadline, min_valid, message, code, detail)
  until final
  return table.unpack(results, 1, results.n)
end

--- Ends all that is under way, waiting calls and tenants included, with `closed`. Safe to call again.
function Renewal:close()
  if self.closed then
    return
  end
  self.closed = true
  self.tracker:forget()
  for child in pairs(self.children) do
    child:close()
  end
  if self.task then
    self.task:close(errors.closed())
  end
  if rawget(self, "host") then
    self.host:close()
  end
  if not self.parent then
    if rawget(self, "pool") then
      self.pool:close()
    end
    self.credential:close()
    credential.forget(self.config.cache_secret)
  end
  self.cache:close()
end

return renew

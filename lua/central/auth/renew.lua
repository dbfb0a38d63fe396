-- When a token is asked for, how often, and what a failure means for the next try. One object per client; it owns the
-- tracker's content and never hands out a token that has expired.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local credential = require "central.auth.credential"
local errors = require "central.auth.errors"
local grant = require "central.auth.grant"
local reply = require "central.auth.reply"

local TRIES = 4               -- requests one call makes at most
local STALE_WAIT = 2          -- seconds a call may spend on renewal while its token is still good
local FIRST_PAUSE = 0.5       -- seconds of back-off; doubles …
local LONGEST_PAUSE = 60      -- … up to here, with full jitter
local REFUSED_PAUSE = 2       -- seconds a refused credential is remembered at first; doubles likewise
local LEAST = 0.1             -- seconds a try needs at least: a shorter one would only hide the failure before it
local GAP = 1                 -- seconds between renewals of a usable token
local BURST, REFILL = 10, 2   -- token requests at once; then one in so many seconds, whatever the callers do

local renew = {}

local Renewal = {}
Renewal.__index = Renewal

--- `parts`: clock and tracker (native), transport, and for specs `sleep` and `random`.
---@param config central.auth.Config
---@param parts table
function renew.new(config, parts)
  return setmetatable({
    config = config,
    clock = parts.clock,
    tracker = parts.tracker,
    transport = parts.transport,
    sleep = parts.sleep or function(seconds) parts.clock:sleep(seconds) end,
    random = parts.random or math.random,
    stretch = (parts.random or math.random)(),
    failures = 0,      -- since the last success
    next_try = 0,      -- boot time; before it a failure is answered from memory
    not_before = 0,    -- boot time; the server's Retry-After
    hold_until = 0,    -- boot time; no renewal of a usable token before it
    permits = BURST,
    permits_at = 0,
    renewals = 0,
    events = {},
  }, Renewal)
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

-- --- one request --------------------------------------------------------------------------------------------------

function Renewal:read_secret(deadline)
  local limit = math.max(deadline - self.clock:boot(), 0.001)
  return credential.read(self.config.secret, limit)
end

-- What authenticates this try: the secret as last read, an assertion always anew.
function Renewal:credential(deadline)
  local message, code, detail
  if self.config.assertion then
    local assertion
    local limit = math.max(deadline - self.clock:boot(), 0.001)
    assertion, message, code, detail = credential.read(self.config.assertion, limit)
    return assertion and { assertion = assertion }, message, code, detail
  elseif self.config.secret and not self.secret then
    self.secret, message, code, detail = self:read_secret(deadline)
    if not self.secret then
      return nil, message, code, detail
    end
  end
  return { secret = self.secret }
end

function Renewal:request(body, authorization, deadline)
  local config = self.config
  local left = math.max(deadline - self.clock:boot(), 0.001)
  return {
    url = config.token_url, user_agent = config.user_agent, body = body, authorization = authorization,
    ca_file = config.ca_file, ca_path = config.ca_path, crl_file = config.crl_file,
    cert_file = config.cert_file, key_file = config.key_file, proxy = config.proxy,
    timeout = left, connect_timeout = math.min(config.connect_timeout, left),
  }
end

--- One token request. The grant and the raw reply it came in, or a failure.
function Renewal:ask(deadline)
  local used, message, code, detail = self:credential(deadline)
  if not used then
    return nil, message, code, detail
  end
  local body, authorization = grant.client_credentials(self.config, used)
  local function clean(text)
    return errors.printable(core.redact(text, used.secret, used.assertion, authorization, self.tracker:token()))
  end
  local raw, granted
  raw, message, code, detail = self.transport:send(self:request(body, authorization, deadline))
  if raw then
    granted, message, code, detail = reply.read(raw, clean)
  else
    message = clean(message)
  end
  body:wipe()
  if authorization then
    authorization:wipe()
  end
  if used.assertion then
    used.assertion:wipe()
  end
  return granted, granted and raw or message, code, detail
end

-- A rotated secret: read its source again, and say whether it changed.
function Renewal:secret_changed(deadline)
  local fresh = self.config.secret and self:read_secret(deadline)
  if not fresh or fresh:equal(self.secret) then
    return false
  end
  self.secret:wipe()
  self.secret = fresh
  return true
end

-- --- what a result means ------------------------------------------------------------------------------------------

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

-- A server that returns the token we hold renews nothing: the first schedule stands, and it is not asked in vain again
-- before half of what remains has passed.
function Renewal:keep_schedule(granted, raw)
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
  if granted.access_token == self.rejected then
    granted.odd[#granted.odd + 1] = "the server returned the token that was just invalidated"
  end
  self.hold_until = self.clock:boot() + GAP
  if not self:keep_schedule(granted, raw) then
    self.tracker:begin(granted.access_token, {
      sent_boot = raw.sent_boot, sent_wall = raw.sent_wall, expires_in = granted.expires_in,
      refresh_in = granted.refresh_in, renew_before = self.config.renew_before, stretch = self.stretch,
    })
  end
  self.last_token = true
  self.failures, self.next_try, self.not_before, self.last_failure = 0, 0, 0, nil
  self.renewals = self.renewals + (replaced and 1 or 0)
  self.granted_scope = granted.scope
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

-- Seconds until the next try. Jitter also on the first, so that a fleet does not come back as one.
function Renewal:pause(code, detail)
  local function doubled(first)
    return math.min(LONGEST_PAUSE, first * 2 ^ math.min(self.failures - 1, 16))
  end
  if code == "config" then
    return 0 -- costs the server nothing, and whoever mends it wants to see the effect
  elseif code == "http" and not reply.transient(code, detail) then
    return REFUSED_PAUSE
  elseif code == "oauth" and not reply.transient(code, detail) then
    return doubled(REFUSED_PAUSE)
  end
  return (detail.retry_after or 0) + self.random() * doubled(FIRST_PAUSE)
end

function Renewal:remember(message, code, detail)
  local now = self.clock:boot()
  self.failures = self.failures + 1
  self.next_try = now + math.max(self:pause(code, detail), detail.retry_after or 0)
  self.not_before = now + (detail.retry_after or 0)
  if reply.rejected(code, detail) and self.config.secret then
    message = ("%s (client_id from %s, %s from %s)"):format(message, self.config.from.client_id,
      self.config.secret.name, self.config.secret.from)
  end
  self.last_failure = { message, code, detail }
  return nil, message, code, detail
end

--- The failure that the back-off stands for; tells how long it still lasts.
function Renewal:remembered()
  local message, code, detail = table.unpack(self.last_failure)
  local again = {}
  for key, value in pairs(detail) do
    again[key] = value
  end
  again.retry_after = math.max(self.next_try - self.clock:boot(), 0)
  return errors.fail(code, ("%s (not tried again for %.1f s)"):format(message, again.retry_after), again)
end

-- --- how often ----------------------------------------------------------------------------------------------------

-- Takes a permit for a request; or says in how many seconds there will be one.
function Renewal:take_permit()
  local now = self.clock:boot()
  self.permits = math.min(BURST, self.permits + (now - self.permits_at) / REFILL)
  self.permits_at = now
  if self.permits < 1 then
    return (1 - self.permits) * REFILL
  end
  self.permits = self.permits - 1
  return nil
end

function Renewal:sleep_until(moment)
  local left = moment - self.clock:boot()
  while left > 0 do -- a signal ends a sleep early
    self.sleep(left)
    left = moment - self.clock:boot()
  end
end

-- Waits for a permit, or fails where that would pass the deadline.
function Renewal:wait_for_permit(deadline)
  local wait = self:take_permit()
  while wait do
    if self.clock:boot() + wait > deadline then
      return errors.fail("rate_limited", "too many token requests from this program; it asks the server no further",
        { retry_after = wait })
    end
    self:sleep_until(self.clock:boot() + wait)
    wait = self:take_permit()
  end
  return true
end

-- --- getting one --------------------------------------------------------------------------------------------------

function Renewal:try(deadline)
  local allowed, message, code, detail = self:wait_for_permit(deadline)
  if not allowed then
    return nil, message, code, detail
  end
  local granted, raw
  granted, raw, code, detail = self:ask(deadline)
  if not granted and reply.rejected(code, detail) and self:secret_changed(deadline) then
    granted, raw, code, detail = self:ask(deadline)
  end
  if granted then
    self:adopt(granted, raw)
    return true
  end
  return self:remember(raw, code, detail)
end

--- Gets a new token by `tries` requests at most, none after the deadline. true, or a failure.
function Renewal:obtain(deadline, tries)
  self.busy = true
  local _ <close> = setmetatable({}, { __close = function() self.busy = false end })
  local ok, message, code, detail
  for n = 1, tries do
    ok, message, code, detail = self:try(deadline)
    if ok then
      return true
    end
    local again = n < tries and self.last_failure and reply.transient(code, detail) and self.next_try + LEAST < deadline
    self:note(again and "retry" or "failed", { code = code, message = message })
    if not again then
      break
    end
    self:sleep_until(self.next_try)
  end
  return nil, message, code, detail
end

-- A good token whose renewal is due: one short try, and its failure costs nothing.
function Renewal:renew_early(seconds, tries)
  local now = self.clock:boot()
  if not self.busy and now >= self.next_try and now >= self.hold_until then
    self:obtain(now + seconds, tries)
  end
end

local NESTED = "a token was asked for by the function that provides the client's own secret or assertion"

--- A usable token, or a failure. With `min_valid` the remaining life as second value where it falls short.
---@param min_valid? number seconds
function Renewal:token(min_valid)
  local state, remaining, life = self.tracker:state()
  -- More than three quarters of a life can't be had at any time: asking for it must not mean asking all the time.
  local short = min_valid and remaining < math.min(min_valid, life * 0.75)
  if state == "fresh" or state == "stale" then
    if short then
      self:renew_early(self.config.timeout, TRIES)
    elseif state == "stale" then
      self:renew_early(math.min(STALE_WAIT, self.config.connect_timeout), 1)
    end
    state, remaining = self.tracker:state()
  end
  if state == "none" or state == "expired" then
    if self.busy then
      return errors.fail("config", NESTED)
    elseif self.last_failure and self.clock:boot() < self.next_try then
      return self:remembered()
    end
    local ok, message, code, detail = self:obtain(self.clock:boot() + self.config.timeout, TRIES)
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
  local deadline = self.clock:boot() + self.config.timeout
  if self.busy then
    return errors.fail("config", NESTED)
  elseif self.not_before > deadline then
    return self:remembered()
  end
  self:sleep_until(self.not_before)
  local ok, message, code, detail = self:obtain(deadline, TRIES)
  if not ok then
    return nil, message, code, detail
  end
  return self.tracker:token()
end

--- Forgets the token if it is the one held. Whether it was.
---@param token? string
function Renewal:invalidate(token)
  local held = self.tracker:token()
  if held == nil or (token ~= nil and token ~= held) then
    return false
  end
  self.rejected = held
  self.tracker:forget()
  self:note("invalidated", {})
  return true
end

function Renewal:close()
  self.tracker:forget()
  self.transport:close()
  if self.secret then
    self.secret:wipe()
    self.secret = nil
  end
  local source = self.config.secret
  if source and source.kind == "value" then
    source.value:wipe()
  end
end

return renew

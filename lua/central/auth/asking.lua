-- Asking the server on behalf of a renewal: permits and tries, what a token or a failure means for what comes after.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"
local token_request = require "central.auth.token_request"

local errors = lazy "central.auth.errors"
local refusal = lazy "central.auth.refusal"

local LEAST = 0.1             -- seconds a try needs at least: a shorter one would only hide the failure before it
local GAP = 1                 -- seconds between renewals of a usable token

local asking = {}

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
local function keeps_schedule(self, granted, raw)
  local state, remaining = self.tracker:state()
  if granted.access_token ~= self.tracker:token() or (state ~= "fresh" and state ~= "stale") then
    return false
  end
  granted.odd[#granted.odd + 1] = "the server returned the token already held"
  self.hold_until = self.clock:boot() + math.max(remaining / 2, GAP)
  local said = granted.expires_in and granted.expires_in - (self.clock:boot() - raw.sent_boot)
  return not (said and said < remaining)
end

local function adopt(self, granted, raw)
  local replaced = self.last_token ~= nil
  self.last_token = true
  if granted.access_token == self.rejected then
    granted.odd[#granted.odd + 1] = "the server returned the token that was just invalidated"
  end
  self.hold_until = self.clock:boot() + GAP
  if keeps_schedule(self, granted, raw) then
    self:pace():succeeded()
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

--- Takes notice of a failure, and shares it where it came as a reply. Returns it.
function asking.remember(self, message, code, detail, raw)
  if refusal.rejected(code, detail) and self.config.secret then
    message = ("%s (client_id from %s, %s from %s)"):format(message, self.config.from.client_id,
      self.config.secret.name, self.config.secret.from)
  end
  self:pace():failed(message, code, detail)
  if raw and (code == "oauth" or raw.status >= 400) then
    self.cache:keep_failure(raw, self:pace().failures)
  end
  return nil, message, code, detail
end

-- Waits for a permit, or fails where that would pass the deadline.
local function wait_for_permit(self, deadline, lock)
  local wait = self:pace():take_permit(lock)
  while wait do
    if self.clock:boot() + wait > deadline then
      return errors.fail("rate_limited", "too many token requests from this machine; it asks the server no further",
        { retry_after = wait })
    end
    self:sleep_until(self.clock:boot() + wait)
    wait = self:pace():take_permit(lock)
  end
  return true
end

-- A rotated secret gets one try more.
local function send(self, deadline)
  local held = self.tracker:token()
  self.request = self.request or token_request.new(self.config, self.credential, self.clock, self.transport)
  local granted, raw, message, code, detail = self.request:send(deadline, held)
  if not granted and refusal.rejected(code, detail)
    and self.credential:changed(math.max(deadline - self.clock:boot(), LEAST)) then
    self.cache:attach(self.credential.secret)
    return self.request:send(deadline, held)
  end
  return granted, raw, message, code, detail
end

local function try(self, deadline, lock)
  local allowed, message, code, detail = wait_for_permit(self, deadline, lock)
  if not allowed then
    return nil, message, code, detail
  end
  local granted, raw
  granted, raw, message, code, detail = send(self, deadline)
  if granted then
    adopt(self, granted, raw)
    return true
  end
  return asking.remember(self, message, code, detail, raw)
end

--- Asks until there is a token, `tries` times at most, never after the deadline.
function asking.insist(self, deadline, tries, lock)
  local ok, message, code, detail
  for n = 1, tries do
    ok, message, code, detail = try(self, deadline, lock)
    if ok then
      return true
    end
    local again = n < tries and self:pace().last and refusal.transient(code, detail)
      and self:pace().next_try + LEAST < deadline
    self:note(again and "retry" or "failed", { code = code, message = message })
    if not again then
      break
    end
    self:sleep_until(self:pace().next_try)
  end
  return nil, message, code, detail
end

return asking

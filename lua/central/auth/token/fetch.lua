-- Asking the server on behalf of a renewal: permits and tries, what a token or a failure means for what comes after.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"
local task = require "central.auth.token.task"
local token_request = require "central.auth.token.request"
local turns = require "central.auth.token.single_flight"

local by_hand = lazy "central.auth.token.operations"
local errors = lazy "central.auth.errors"
local refusal = lazy "central.auth.token.refusal"
local tenant = lazy "central.auth.token.tenant"

local LEAST = 0.1             -- seconds a try needs at least: a shorter one would only hide the failure before it
local GLANCE = 1              -- seconds between looks at what other machines have, while a try is not due yet
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

-- Takes a token into use. False where it had expired before this: the process slept, the job did not.
local function adopt(self, granted, raw)
  local replaced = self.last_token ~= nil
  if granted.access_token == self.rejected then
    granted.odd[#granted.odd + 1] = "the server returned the token that was just invalidated"
  end
  self.last_token = true
  self.hold_until = self.clock:boot() + GAP
  if keeps_schedule(self, granted, raw) then
    self:pace():succeeded()
  else
    self:hold(granted, raw, "network")
    self.cache:keep(raw, "token")
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
  return self:has_token()
end

--- Takes notice of a failure, and shares it where it came as a reply. Returns it.
---@param self central.auth.Renewal
---@param message string
---@param code central.auth.Code
---@param detail central.auth.Detail
---@param raw? central.auth.RawReply
function asking.remember(self, message, code, detail, raw)
  if refusal.rejected(code, detail) and self.config.secret and not self.parent then
    message = ("%s (client_id from %s, %s from %s)"):format(message, self.config.from.client_id,
      self.config.secret.name, self.config.secret.from)
  end
  self:pace():failed(message, code, detail)
  if code == "config" then -- who has no token may ask again at once: the failure costs the server nothing
    self.hold_until = math.max(self.hold_until, self.clock:boot() + self:pace():rest())
  end
  if raw and (raw.shared or raw.status >= 400 or code == "oauth") then
    self.cache:keep(raw, "refusal", self:pace().failures)
  end
  return nil, message, code, detail
end

-- True with a permit; else a failure where nobody waits for one, or not so long; or nil alone once it is worth another
-- turn: nobody sleeps with the lock in hand.
local function permitted(self, mode, lock)
  local wait = self:pace():take_permit(lock)
  if not wait then
    return true
  end
  local due = self.clock:boot() + wait
  if mode.early or due > mode.deadline then
    self.hold_until = math.max(self.hold_until, due)
    return errors.fail("rate_limited", "too many token requests with this credential; the server is asked no further",
      { retry_after = wait })
  end
  if lock then
    lock:release()
  end
  task.wait(due)
end

local function send(self, mode, lock)
  local subject_token, message, code, detail
  if self.parent then
    subject_token, message, code, detail = tenant.subject_token(self, mode)
    if not subject_token then
      return nil, nil, message, code, detail
    end
  end
  if self.closed then -- by the function that gives the secret
    return nil, errors.closed()
  end
  self.request = self.request or token_request.new(self.config, self.credential, self.clock, self.pool)
  mode.used = self.credential.secret
  local held = self.tracker:token()
  return self.request:send(mode.deadline, {
    held = held, lock = lock, share = self.cache:share(self:pace().failures + 1, held), alarm = mode.alarm,
    subject_token = subject_token,
  })
end

-- Where the credential is being reset, by this very client, the secret that was refused is not the last.
local function wait_for_reset(self, deadline)
  while by_hand.is_resetting(self) and self.clock:boot() < deadline do
    task.wait(self.clock:boot() + LEAST / 10)
  end
end

-- A rotated secret: another key, another name, and one try more.
local function rotated(self, mode, code, detail)
  if mode.rotated or not refusal.rejected(code, detail) then
    return false
  end
  wait_for_reset(self, mode.deadline)
  local limit = math.max(mode.deadline - self.clock:boot(), LEAST)
  if self.credential.secret == mode.used and turns.rereads(self, mode) then
    self.credential:changed(limit)
  end
  if self.credential.secret == mode.used then -- nor has somebody else changed it while we waited for a command
    return false
  end
  mode.rotated = true
  self.cache:attach(self.credential.secret)
  return true
end

-- Once: true, or a failure and whether that is final; neither where another try is due at once.
local function try(self, mode)
  local ok, lock, code, detail, final = turns.take(self, mode)
  if ok ~= false then
    return ok, lock, code, detail, final
  end
  local held <close> = lock
  local allowed, granted, raw, message
  allowed, message, code, detail = permitted(self, mode, held)
  if not allowed then
    return nil, message, code, detail
  end
  granted, raw, message, code, detail = send(self, mode, held)
  if granted and self.credential.secret ~= mode.used then
    return nil -- a reset has ended that token already
  elseif granted and adopt(self, granted, raw) then
    return true
  elseif granted and self.clock:boot() >= mode.deadline then -- who asks now has time of their own
    return nil, "the new token had already expired on arrival", "timeout", {}, true
  elseif granted then
    return nil
  elseif self.parent and tenant.has_new_subject(self, mode, code, detail) or rotated(self, mode, code, detail) then
    return nil
  end
  return asking.remember(self, message, code, detail, raw)
end

-- Until the next try is due; true where another machine brought a token meanwhile.
local function pause(self, mode)
  local due = self:pace().next_try
  while self.cache.glance and self.clock:boot() + GLANCE < due do
    task.wait(self.clock:boot() + GLANCE)
    if turns.glance(self, mode.since) then
      return true
    end
  end
  task.wait(due)
end

--- Asks until there is a token or the failure is final, `mode.tries` times at most, never after the deadline. Within a
--- task.
---@param self central.auth.Renewal
---@param mode central.auth.Mode
function asking.insist(self, mode)
  local n = 0
  while true do
    local ok, message, code, detail, final = try(self, mode)
    n = n + (code and 1 or 0)
    if ok then
      return true
    elseif final then
      return nil, message, code, detail
    elseif code then
      local again = n < mode.tries and self:pace().last and refusal.transient(code, detail)
        and self:pace().next_try + LEAST < mode.deadline
      self:note(again and "retry" or "failed", { code = code, message = message })
      if not again then
        return nil, message, code, detail
      elseif pause(self, mode) then
        return true
      end
    end
  end
end

return asking

-- Whose turn it is to ask the server, of all processes that want the same token: what the others got, what they were
-- refused, and who is asking now. Within a task.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"
local reply = require "central.auth.token.response"
local task = require "central.auth.token.task"

local refusal = lazy "central.auth.token.refusal"
local token_request = lazy "central.auth.token.request"

local LOOK_AGAIN = 1          -- seconds until a usable token looks for the one another process is getting, with jitter
local POLL = 0.02             -- seconds between looks at the cache while another process renews, with jitter

local turns = {}

--- Whether a changed secret is to be looked for after a refusal: where that takes time, not while ours is still usable
--- and nobody waits, but later.
---@param self central.auth.Renewal
---@param mode central.auth.Mode
---@return boolean
function turns.rereads(self, mode)
  self.unread = mode.early and not self.credential:is_quick()
  return not self.unread
end

--- Takes what other machines got, though it is nobody's turn to ask.
---@param self central.auth.Renewal
---@param since? number boot time
---@return boolean
function turns.glance(self, since)
  local _ <close> = self.cache:glance()
  return self:adopt_shared(since)
end

-- Whether another process was turned down so lately that asking again is idle.
local function shares_failure(self)
  local raw = self.cache:failure()
  if raw and raw.sent_boot > self:pace().failed_at then
    local clean = token_request.cleaner(self.config, { secret = self.credential.secret }, self.tracker:token())
    local granted, message, code, detail = reply.read(raw, clean)
    if not granted then
      self:pace():failed(message, code, detail, raw.failures, raw.sent_boot)
    end
  end
  return self:waits() > 0
end

--- Takes over what other processes share, token or failure, and asks nobody.
---@param self central.auth.Renewal
---@return boolean? looked
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function turns.look(self)
  local ready, message, code, detail = self.credential:prepare(self.config.timeout)
  if not ready then
    return nil, message, code, detail
  end
  self.cache:attach(self.credential.secret)
  if not self:adopt_shared() and not self.tracker:token() then
    shares_failure(self)
  end
  return true
end

-- Where another process was turned down and our secret has been changed meanwhile: another key, another name, and
-- none of that failure is ours.
local function moves_on(self, mode)
  local _, code, detail = table.unpack(self.backoff.last)
  if not (refusal.rejected(code, detail) and turns.rereads(self, mode)
    and self.credential:changed(mode.deadline - self.clock:boot())) then
    return false
  end
  self.cache:attach(self.credential.secret)
  self.backoff:succeeded()
  return true
end

-- The failure of another process: as if it were ours if we waited for it, else one to answer from memory.
local function failure_of_others(self, waited)
  if waited then
    return nil, table.unpack(self.backoff.last)
  end
  local none, message, code, detail = self.backoff:remembered()
  return none, message, code, detail, true
end

-- The part of the time after which who waits goes ahead without its turn: while there is time left for a request, not
-- all at once, and of a machine's processes first the one that waits on behalf of all.
local function patience(self)
  if not self.cache.own_lock then
    return 0.5, 0.25
  elseif self.cache:leads() then
    return 0.75, 0.15
  end
  return 0.9, 0.08
end

local function goes_ahead(self, began, deadline, chance)
  local part, spread = patience(self)
  return self.clock:boot() >= began + (deadline - began) * (part + spread * chance)
end

--- Waits until it is our turn to ask: true when another process brought a token meanwhile (or, where nobody waits for
--- one, is about to); false and the lock; false alone where there is none; or a failure another process had, and
--- whether it is final. A holder that hangs is overtaken, not by all at once.
---@param self central.auth.Renewal
---@param mode central.auth.Mode
function turns.take(self, mode)
  local began, deadline, chance = self.clock:boot(), mode.deadline, self.random()
  local waited = false
  local mine -- the lock, which must not outlast this where memory runs out in the middle of it
  local _ <close> = setmetatable({}, { __close = function()
    if mine then
      mine:release()
    end
  end })
  while true do
    local lock = self.cache:lock(mode.deadline - self.clock:boot())
    if lock == false and goes_ahead(self, began, deadline, chance) then
      lock = self.cache.own_lock and self.cache:own_lock() or nil
    end
    mine = lock or nil
    if self:adopt_shared(mode.since) then
      return true
    elseif lock == false and mode.early then
      self.hold_until = self.clock:boot() + LOOK_AGAIN * self.random()
      return true
    elseif not mode.since and shares_failure(self) then
      if mine then
        mine:release()
      end
      if not moves_on(self, mode) then
        return failure_of_others(self, waited)
      end
    elseif lock ~= false then
      mine = nil
      return false, lock
    end
    waited = waited or lock == false
    task.wait(self.clock:boot() + POLL * (0.5 + self.random()))
  end
end

return turns

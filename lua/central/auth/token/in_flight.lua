-- One renewal at a time, for all who want it: begun, joined, moved on, given up.
-- SPDX-License-Identifier: MIT

local asking = require "central.auth.token.fetch"
local core = require "central.auth.core"
local lazy = require "central.auth.lazy"
local task = require "central.auth.token.task"
local turns = require "central.auth.token.single_flight"

local by_hand = lazy "central.auth.token.operations"
local errors = lazy "central.auth.errors"

local GLANCE = 1 -- seconds between looks at what other machines have, while the server is left alone
local LOST = 60  -- seconds past its deadline after which a renewal is not believed to end by itself

local under_way = {}

under_way.TRIES = 4 -- requests one call makes at most

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
  local ok, message, code, detail = self:prepare(mode.deadline - self.clock:boot())
  if not ok then
    return nil, message, code, detail
  end
  local _ <close> = self.cache:visit(mode.early and not self.config.wait)
  if mode.glances and turns.glance(self) then
    return true
  elseif mode.glances and self:waits() > 0 then
    return self.backoff:remembered()
  end
  local hopeless = self.unread and not mode.early and is_hopeless(self, mode)
  if self:adopt_shared(mode.since) then
    return true
  elseif hopeless then
    return self.backoff:remembered()
  elseif mode.since and self:pace().not_before > self.clock:boot() then
    task.wait(self:pace().not_before)
  end
  return asking.insist(self, mode)
end

--- The renewal under way, if there is one. A forked child forgets that of its parent, and one that is stuck is given
--- up.
---@param self central.auth.Renewal
---@return central.auth.Task?
function under_way.current(self)
  local current = self.task
  if current and current:alive() and current:ours() and self.clock:boot() <= self.mode.deadline + LOST then
    return current
  elseif current and current:ours() then
    if not (current:alive() and not current:running() and current:look()) then -- what has come meanwhile counts
      current:close(errors.fail("timeout", "the renewal took too long"))
    end
  elseif current and self.cache.forget then
    self.cache:forget()
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
---@param self central.auth.Renewal
---@param mode central.auth.Mode
---@param background? boolean
---@return central.auth.Task?
function under_way.join(self, mode, background)
  local current = self:under_way()
  if not current then
    return start(self, mode, background or self.host:waits())
  elseif current:running() then
    return errors.fail("config",
      "a token was asked for by the function that provides the client's own secret or assertion")
  end
  local joined = self.mode
  if joined.glances and not mode.glances then -- and it goes on to what is wanted now
    joined.glances, joined.since = nil, mode.since
  end
  joined.deadline, joined.tries = math.max(joined.deadline, mode.deadline), math.max(joined.tries, mode.tries)
  joined.early = joined.early and mode.early
  return current
end

local function may_glance(self)
  local now = self.clock:boot()
  if not self.cache.glance or now < (self.glance_at or 0) then
    return false
  end
  self.glance_at = now + GLANCE
  return true
end

--- What a token has to wait for, where none lies ready. nil where it can't be had now, as the failure behind says, or
--- is there: ours is `usable` and will do, or others brought one.
---@param self central.auth.Renewal
---@param usable boolean
---@param background? boolean
---@return central.auth.Task? task
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function under_way.begin(self, usable, background)
  local now = self.clock:boot()
  local waits = self:waits() > 0 and not self.unread
  if not self:under_way() and (waits or usable and now < self.hold_until) then
    if usable or self:adopt_shared() then
      return nil
    elseif not may_glance(self) then
      return self.backoff:remembered()
    end
  end
  local mode = { deadline = now + self.config.timeout, tries = under_way.TRIES,
    glances = waits and self.cache.glance and true }
  return under_way.join(self, mode, background)
end

--- A renewal that nobody waits for, begun or moved on; its failure costs nothing.
---@param self central.auth.Renewal
function under_way.see_to_it(self)
  local current = self:under_way()
  local now = self.clock:boot()
  if not current and self:waits() == 0 and now >= self.hold_until then
    current = start(self, { deadline = now + self.config.timeout, tries = 1, early = true }, true)
  end
  if current and not current:running() then
    current:look()
  end
end

return under_way

-- The time at which a call must return. Made once per call and passed to everything that waits.
-- SPDX-License-Identifier: MIT

local MIN_ATTEMPT = 0.1 -- seconds an attempt needs at least: a shorter one would only hide the failure before it

local deadline = {}

---@class central.auth.Deadline
---@field at number seconds on the boot clock
local Deadline = {}
Deadline.__index = Deadline

--- Makes a deadline `seconds` after `began`.
---@param clock userdata
---@param seconds number
---@param began? number boot time, by default now
---@param call? table what has this deadline; becomes it
---@return central.auth.Deadline
function deadline.new(clock, seconds, began, call)
  local self = call or {}
  self._clock, self.at = clock, (began or clock:boot()) + seconds
  return setmetatable(self, Deadline)
end

--- Returns the seconds left; 0 after the deadline.
---@return number
function Deadline:left()
  local left = self.at - self._clock:boot()
  return left > 0 and left or 0
end

--- Whether an attempt that begins at this boot time may end before the deadline.
---@param at number
---@return boolean
function Deadline:allows(at)
  return at + MIN_ATTEMPT < self.at
end

---@return boolean
function Deadline:over()
  return self._clock:boot() >= self.at
end

return deadline

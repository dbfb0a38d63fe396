-- How this program waits: by blocking its thread, or, where the option `wait` says how, by letting the coroutine that
-- waits yield to the event loop around it.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local defer = require("central.auth.util").defer
local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"

local SIGNAL_POLL = 1 -- seconds: Ctrl-C reaches Lua at least so often

local waiter = {}

---@class central.auth.Waiter
local Waiter = {}
Waiter.__index = Waiter

--- That of one client.
---@param source central.auth.TokenSource
---@return central.auth.Waiter
function waiter.new(source)
  local clock = source.clock
  return setmetatable({
    _clock = clock, _wait = source.config.wait,
    _sleep = source.parts.sleep or function(seconds) clock:sleep(seconds) end,
    _notifiers = setmetatable({}, { __mode = "k" }), -- that wake the callers waiting here
  }, Waiter)
end

--- Whether this coroutine waits by the event loop.
---@return boolean
function Waiter:yields()
  return self._wait ~= nil and coroutine.isyieldable()
end

--- A notifier to wait by in the event loop; nil, without a failure, where the caller blocks.
---@return userdata? notifier
---@return central.auth.Failure? failure
function Waiter:notifier()
  if not self._wait or not self:yields() then
    return nil
  end
  local notifier, why = core.notifier()
  if not notifier then
    return nil, errors.failure("config", "no descriptor is left to wait with: " .. why)
  end
  return notifier
end

--- Waits by the event loop until the notifier is signalled or the client is closed, so many seconds at most.
---@param notifier userdata
---@param seconds number
function Waiter:poll(notifier, seconds)
  self._notifiers[notifier] = true
  local _ <close> = defer(function() self._notifiers[notifier] = nil end)
  self._wait(notifier:fd(), seconds)
end

--- Waits until a renewal has something to do, so many seconds at most.
---@param renewal central.auth.Renewal
---@param seconds number
---@return central.auth.Failure? failure
function Waiter:wait_for(renewal, seconds)
  if not self:yields() or renewal:is_inline() then
    renewal:wait(math.min(seconds, SIGNAL_POLL), seconds)
    return nil
  end
  local own <close>, why = renewal:notifier()
  if not own then
    return errors.failure("config", "no descriptor is left to wait with: " .. why)
  end
  self:poll(own, seconds)
end

--- Lets so many seconds pass, fewer where the client is closed.
---@param seconds number
function Waiter:pause(seconds)
  local at = self._clock:boot() + seconds
  while seconds > 0 and not self._closed do
    local notifier <close> = self:notifier() -- another one after a fork
    if notifier then
      self:poll(notifier, seconds)
    else
      self._sleep(math.min(seconds, SIGNAL_POLL))
    end
    seconds = at - self._clock:boot()
  end
end

--- Wakes all callers that wait here. Safe to call again.
function Waiter:close()
  self._closed = true
  for notifier in pairs(self._notifiers) do
    if notifier:ours() then
      notifier:signal()
    end
  end
end

return waiter

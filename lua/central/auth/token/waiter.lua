-- How this host waits: by blocking its thread, or, where the option `wait` tells how, by letting the coroutine that
-- wants something yield to the event loop around it.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"
local task = require "central.auth.token.task"

local errors = lazy "central.auth.errors"

local SLACK = 0.05 -- seconds: who ends at the same moment as we tells better why
local STEP = 1     -- seconds between looks at signals: Ctrl-C reaches Lua at least so often

local host = {}

---@class central.auth.Host
---@field clock userdata
---@field sleep fun(seconds: number)
---@field wait? fun(fd: integer, seconds: number)
local Host = {}
Host.__index = Host

--- That of one client.
---@param clock userdata
---@param wait? fun(fd: integer, seconds: number) the option
---@param sleep? fun(seconds: number) for specs
---@return central.auth.Host
function host.new(clock, wait, sleep)
  return setmetatable({
    clock = clock, wait = wait, sleep = sleep or function(seconds) clock:sleep(seconds) end,
    _runs = setmetatable({}, { __mode = "k" }), -- tasks under way for one caller each …
    _pauses = setmetatable({}, { __mode = "k" }), -- … and alarms of those that pause
  }, Host)
end

--- Whether it waits for us: it told how, and this is a coroutine that may yield.
---@return boolean
function Host:waits()
  return self.wait ~= nil and coroutine.isyieldable()
end

-- An alarm, where the host waits for one; false and a failure where there is no descriptor for it.
local function new_alarm(self)
  if not self:waits() then
    return nil
  end
  local alarm, why = core.alarm()
  if not alarm then
    return false, select(2, errors.fail("config", "no descriptor is left to wait with: " .. why))
  end
  return alarm
end

-- By the host's own way of waiting, each waiter with a descriptor of its own where others wait for the same.
local function wait_for_alarm(self, current, seconds, alone)
  if alone then
    self.wait(current.alarm:fd(), seconds)
    return true
  end
  local own <close>, why = current.alarm:copy()
  if not own then
    return errors.fail("config", "no descriptor is left to wait with: " .. why)
  end
  self.wait(own:fd(), seconds)
  return true
end

--- Waits for a task, till the deadline at most, and returns its results; false where it was given up, or began in a
--- process of which this is a forked child: then begin anew.
---@param current central.auth.Task
---@param deadline number boot time
---@param alone? boolean nobody else waits for it
function Host:await(current, deadline, alone)
  local _ <close> = setmetatable({}, { __close = function(_, raised)
    if raised and not current.alarm then -- nobody else would move it on
      current:close(false)
    end
  end })
  while true do
    local left = deadline + SLACK - self.clock:boot()
    if not current:ours() then
      return false
    elseif current:look() then
      return table.unpack(current.results, 1, current.results.n)
    elseif left <= 0 then
      return errors.fail("timeout", "it took too long")
    elseif current.alarm and self:waits() then
      local ok, message, code, detail = wait_for_alarm(self, current, left, alone)
      if not ok then
        return nil, message, code, detail
      end
    else
      current:block(left, self.sleep)
    end
  end
end

--- Runs straight-line code that waits by `task.wait`, till the deadline at most; its results. For the caller alone:
--- it is given up when the caller is.
---@param body fun(alarm?: userdata): any
---@param deadline number boot time
function Host:run(body, deadline)
  if self.closed then
    return errors.closed()
  end
  local alarm <close>, message, code, detail = new_alarm(self)
  if alarm == false then
    return nil, message, code, detail
  end
  local current = task.new(self.clock, function() return body(alarm) end, alarm, true)
  local _ <close> = setmetatable({}, { __close = function()
    self._runs[current] = nil
    current:close()
  end })
  self._runs[current] = true
  local results = table.pack(self:await(current, deadline, true))
  if results[1] == false then
    return errors.fail("closed", "this began in another process, which was forked, or was given up")
  end
  return table.unpack(results, 1, results.n)
end

--- Lets so many seconds pass, fewer where the client is closed; by blocking where there is no descriptor to wait with.
---@param seconds number
function Host:pause(seconds)
  local until_ = self.clock:boot() + seconds
  local alarm <close> = new_alarm(self) or nil
  local left = seconds
  if alarm then
    self._pauses[alarm] = true
  end
  while left > 0 and not self.closed do
    if alarm then
      alarm:set(left)
      self.wait(alarm:fd(), left)
    else
      self.sleep(math.min(left, STEP))
    end
    left = until_ - self.clock:boot()
  end
end

--- Ends what runs here and every pause. Safe to call again.
function Host:close()
  self.closed = true
  for current in pairs(self._runs) do
    current:close(errors.closed())
  end
  for alarm in pairs(self._pauses) do
    if alarm:ours() and alarm:fd() >= 0 then
      alarm:set(0)
    end
  end
end

return host

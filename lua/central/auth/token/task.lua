-- Straight-line code that waits without blocking anybody: a coroutine that says what it waits for and is moved on by
-- whoever looks at it. Its alarm, where it has one, rings when a look is worth while.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"

local task = {}

local STEP = 1     -- seconds between looks at signals: Ctrl-C reaches Lua at least so often
local SILENT = 1e9 -- seconds

-- Marks our own yields. Any other comes from a user's function (a secret's, say) that talks to the event loop around
-- us, and goes on to that.
local WAIT = {}

---@class central.auth.Task
---@field done boolean
---@field results table packed; what the body returned, once it is done; false where it was given up
---@field alarm? userdata
local Task = {}
Task.__index = Task

-- The coroutines of tasks.
local THREADS = setmetatable({}, { __mode = "k" })

--- Within a task: waits for a moment (boot time), or for an object whose `wait(seconds)` says that it is ready. Where
--- that does not ring the task's alarm, a look is due every `tick` seconds.
---@param what number | table
---@param tick? number
function task.wait(what, tick)
  coroutine.yield(WAIT, what, tick)
end

--- Whether it is a task's own code that asks.
---@return boolean
function task.inside()
  return THREADS[coroutine.running()] ~= nil
end

--- A task that has not begun: `look` begins it.
---@param clock userdata
---@param body fun(): any
---@param alarm? userdata
---@param borrows? boolean the alarm is the caller's, who closes it
---@return central.auth.Task
function task.new(clock, body, alarm, borrows)
  local thread = coroutine.create(body)
  THREADS[thread] = true
  return setmetatable({
    _clock = clock, _thread = thread, _awaits = clock:boot(), alarm = alarm, _borrows = borrows, done = false,
  }, Task)
end

--- Whether it is its own code that asks.
function Task:running()
  local status = coroutine.status(self._thread)
  return status == "running" or status == "normal"
end

--- Whether there is more to come of it.
function Task:alive()
  return not self.done and coroutine.status(self._thread) ~= "dead"
end

--- Whether it began in this process: a forked child has but the memory of it.
function Task:ours()
  return not self.alarm or self.alarm:ours()
end

-- What it waits for; nil while its code runs, or waits in a way that is none of ours.
local function awaited(self)
  return not self._abroad and not self:running() and self._awaits or nil
end

local function is_due(self)
  local awaits = awaited(self)
  if type(awaits) == "number" then
    return self._clock:boot() >= awaits
  end
  return awaits and awaits:wait(0)
end

-- Not in a forked child, where it would ring for the parent.
local function ring(self, seconds)
  if self.alarm and self:ours() then
    self.alarm:set(seconds)
  end
end

-- Passes a yield of others on; what came back. Whose coroutine is closed meanwhile takes the task along: nobody else
-- can answer it.
local function pass_on(self, ...)
  local back
  local _ <close> = setmetatable({}, { __close = function()
    self._abroad = false
    if not back then
      self:close(false)
    end
  end })
  self._abroad = true
  back = table.pack(coroutine.yield(...))
  return table.unpack(back, 1, back.n)
end

-- Results of a resumption that ended in a wait or at the end.
local function resume(self)
  local thread = self._thread
  local results = table.pack(coroutine.resume(thread))
  while results[1] and results[2] ~= WAIT and coroutine.status(thread) == "suspended" do
    if not coroutine.isyieldable() then
      self:close(errors.fail("config", "a function of the client's options yields, and here is nothing to yield to"))
      break
    end
    results = table.pack(coroutine.resume(thread, pass_on(self, table.unpack(results, 2, results.n))))
  end
  return results
end

-- Rings the last time: copies of the descriptor stay readable. The task's own is closed here, unless a waiter polls it.
local function ring_out(self)
  ring(self, 0)
  if self.alarm and not self._borrows then
    self.alarm:close()
  end
end

local function finish(self, results)
  self.done, self.results = true, results
  coroutine.close(self._thread)
  ring_out(self)
end

local function go_on(self)
  self._awaits = 0 -- should memory run out in the middle of this, the next look goes on …
  if coroutine.status(self._thread) == "dead" then -- … unless that was when the end was to be noted
    self.done, self._raised = true, "not enough memory"
    return
  end
  ring(self, SILENT)
  local results = resume(self)
  if self.done then
    return
  elseif self._end then -- its own code closed it
    finish(self, self._end)
    return
  elseif coroutine.status(self._thread) == "suspended" then
    self._awaits, self._tick = results[3], results[4]
    if type(self._awaits) == "number" then
      ring(self, math.max(self._awaits - self._clock:boot(), 0))
    end
    return
  end
  self.done = true
  ring_out(self)
  if results[1] then
    self.results = table.pack(table.unpack(results, 2, results.n))
  else
    self._raised = results[2]
    coroutine.close(self._thread)
  end
end

--- Moves it on as far as it can go without waiting. Whether it is done; an error within reaches all who look.
---@return boolean
function Task:look()
  while not self.done and not self:running() and is_due(self) do
    go_on(self)
  end
  if self._tick and not self.done then
    ring(self, self._tick)
  end
  if self._raised ~= nil then
    error(self._raised, 0)
  end
  return self.done
end

--- Waits for what it waits for, so many seconds at most; blocks this thread.
---@param seconds number
---@param sleep fun(seconds: number)
function Task:block(seconds, sleep)
  local awaits = awaited(self)
  if awaits and type(awaits) ~= "number" then
    awaits:wait(math.min(seconds, STEP))
  else
    sleep(math.max(math.min(seconds, awaits and awaits - self._clock:boot() or STEP), 0))
  end
end

--- Ends it with these results: false where its waiters are to begin anew. Where its own code calls this, it ends at its
--- next wait.
function Task:close(...)
  if self.done then
    return
  elseif self:running() then
    self._end = table.pack(...)
    return
  end
  finish(self, table.pack(...))
end

return task

-- Adapters for event loops, for the option `wait`: the coroutine yields until a descriptor is readable, and the loop
-- runs other coroutines in the meantime. The adapters load cqueues and copas on first use.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local defer = require("central.auth.util").defer

local loops = {}

--- Waits in a coroutine of a cqueues controller.
---@param fd integer
---@param seconds number
function loops.cqueues(fd, seconds)
  local cqueues = require "cqueues"
  cqueues.poll({ pollfd = fd, events = "r" }, seconds)
  cqueues.cancel(fd) -- cqueues would keep the number after the descriptor is closed
end

--- Waits in a coroutine that runs in a callback of luv, libuv's binding.
---@param fd integer
---@param seconds number
function loops.luv(fd, seconds)
  local uv = package.loaded.luv -- luv crashes after the end of a coroutine that has loaded it
    or error('load luv by require "luv" before a coroutine waits by it', 0)
  local waiter, poll, timer = coroutine.running(), uv.new_poll(fd), uv.new_timer()
  local waiting = true
  local function wake()
    if waiting then
      waiting = false
      local ok, raised = coroutine.resume(waiter)
      if not ok then
        error(debug.traceback(waiter, tostring(raised)), 0)
      end
    end
  end
  poll:start("r", wake)
  timer:start(math.ceil(seconds * 1000), 0, wake)
  local _ <close> = defer(function()
    waiting = false
    poll:close()
    timer:close()
  end)
  coroutine.yield()
end

-- Makes a socket object for copas from a descriptor. Its first read reports a timeout, so that copas waits for the
-- descriptor.
local function socket_of(fd)
  local was_read = false
  return {
    getfd = function() return fd end,
    dirty = function() return false end,
    close = function() end,
    receive = function()
      if not was_read then
        was_read = true
        return nil, "timeout"
      end
      return ""
    end,
  }
end

--- Waits in a thread of copas. As copas has no timeout for a single descriptor, the descriptor of a timer is added to
--- the set of sockets that copas.receive yields. If no timer can be made, this function waits without a timeout.
---@param fd integer
---@param seconds number
function loops.copas(fd, seconds)
  local receive = require("copas").receive
  local timer <close> = core.timer(seconds)
  if not timer then
    receive(socket_of(fd))
    return
  end
  local awaited, expiry, start = socket_of(fd), socket_of(timer:fd()), coroutine.wrap(receive)
  local _, reading = start(expiry) -- yields copas's set of sockets
  start()
  local _ <close> = defer(function()
    for _, socket in ipairs { awaited, expiry } do
      reading:remove(socket)
      reading:pop(socket)
    end
  end)
  reading:insert(expiry)
  reading:push(expiry, coroutine.running())
  receive(awaited)
end

return loops

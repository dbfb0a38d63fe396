-- Ready-made ways to wait, for the option `wait`: a coroutine of an event loop yields until a descriptor is readable,
-- and the loop goes on with others. Each loads its library when it is first used.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"

local loops = {}

--- For coroutines of a cqueues controller.
---@param fd integer
---@param seconds number
function loops.cqueues(fd, seconds)
  local cqueues = require "cqueues"
  cqueues.poll({ pollfd = fd, events = "r" }, seconds)
  cqueues.cancel(fd) -- which would keep the number in mind when it stands for something else
end

--- For coroutines that run in callbacks of luv, libuv's binding.
---@param fd integer
---@param seconds number
function loops.luv(fd, seconds)
  local uv = require "luv"
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
  local _ <close> = setmetatable({}, { __close = function()
    waiting = false
    poll:close()
    timer:close()
  end })
  coroutine.yield()
end

-- A descriptor as copas sees a socket, at which nothing lies ready the first time.
local function socket_of(fd)
  local looked = false
  return {
    getfd = function() return fd end,
    dirty = function() return false end,
    close = function() end,
    receive = function()
      if not looked then
        looked = true
        return nil, "timeout"
      end
      return ""
    end,
  }
end

--- For threads of copas. It knows no timeouts for single descriptors: a timer's descriptor is waited for beside this
--- one, in the set of sockets that copas.receive yields. Where none is left, this one alone, which is readable in time
--- as a rule.
---@param fd integer
---@param seconds number
function loops.copas(fd, seconds)
  local receive = require("copas").receive
  local timer <close> = core.alarm()
  if not timer then
    receive(socket_of(fd))
    return
  end
  timer:set(seconds)
  local asked, late, look = socket_of(fd), socket_of(timer:fd()), coroutine.wrap(receive)
  local _, reading = look(late)
  look()
  local _ <close> = setmetatable({}, { __close = function()
    for _, socket in ipairs { asked, late } do
      reading:remove(socket)
      reading:pop(socket)
    end
  end })
  reading:insert(late)
  reading:push(late, coroutine.running())
  receive(asked)
end

return loops

-- Ready-made ways to wait, for the option `wait`: a coroutine of an event loop yields until a descriptor is readable,
-- and the loop goes on with others. Each loads its library when it is first used.
-- SPDX-License-Identifier: MIT

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

--- For threads of copas. It knows no timeouts for single descriptors; ours become readable in time.
---@param fd integer
function loops.copas(fd)
  local looked = false
  require("copas").receive({ -- as copas sees a socket, at which nothing lies ready the first time
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
  })
end

return loops

-- In place of central.auth.http: fetches and API calls with the replies, the time and the records of a spec. Each is a
-- thread of the world that the clients of one clock share.
-- SPDX-License-Identifier: MIT

local fetch = require "spec.support.scripted_fetch"

local Transfer = {}
Transfer.__index = Transfer

local transfer = {}

--- `network`: answer(request) -> reply, random(), world, took; gets requests, slept and on_its_way.
function transfer.new(network)
  local all = network.world
  return setmetatable({ network = network, world = all, mark = all:mark(), notifiers = {} }, Transfer)
end

local function signal(self)
  while self.notifiers[1] do
    local copy <close> = table.remove(self.notifiers)
    copy:signal()
  end
end

local function start(self, body, deadline)
  self.thread = self.world:start(body, function() signal(self) end, self.network, deadline)
end

-- Whatever is begun. Whether it may be.
local function begin(self, notifier)
  assert(not self.thread or self.thread.done, "one thing at a time")
  self.world:catch_up()
  self.thread, self.inline = nil, nil
  if self.network.why then
    return nil, self.network.why
  end
  return self:notify(notifier)
end

--- Starts a fetch. With `network.threadless` as where no thread can be started, with `network.why` not at all.
function Transfer:fetch(order, notifier)
  local network = self.network
  if network.threadless and not order.waits then
    return nil, "no thread can be started"
  end
  local ok, why = begin(self, notifier)
  if not ok then
    return nil, why
  end
  local current = fetch.new(network, order)
  self.is_call = false
  if network.threadless then
    self.inline = current
    signal(self)
    return true, true
  end
  start(self, function() return current:run() end, current.deadline)
  self.world:catch_up()
  return true
end

--- Starts an API call. With `seconds` it waits for its end as `finish` does.
function Transfer:call(request, notifier, _, at, _, seconds)
  local ok, why = begin(self, notifier)
  if not ok then
    return nil, why
  end
  local network, deadline = self.network, math.min(at, self.world:boot() + (request.timeout or math.huge))
  self.is_call = true
  start(self, function() return fetch.exchange(network, request, deadline) end, deadline)
  self.world:catch_up()
  return seconds and self:finish(seconds)
end

--- Whether it is done, after so many seconds at most; 0 only looks. A fetch without a thread runs in here, as a whole,
--- for `most` seconds; with 0 it does not.
function Transfer:wait(seconds, most)
  local current = self.inline
  if current and most ~= 0 and self:ours() then
    self.inline = nil
    current.deadline = most and self.world:boot() + most or current.deadline
    start(self, function() return current:run() end, current.deadline)
    self.world:pass(math.huge, self.thread)
  elseif self.thread and not self.thread.done and self:ours() then
    self.world:pass(math.min(seconds, 1), self.thread)
  end
  return not self:ours() or not self.inline and (not self.thread or self.thread.done == true)
end

-- Of a thread that is done. Its failure is the spec's, except that its memory may have ended.
local function outcome(self, thread)
  local is_memory = tostring(thread.failure):find "not enough memory"
  if is_memory and not self.is_call then
    return { outcome = "memory", attempts = {} }
  elseif thread.failure then
    error(thread.failure, 0)
  end
  return thread.result
end

--- What a fetch, or a call, came to; with `seconds` it waits first, and returns nothing if it is not done.
function Transfer:finish(seconds)
  if seconds and not self:wait(seconds) then
    return nil
  end
  local thread = assert(self.thread, "nothing was started")
  if not self:ours() then
    self.thread = nil
    return { outcome = "forked", code = "network", message = "the process was forked meanwhile" }
  end
  assert(thread.done, "it is not done")
  local result = outcome(self, thread)
  self.thread = nil
  return result
end

--- This notifier, too, is signalled at the end; at once if nothing goes on without the caller.
function Transfer:notify(notifier)
  local copy = notifier and assert(notifier:copy())
  self.notifiers[#self.notifiers + 1] = copy
  if copy and (self.inline or self.thread and self.thread.done) then
    copy:signal()
    copy:close()
    self.notifiers[#self.notifiers] = nil
  end
  return true
end

function Transfer:cancel()
  if self.thread and not self.thread.done and self:ours() then
    self.world:cancel(self.thread)
  end
  self.thread, self.inline = nil, nil
  while self.notifiers[1] do
    table.remove(self.notifiers):close()
  end
end

Transfer.close = Transfer.cancel

--- Whether this process made it.
function Transfer:ours()
  return self.mark:ours()
end

return transfer

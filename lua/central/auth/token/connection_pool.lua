-- The API calls of one client, several at a time, and looks at shared records beside its renewal.
-- SPDX-License-Identifier: MIT

local defer = require("central.auth.util").defer
local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"

local MAX_ACTIVE = 16 -- API calls at a time; more wait. Token requests never do
local LOOK = 0.1      -- seconds for which a free place is kept for who has waited longest, and between looks for one
local STEP = 1        -- seconds between looks at signals, for a caller that blocks

local connection_pool = {}

---@class central.auth.Pool
local Pool = {}
Pool.__index = Pool

--- Nothing is under way yet.
---@param source central.auth.TokenSource
---@return central.auth.Pool
function connection_pool.new(source)
  return setmetatable({
    _clock = source.clock, _waiter = source.waiter, _transfers = source.transfers,
    -- By transfer: whose it is and what wakes its coroutine. A coroutine that is collected takes its transfer along.
    _active = setmetatable({}, { __mode = "k" }), _looks = setmetatable({}, { __mode = "k" }),
    _queue = setmetatable({}, { __mode = "k" }), _tickets = 0, -- of who waits: ticket and last look, by notifier
    _has_places = false, -- whether there ever was a call that did not block
  }, Pool)
end

-- Whether all places are taken: by requests on their way, not by those whose coroutine did not look since.
function Pool:_is_full()
  local count, under_way = 0, 0
  for _ in pairs(self._active) do
    count = count + 1
  end
  for transfer in pairs(count >= MAX_ACTIVE and self._active or {}) do
    under_way = under_way + (transfer:wait(0) and 0 or 1)
  end
  return under_way >= MAX_ACTIVE
end

-- Whoever has waited longest, but for those who have not looked since a place was found free long enough ago.
function Pool:_first_in_queue()
  local first, lowest = nil, math.huge
  local free_since = self._free_since or math.huge
  local is_due = self._clock:boot() - free_since >= LOOK
  for notifier, entry in pairs(self._queue) do
    if not notifier:ours() then -- this is a forked child
      self._queue[notifier] = nil
    elseif entry.ticket < lowest and not (is_due and entry.looked < free_since) then
      first, lowest = notifier, entry.ticket
    end
  end
  return first
end

function Pool:_wake_first()
  local first = self:_first_in_queue()
  if first then
    first:signal()
  end
end

-- Whether there is a free place for who waits by this notifier.
function Pool:_has_place(notifier)
  local now = self._clock:boot()
  self._queue[notifier].looked = now
  if self:_is_full() then
    self._free_since = nil
    return false
  end
  self._free_since = self._free_since or now
  return self:_first_in_queue() == notifier
end

-- Whether all places are taken, or others wait for one.
function Pool:_must_wait()
  return next(self._active) and self:_is_full() or next(self._queue) and self._waiter:yields()
end

-- Waits until a place is free, or `owner` is closed. nil and a failure where there is none in time.
function Pool:_wait_for_place(deadline, owner)
  local notifier <close>, failure = self._waiter:notifier()
  if failure then
    return nil, failure
  elseif notifier then
    self._tickets = self._tickets + 1
    self._queue[notifier] = { ticket = self._tickets, looked = 0 }
  else
    collectgarbage() -- only coroutines that were dropped can have the places
  end
  local _ <close> = defer(function() self._queue[notifier or 0] = nil end)
  while notifier and notifier:ours() and not self:_has_place(notifier) and not deadline:over() and not owner.closed do
    notifier:clear()
    self._waiter:poll(notifier, math.min(deadline:left(), LOOK))
  end
  if owner.closed or not self:_is_full() then
    return true
  end
  return nil, errors.failure("timeout",
    ("%d requests of this client are under way, and none ended in time"):format(MAX_ACTIVE))
end

-- Waits for the end of a request that has not ended yet. An early one yields once it is sent, and then each second, so
-- that its caller hears Ctrl-C. Returns nothing if its owner is closed.
function Pool:_await(transfer, notifier, call, owner, is_early)
  local came
  while not came and not owner.closed do
    if notifier then
      self._waiter:poll(notifier, call:left() + STEP)
    elseif is_early then
      coroutine.yield()
    end
    came = not owner.closed and transfer:finish(notifier and 0 or STEP)
  end
  return came
end

-- The place of a request that is under way. A caller that blocks needs none: no other request begins before it returns.
local Place = {}

-- Makes room for who waits for it.
function Place:__close()
  local pool = self.pool
  pool._active[self.transfer] = nil
  if next(pool._queue) then
    pool:_wake_first()
  end
end

function Pool:_take_place(transfer, owner, notifier)
  local place = setmetatable({ pool = self, transfer = transfer, owner = owner, notifier = notifier }, Place)
  self._active[transfer], self._has_places = place, true
  return place
end

--- Makes a request and waits for its reply.
---@param request table url, body, authorization, and what else transfer:call knows
---@param call central.auth.Deadline of an API call with `token`, `attempts` and `no_repeat`
---@param owner central.auth.TokenSource which may be a tenant's: with it the request ends
---@param is_early? boolean yields when it is sent
---@return central.auth.RawReply? raw
---@return central.auth.Failure? failure
function Pool:call(request, call, owner, is_early)
  if self._has_places and self:_must_wait() then
    local free, failure = self:_wait_for_place(call, owner)
    if not free then
      return nil, failure
    end
  end
  if owner.closed then
    return nil, errors.closed()
  end
  local notifier <close>, failure = self._waiter:notifier()
  if failure then
    return nil, failure
  end
  local transfer <close>, why = self._transfers:take()
  if not transfer then
    return nil, why
  end
  local here = (notifier or is_early) and 0 or STEP -- seconds for which transfer:call may block
  local _ <close> = here == 0 and self:_take_place(transfer, owner, notifier) or nil
  local came, problem = transfer:call(request, notifier, call.token, call.at, call.no_repeat, here)
  if problem then
    return nil, errors.failure("config", problem)
  elseif self._has_places and next(self._queue) and not self:_is_full() then
    self:_wake_first()
  end
  came = came or self:_await(transfer, notifier, call, owner, is_early)
  if not came then
    transfer:close()
    failure = errors.closed()
    failure.may_be_sent = true
    return nil, failure
  end
  self._transfers:give_back(transfer)
  if owner.listens then
    owner.events:add_call(request, call, came)
  end
  if came.status then
    return came
  end
  return nil, errors.failure(came.code, came.message, { proxy_status = came.proxy_status, reached = came.reached })
end

--- Runs a fetch that makes no request, beside the renewal under way, until the deadline at most. Its result; nil where
--- there is none in time.
---@param order table
---@param more? table to be added to the order
---@param deadline central.auth.Deadline
---@param owner central.auth.TokenSource
---@return table?
function Pool:look(order, more, deadline, owner)
  order.look_only, order.waits, order.tries = true, true, 1
  for name, value in pairs(more or {}) do
    order[name] = value
  end
  local notifier <close> = self._waiter:notifier()
  local transfer = self._transfers:take()
  if not transfer then
    return nil
  end
  self._looks[transfer] = { owner = owner, notifier = notifier }
  local _ <close> = defer(function()
    self._looks[transfer] = nil
    if not transfer:wait(0) then
      transfer:cancel()
    end
    self._transfers:give_back(transfer)
  end)
  local started, is_inline = transfer:fetch(order, notifier)
  while started and not owner.closed and not transfer:wait(0) and not deadline:over() do
    if notifier and not is_inline then
      self._waiter:poll(notifier, deadline:left())
    else
      transfer:wait(math.min(deadline:left(), STEP))
    end
  end
  return started and not owner.closed and transfer:wait(0) and transfer:finish() or nil
end

--- Requests of closed clients, under way or waiting for a place, end with the code `closed`; also where the coroutine
--- that waits was dropped.
function Pool:close()
  for _, transfers in ipairs { self._active, self._looks } do
    for transfer, call in pairs(transfers) do
      if call.owner.closed and transfer:ours() then
        transfer:cancel()
        if call.notifier then
          call.notifier:signal()
        end
      end
    end
  end
  for notifier in pairs(self._queue) do
    notifier:signal()
  end
end

return connection_pool

-- The requests of one client over the network, several at a time: on few connections that are kept. Tenants use that of
-- their parent.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"
local task = require "central.auth.token.task"

local errors = lazy "central.auth.errors"

local KEPT = 4          -- unused connections of a lane that are kept
local LIMIT = 16        -- requests of a lane at a time; more wait
local LOOK_AGAIN = 0.01 -- seconds between looks for a place

local pool = {}

---@class central.auth.Pool
local Pool = {}
Pool.__index = Pool

-- A request and, once it has come, its reply. What is waited for in place of the transport, which may serve another
-- request before this reply is read.
local Order = {}
Order.__index = Order

function Order:wait(seconds)
  return self.reply ~= nil or self.transport:wait(seconds)
end

-- The orders that have a place; a coroutine that is collected takes its order along. And tickets of those that wait for
-- a place, the oldest first.
local function lane()
  return { idle = {}, busy = setmetatable({}, { __mode = "k" }), queue = {}, tickets = 0 }
end

--- Empty: the first transport is made when it is needed.
---@param config central.auth.Config
---@param clock userdata
---@param make? fun(): table another transport than the network's, for specs
---@return central.auth.Pool
function pool.new(config, clock, make)
  return setmetatable({
    _config = config, _clock = clock, _tokens = lane(), _calls = lane(),
    _make = make or function() return require("central.auth.token.transport").new(clock) end,
  }, Pool)
end

-- Calls never keep tokens waiting; and a request by HTTP/1.1 must not find a connection that speaks HTTP/2: libcurl
-- would use it.
local function lane_of(self, request)
  return request.http2 and self._calls or self._tokens
end

local function give_back(self, own, order, unharmed)
  local transport = order.transport
  own.busy[order], order.transport = nil, nil
  if not unharmed or self._closed or #own.idle >= KEPT then
    transport:close()
  else
    own.idle[#own.idle + 1] = transport
  end
end

-- Reads a reply that has come; its place and its connection are free for others.
local function read(self, own, order)
  order.reply = table.pack(order.transport:finish())
  give_back(self, own, order, true)
end

local function places_taken(own)
  local count = 0
  for _ in pairs(own.busy) do
    count = count + 1
  end
  return count
end

-- Places that are free. Only requests on their way have one: replies that have come, and that nothing has read yet, are
-- read now.
local function free_places(self, own)
  if places_taken(own) < LIMIT then
    return LIMIT - places_taken(own)
  end
  for order in pairs(own.busy) do
    if order:wait(0) then
      read(self, own, order)
    end
  end
  return LIMIT - places_taken(own)
end

-- The position of a ticket among those that wait. A ticket before this one loses its position when its owner has not
-- checked since it was due, and this one has checked twice: its coroutine may never run again. When it checks again,
-- the ticket gets its position back.
local function position_of(own, ticket)
  local queue, i = own.queue, 1
  while queue[i] and queue[i].number < ticket.number do
    if ticket.earlier and queue[i].due < ticket.earlier then
      table.remove(queue, i)
    else
      i = i + 1
    end
  end
  if queue[i] ~= ticket then
    table.insert(queue, i, ticket)
  end
  return i
end

local function withdraw(own, ticket)
  for i, other in ipairs(own.queue) do
    if other == ticket then
      table.remove(own.queue, i)
      return
    end
  end
end

-- Waits until there is a place, first come, first served. Whether there is one before the deadline. Tickets far from
-- the front look less often: any number of them costs about the same.
local function wait_for_place(self, own, deadline)
  own.tickets = own.tickets + 1
  local ticket = { number = own.tickets }
  local _ <close> = setmetatable({}, { __close = function() withdraw(own, ticket) end })
  while true do
    local now, position = self._clock:boot(), position_of(own, ticket)
    if position <= LIMIT and position <= free_places(self, own) then
      return true
    elseif now >= deadline then
      return false
    end
    ticket.earlier, ticket.before = ticket.before, now
    ticket.due = now + LOOK_AGAIN * ((position - 1) // LIMIT + 1)
    task.wait(ticket.due)
  end
end

-- An order with a transport; nil and a failure where there is no place in time.
local function take(self, own, deadline)
  if (own.queue[1] or places_taken(own) >= LIMIT) and not wait_for_place(self, own, deadline) then
    return errors.fail("timeout", ("%d requests of this client are under way, and none ended in time"):format(LIMIT))
  end
  local order = setmetatable({ transport = table.remove(own.idle) or self._make() }, Order)
  own.busy[order] = order.transport
  return order
end

-- What all requests of this client have in common.
local function complete(self, request, deadline)
  local config, seconds = self._config, math.max(deadline - self._clock:boot(), 0.001)
  for _, name in ipairs { "user_agent", "ca_file", "ca_path", "crl_file", "cert_file", "key_file", "proxy" } do
    request[name] = config[name]
  end
  request.timeout, request.connect_timeout = seconds, math.min(config.connect_timeout, seconds)
  return request
end

--- Makes a request and waits for its reply, within a task; when the task is closed, the request ends. `means`: `share`,
--- `lock` and `alarm` as of Transport:start.
---@param request table url, body, authorization, and for API calls what else transport knows
---@param deadline number boot time
---@param means table
---@return central.auth.RawReply? raw
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Pool:exchange(request, deadline, means)
  local own = lane_of(self, request)
  local order, message, code, detail = take(self, own, deadline)
  if not order then
    return nil, message, code, detail
  end
  local _ <close> = setmetatable({}, { __close = function()
    if order.transport then
      give_back(self, own, order, false)
    end
  end })
  message, code, detail = select(2, order.transport:start(complete(self, request, deadline), means.share, means.lock,
    means.alarm))
  if message then
    return nil, message, code, detail
  end
  while not order:wait(0) do
    task.wait(order)
  end
  if not order.reply then
    read(self, own, order)
  end
  return table.unpack(order.reply, 1, order.reply.n)
end

--- Closes the connections; requests under way close theirs when they end.
function Pool:close()
  self._closed = true
  for _, own in ipairs { self._tokens, self._calls } do
    while own.idle[1] do
      table.remove(own.idle):close()
    end
  end
end

return pool

-- The requests of one client over the network, several at a time: on few connections that are kept. Tenants use that of
-- their parent.
-- SPDX-License-Identifier: MIT

local task = require "central.auth.task"

local KEPT = 4          -- connections of a lane that are kept while nobody uses them
local LIMIT = 16        -- requests of a lane at a time; more wait
local LOOK_AGAIN = 0.01 -- seconds between looks for a place

local pool = {}

---@class central.auth.Pool
local Pool = {}
Pool.__index = Pool

-- Who is collected while it waits frees its place.
local function lane()
  return { idle = {}, busy = setmetatable({}, { __mode = "k" }) }
end

--- Empty: the first transport is made when it is needed.
---@param config central.auth.Config
---@param clock userdata
---@param make? fun(): table another transport than the network's, for specs
---@return central.auth.Pool
function pool.new(config, clock, make)
  return setmetatable({
    _config = config, _clock = clock, _tokens = lane(), _calls = lane(),
    _make = make or function() return require("central.auth.transport").new(clock) end,
  }, Pool)
end

-- Calls never keep tokens waiting; and who speaks HTTP/1.1 must not find a connection that speaks HTTP/2, for libcurl
-- would use it.
local function lane_of(self, request)
  return request.http2 and self._calls or self._tokens
end

local function is_full(own)
  local count = 0
  for _ in pairs(own.busy) do
    count = count + 1
  end
  return count >= LIMIT
end

local function take(self, own)
  if is_full(own) then
    collectgarbage() -- of those that were dropped in the middle, some may be nobody's any more
  end
  while is_full(own) do
    task.wait(self._clock:boot() + LOOK_AGAIN)
  end
  local transport = table.remove(own.idle) or self._make()
  own.busy[transport] = true
  return transport
end

local function give_back(self, own, transport, unharmed)
  own.busy[transport] = nil
  if not unharmed or self._closed or #own.idle >= KEPT then
    transport:close()
  else
    own.idle[#own.idle + 1] = transport
  end
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

--- Makes a request and waits for its reply, within a task; a task that is given up gives the request up. `means`:
--- `share`, `lock` and `alarm` as of Transport:start.
---@param request table url, body, authorization, and for API calls what else transport knows
---@param deadline number boot time
---@param means table
---@return central.auth.RawReply? raw
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Pool:exchange(request, deadline, means)
  local own, arrived = lane_of(self, request), false
  local transport = take(self, own)
  local _ <close> = setmetatable({}, { __close = function() give_back(self, own, transport, arrived) end })
  transport:start(complete(self, request, deadline), means.share, means.lock, means.alarm)
  while not transport:wait(0) do
    task.wait(transport)
  end
  arrived = true
  return transport:finish()
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

-- The requests of one client over the network, several at a time: on few connections that are kept. Tenants use that of
-- their parent.
-- SPDX-License-Identifier: MIT

local task = require "central.auth.task"

local KEPT = 4          -- connections that are kept while nobody uses them
local LIMIT = 16        -- requests at a time; more wait
local LOOK_AGAIN = 0.01 -- seconds between looks for a place

local pool = {}

---@class central.auth.Pool
local Pool = {}
Pool.__index = Pool

---@param config central.auth.Config
---@param clock userdata
---@param make? fun(): table another transport than the network's, for specs
---@return central.auth.Pool
function pool.new(config, clock, make)
  return setmetatable({
    _config = config, _clock = clock, _idle = { {}, {} },
    _busy = setmetatable({}, { __mode = "k" }), -- who is collected while it waits frees its place
    _make = make or function() return require("central.auth.transport").new(clock) end,
  }, Pool)
end

local function is_full(self)
  local count = 0
  for _ in pairs(self._busy) do
    count = count + 1
  end
  return count >= LIMIT
end

-- Who speaks HTTP/1.1 must not find a connection that speaks HTTP/2: libcurl would use it.
local function idle(self, request)
  return self._idle[request.http2 and 2 or 1]
end

local function take(self, request)
  while is_full(self) do
    task.wait(self._clock:boot() + LOOK_AGAIN)
  end
  local transport = table.remove(idle(self, request)) or self._make()
  self._busy[transport] = true
  return transport
end

local function give_back(self, request, transport, unharmed)
  local list = idle(self, request)
  self._busy[transport] = nil
  if not unharmed or self._closed or #list >= KEPT then
    transport:close()
  else
    list[#list + 1] = transport
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
---@param request table url, body, authorization, and for API calls method, headers, body_max, http2
---@param deadline number boot time
---@param means table
---@return central.auth.RawReply? raw
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Pool:exchange(request, deadline, means)
  local transport, arrived = take(self, request), false
  local _ <close> = setmetatable({}, { __close = function() give_back(self, request, transport, arrived) end })
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
  for _, list in ipairs(self._idle) do
    while list[1] do
      table.remove(list):close()
    end
  end
end

return pool

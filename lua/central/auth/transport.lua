-- One request over the network, blocking: the only Lua file that loads central.auth.http (and with it libcurl), and
-- only when the first request is made.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"

local transport = {}

local STEP = 1 -- seconds between looks at signals: Ctrl-C reaches Lua at least so often

local Transport = {}
Transport.__index = Transport

function transport.new(clock)
  return setmetatable({ _clock = clock }, Transport)
end

--- Sends a request and waits for its reply. Connection, TLS session and trust store stay for the next one.
---@param request table fields of `exchange:start`
---@return central.auth.RawReply? raw
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Transport:send(request)
  self._exchange = self._exchange or require("central.auth.http").exchange(self._clock)
  local exchange = self._exchange
  local _ <close> = setmetatable({}, { __close = function() exchange:cancel() end })
  if exchange:start(request) then
    repeat until exchange:step(STEP)
  end
  local raw, message, code, proxy_status = exchange:finish()
  if raw then
    return raw
  end
  return errors.fail(code, message, { proxy_status = proxy_status ~= 0 and proxy_status or nil })
end

function Transport:close()
  if self._exchange then
    self._exchange:close()
    self._exchange = nil
  end
end

return transport

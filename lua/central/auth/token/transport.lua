-- Requests over the network, one at a time: the only Lua file that loads central.auth.http (and with it libcurl), and
-- only when the first request is made.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"

local transport = {}

---@class central.auth.Transport
local Transport = {}
Transport.__index = Transport

--- Nothing is loaded before the first request.
---@param clock userdata
---@return central.auth.Transport
function transport.new(clock)
  return setmetatable({ _clock = clock }, Transport)
end

-- It can't be loaded once the program has changed its root, or while no descriptor is left.
local function load()
  local ok, http = pcall(require, "central.auth.http")
  if ok then
    return http
  elseif not tostring(http):find("central.auth.http", 1, true) then
    error(http, 0) -- an interruption, or memory that is short
  end
  return errors.fail("config", errors.printable("the part that makes requests can't be loaded (see \"Daemons\" in the"
    .. " README): " .. tostring(http):gsub("%s+", " ")))
end

--- Begins a request, without waiting. What is shared of its reply, and when the lock is released, does not depend on
--- anybody's asking. With an alarm it runs on a thread of its own; else within `wait`.
---@param request table fields of `job:start`
---@param share? table
---@param lock? userdata taken over
---@param alarm? userdata
---@return boolean? begun
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Transport:start(request, share, lock, alarm)
  if not self._job then
    local http, message, code, detail = load()
    if not http then
      return nil, message, code, detail
    end
    self._job = http.job(self._clock)
  end
  local begun, why = self._job:start(request, share, lock, alarm)
  if not begun then
    return errors.fail("config", why)
  end
  return true
end

--- Waits for the reply, so many seconds at most. Whether it came.
---@param seconds number
---@return boolean
function Transport:wait(seconds)
  return self._job:wait(seconds)
end

--- The reply, after `wait` said that it came.
---@return central.auth.RawReply? raw
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Transport:finish()
  local raw, message, code, proxy_status, reached = self._job:finish()
  if raw then
    return raw
  end
  return errors.fail(code, message, { proxy_status = proxy_status ~= 0 and proxy_status or nil, reached = reached })
end

--- Gives up what is under way, closes the connection. The next request opens another.
function Transport:close()
  if self._job then
    self._job:close()
  end
end

return transport

-- A request that is sent now and whose reply is read later, by the same thread: the server works on it meanwhile.
-- SPDX-License-Identifier: MIT

local early_request = {}

---@class central.auth.EarlyRequest
local EarlyRequest = {}
EarlyRequest.__index = EarlyRequest

function EarlyRequest:_resume(...)
  local ok, reply = coroutine.resume(self._routine, ...)
  self._reply = ok and reply or nil
end

--- Sends a request.
---@param begin fun(target: string, options: table): central.auth.Reply? yields while it waits for the reply
---@param target string
---@param options table
---@return central.auth.EarlyRequest
function early_request.send(begin, target, options)
  local self = setmetatable({ _routine = coroutine.create(begin) }, EarlyRequest)
  self:_resume(target, options)
  return self
end

--- Waits for the reply. Returns nil if the request failed.
---@return central.auth.Reply?
function EarlyRequest:reply()
  while coroutine.status(self._routine) == "suspended" do
    self:_resume()
  end
  return self._reply
end

return early_request

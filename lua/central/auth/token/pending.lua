-- A token that is being got, for event loops: a descriptor to wait for, and the token once it is there. Several share
-- one renewal; each has a descriptor of its own.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"

local pending = {}

---@class central.auth.Pending
local Pending = {}
local metatable = { __index = Pending, __name = "central.auth.pending", __metatable = false }

local function check(self, method)
  if type(self) ~= "table" or not rawget(self, "_alarm") then
    errors.mistake(("call methods of a pending token with a colon: pending:%s()"):format(method))
  end
end

-- What it came to, a failure or none; then it holds nothing any more but its descriptor: a token could die here.
local function settle(self, _, message, code, detail)
  self._failure = table.pack(message, code, detail)
  self._task = nil
  if self._alarm:fd() >= 0 and not self._shared then
    self._alarm:set(0)
  end
end

--- What `token` would wait for, begun and not waited for.
---@param renewal central.auth.Renewal
---@param min_valid? number
---@return central.auth.Pending? pending
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function pending.new(renewal, min_valid)
  local current, message, code, detail = renewal:want(min_valid, true)
  local shared = current and current.alarm
  local alarm, why = (shared and shared.copy or core.alarm)(shared)
  if not alarm then
    return errors.fail("config", "no descriptor for a pending token: " .. why)
  end
  local self = setmetatable({
    _renewal = renewal, _task = current, _alarm = alarm, _shared = shared ~= nil, _min_valid = min_valid,
    _deadline = renewal.clock:boot() + renewal.config.timeout,
  }, metatable)
  if not current then
    settle(self, nil, message, code, detail)
  else
    if not shared then
      alarm:set(0) -- nobody rings: whoever polls moves it on
    end
    self:done()
  end
  return self
end

--- Whether it has come to an end, with a token or a failure. Moves it on; does not wait.
---@return boolean
function Pending:done()
  check(self, "done")
  local current, renewal = self._task, self._renewal
  if self._failure then
    return true
  elseif not current:ours() then
    settle(self, errors.fail("closed", "this began in another process, which was forked"))
  elseif current:look() then
    settle(self, table.unpack(current.results, 1, current.results.n))
  elseif renewal.clock:boot() >= self._deadline then
    settle(self, errors.fail("timeout", "the renewal under way took too long"))
  end
  renewal:deliver()
  return self._failure ~= nil
end

--- What `token` would have returned. Waits as `token` does where it is not done yet, or what came is dead by now.
---@return string? token
---@return string|number|nil message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Pending:result()
  check(self, "result")
  local current, renewal = self._task, self._renewal
  if current and current:ours() then
    renewal.host:await(current, self._deadline)
  end
  self:done()
  if renewal.closed or self._failure[2] or renewal.clock:boot() >= self._deadline then
    return renewal:outcome(self._min_valid, table.unpack(self._failure, 1, 3))
  end
  local results = table.pack(renewal:token(self._min_valid, self._deadline))
  renewal:deliver()
  return table.unpack(results, 1, results.n)
end

--- The descriptor to wait for: readable when `done` is worth a call, for good once it is done. -1 after close. Do not
--- read from it.
---@return integer
function Pending:fd()
  check(self, "fd")
  return self._alarm:fd()
end

--- Lets go of the descriptor. The renewal goes on: others may wait for it, and other processes.
function Pending:close()
  check(self, "close")
  local cqueues = package.loaded.cqueues
  if cqueues and self._alarm:fd() >= 0 then
    cqueues.cancel(self._alarm:fd()) -- it would keep the number in mind when it stands for something else
  end
  self._alarm:close()
  if not self._failure then
    settle(self, errors.fail("closed", "the pending token was closed"))
  end
end

metatable.__close = Pending.close
metatable.__gc = Pending.close

function metatable:__tostring()
  return "central.auth.pending (" .. (self._failure and "done" or "under way") .. ")"
end

-- --- cqueues polls objects by these three: cqueues.poll(pending) --------------------------------------------------

--- As `fd`.
---@type fun(self: central.auth.Pending): integer
Pending.pollfd = Pending.fd

--- What to wait for: that it turns readable.
---@return string
function Pending.events()
  return "r"
end

--- Seconds until `done` is worth a call although the descriptor is silent.
---@return number
function Pending:timeout()
  check(self, "timeout")
  return self._failure and 0 or math.max(self._deadline - self._renewal.clock:boot(), 0)
end

return pending

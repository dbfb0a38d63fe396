-- A token that is being requested, for event loops: a descriptor to wait for, and the token once it is there. Several
-- share one renewal; each has a descriptor of its own.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.token.call"
local core = require "central.auth.core"
local errors = require "central.auth.errors"

local pending = {}

---@class central.auth.Pending
local Pending = {}
local metatable = { __index = Pending, __name = "central.auth.pending", __metatable = false }

local function check(self, method)
  errors.check_self(self, "_notifier", "a pending token", "pending:" .. method)
end

-- Ends it; it keeps nothing but its descriptor, for a token could expire here.
local function finish(self, failure)
  self._done, self._failure = true, failure
  self._call:leave()
  if self._notifier:fd() >= 0 then
    self._notifier:signal()
    if self._renewal then
      self._renewal:keep_signalled()
    end
  end
end

--- What `token` would wait for, begun and not waited for.
---@param source central.auth.TokenSource
---@param min_valid? number
---@return central.auth.Pending? pending
---@return central.auth.Failure? failure
function pending.new(source, min_valid)
  local call = calls.new(source, { min_valid = min_valid })
  local done = call:step()
  local notifier, why
  if done then
    notifier, why = core.notifier()
  else
    notifier, why = call.renewal:notifier()
  end
  if not notifier then
    return nil, errors.failure("config", "no descriptor for a pending token: " .. why)
  end
  local self = setmetatable({
    _source = source, _call = call, _notifier = notifier, _renewal = call.renewal, _done = false,
  }, metatable)
  if done then
    finish(self, call.failure)
  end
  return self
end

--- Whether it has ended, with a token or a failure. Advances it; does not wait.
---@return boolean
function Pending:done()
  check(self, "done")
  local source, call = self._source, self._call
  if self._done then
    return true
  elseif not self._notifier:ours() then
    finish(self, errors.failure("closed", "this began in another process, which was forked"))
  elseif call:step() then
    finish(self, call.failure)
  elseif call.deadline:over() then
    finish(self, errors.failure("timeout", "the renewal under way took too long"))
  elseif call.renewal ~= self._renewal then
    self._renewal = call.renewal -- it signals another descriptor: a loop that polls this one calls `done` at once
    self._notifier:signal()
  end
  source:deliver()
  return self._done
end

--- What `token` would have returned. Waits as `token` does if it is not done, or if its token has expired meanwhile.
---@return string? token
---@return string|number|nil message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Pending:result()
  check(self, "result")
  local source, call = self._source, self._call
  if not self:done() and self._notifier:ours() then
    call:await()
    finish(self, call.failure)
  end
  local token, more
  if self._failure or source.closed or call.deadline:over() then
    token, more = source:outcome(call.min_valid, self._failure)
  else
    token, more = source:token(call.min_valid, call.deadline)
  end
  source:deliver()
  if token then
    return token, more
  end
  return errors.unpack(more)
end

--- The descriptor to wait for: it becomes readable when `done` should be called, and stays readable once it is done.
--- -1 after close. Do not read from it.
---@return integer
function Pending:fd()
  check(self, "fd")
  return self._notifier:fd()
end

--- Closes the descriptor. The renewal goes on: others may wait for it, and other processes.
function Pending:close()
  check(self, "close")
  local cqueues = package.loaded.cqueues
  if cqueues and self._notifier:fd() >= 0 then
    cqueues.cancel(self._notifier:fd()) -- it would keep the number after it has become another descriptor's
  end
  self._notifier:close()
  if not self._done then
    finish(self, errors.failure("closed", "the pending token was closed"))
  end
end

metatable.__close = Pending.close
metatable.__gc = Pending.close

function metatable:__tostring()
  return "central.auth.pending (" .. (self._done and "done" or "under way") .. ")"
end

-- --- cqueues polls objects by these three: cqueues.poll(pending) --------------------------------------------------

--- As `fd`.
---@type fun(self: central.auth.Pending): integer
Pending.pollfd = Pending.fd

--- The event to wait for: `r`, the descriptor becomes readable.
---@return string
function Pending.events()
  return "r"
end

--- Seconds after which `done` should be called even if the descriptor is not readable.
---@return number
function Pending:timeout()
  check(self, "timeout")
  return self._done and 0 or self._call.deadline:left()
end

return pending

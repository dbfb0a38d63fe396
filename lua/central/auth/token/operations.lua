-- What a person or an API knows better than the schedule: renew now, forget this token, here is another secret.
-- SPDX-License-Identifier: MIT

local reply = require "central.auth.token.response"
local task = require "central.auth.token.task"
local under_way = require "central.auth.token.in_flight"

local POLL = 0.02 -- seconds between checks while another coroutine takes a token out of the cache

local by_hand = {}

--- A new token now, whatever the old one's state; a refusal in memory is passed over, a Retry-After is not.
---@param self central.auth.Renewal
function by_hand.renew(self)
  local now = self.clock:boot()
  local deadline = now + self.config.timeout
  if not self:under_way() and self:pace().not_before > deadline then
    return self:pace():remembered()
  end
  local ok, message, code, detail, final, results
  repeat
    ok, message, code, detail = under_way.join(self, { deadline = deadline, tries = under_way.TRIES, since = now })
    if ok then
      ok, message, code, detail = self.host:await(ok, deadline)
    end
    if ok == nil then
      return nil, message, code, detail
    end
    final, results = self:conclude(deadline)
  until final
  return table.unpack(results, 1, results.n)
end

local function brings(raw, token)
  local granted = raw and reply.read(raw)
  return granted and granted.access_token == token or false
end

-- Does what may have to wait for Redis or a command: within a task, so that an event loop goes on, and until the
-- deadline at most. Whether it was done, and its result.
local function within_task(self, deadline, body)
  local done, result = false, nil
  local function run()
    result = body()
    done = true
  end
  if task.inside() then
    run()
  else
    self.host:run(run, deadline)
  end
  return done, result
end

--- Takes a refused token out of the cache, if it is still the one there, and says whether it was; where another process
--- is renewing, that one's success replaces it anyway. `may(lock)`: whether a token that no other has replaced yet is
--- to be replaced at all; nil is returned where it is not. Within a task.
---@param self central.auth.Renewal
---@param token string
---@param may? fun(lock?: userdata): boolean
---@return boolean?
function by_hand.drop_shared(self, token, may)
  if not self.credential:prepare(self.config.timeout) then
    return false
  end
  local _ <close> = self.cache:visit()
  self.cache:attach(self.credential.secret)
  local locked = self.cache:lock(self.config.timeout)
  local lock <close> = locked or nil
  local near = lock and self.cache:token()
  local here = brings(near, token)
  local beyond = lock ~= nil and self.cache.beyond ~= nil and brings(self.cache:beyond(), token)
  local replaced = near and not here
  if may and locked ~= false and not replaced and not may(lock) then
    return nil
  end
  if here then
    self.cache:drop()
  end
  if beyond then
    self.cache:drop_beyond()
  end
  return here or beyond
end

-- Notes that something is under way until the returned value is closed. A coroutine that is dropped in the middle
-- closes nothing: its note counts until the deadline, or until it is collected.
local function note_begin(deadlines, deadline)
  local key = {}
  deadlines[key] = deadline
  return setmetatable({}, { __close = function() deadlines[key] = nil end })
end

local function is_under_way(self, deadlines)
  for _, deadline in pairs(deadlines) do
    if self.clock:boot() < deadline then
      return true
    end
  end
  return false
end

-- Takes it out of the cache, one coroutine of this client at a time; what drop_shared returns. Within a task.
local function drop_in_turn(self, token, may, deadline)
  self.dropping = self.dropping or setmetatable({}, { __mode = "k" })
  while is_under_way(self, self.dropping) do
    task.wait(self.clock:boot() + POLL)
  end
  if self:under_way() then
    self.to_drop = token -- it may hold the lock, and what it brings takes the place of this one, unless it fails
    return false
  end
  local _ <close> = note_begin(self.dropping, deadline)
  return by_hand.drop_shared(self, token, may)
end

-- Forgets a token: nil where `may` forbids that, else whether it was the current one. Where there is no time to look
-- into the cache it is forgotten here alone.
local function forget(self, token, may, deadline)
  local held = self.tracker:token()
  if token == held and not may then -- first: other coroutines must not get it while this one waits
    self.tracker:forget()
    self.rejected = token
  end
  local done, dropped = within_task(self, deadline, function() return drop_in_turn(self, token, may, deadline) end)
  if done and dropped == nil or not done and may and not may() then
    return nil
  elseif token == self.tracker:token() then -- still: dropping it may have waited
    self.tracker:forget()
  elseif token ~= held and not dropped then
    return false
  end
  self.rejected = token
  self:note("invalidated", {})
  return true
end

--- Forgets the token, here and in the cache, if it is still the current one. Whether it was.
---@param self central.auth.Renewal
---@param token? string
function by_hand.invalidate(self, token)
  token = token or self.tracker:token()
  return token ~= nil and forget(self, token, nil, self.clock:boot() + self.config.timeout)
end

--- Likewise, of a token that was asked for at `sent_boot` and refused by an API, if that may cost another token.
--- Whether it may. `proven`: the same call succeeded with it before.
---@param self central.auth.Renewal
---@param token string
---@param sent_boot number
---@param proven boolean
---@param deadline number boot time, until which the cache may be waited for
---@return boolean
function by_hand.replace(self, token, sent_boot, proven, deadline)
  local function may(lock)
    return self:pace():may_replace(lock, sent_boot, proven)
  end
  return forget(self, token, may, deadline) ~= nil
end

--- Whether a reset of this client's credential is under way: until it ends, a refused secret is expected.
---@param self central.auth.Renewal
---@return boolean
function by_hand.is_resetting(self)
  return is_under_way(self, self.resetting)
end

local function drop_all(self)
  self.cache:drop()
  if self.cache.drop_beyond then
    self.cache:drop_beyond()
  end
end

local function replace_secret(self, secret)
  self.credential:replace(secret)
  self.cache:attach(secret)
  self.tracker:forget()
  self:pace():succeeded()
  self.resets = self.resets + 1
end

--- Goes on with another secret, here and in the cache; tokens of the former one are dead. Until it is done the reset
--- counts as under way.
---@param self central.auth.Renewal
---@param secret userdata
function by_hand.use_secret(self, secret)
  local deadline, replaced = self.clock:boot() + self.config.timeout, false
  local _ <close> = note_begin(self.resetting, deadline)
  within_task(self, deadline, function()
    local _ <close> = self.cache:visit()
    local _ <close> = self.cache:lock(self.config.timeout) or nil
    drop_all(self)
    replace_secret(self, secret)
    replaced = true
  end)
  if self.closed then
    secret:wipe()
  elseif not replaced then
    replace_secret(self, secret)
  end
end

return by_hand

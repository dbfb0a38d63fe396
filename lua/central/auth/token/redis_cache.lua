-- The token that processes of many machines share: in the folder of each machine, and beyond it in Redis. The folder is
-- asked first, and one process of a machine at a time asks Redis. What Redis can't do costs a request for each machine
-- and one event; it is asked again later. Loaded only where `cache` names a Redis server.
-- SPDX-License-Identifier: MIT

local credential = require "central.auth.token.client_secret"
local redis_url = require "central.auth.config.redis_url"
local task = require "central.auth.token.task"

local UNHEARD = 0.1                     -- seconds after which a cancelled question counts as a failure
local LIMIT = 2                         -- seconds for each question, or connect_timeout where that is less
local GLANCE = 0.005                    -- seconds an answer is waited for on the spot: in a sound network it is there …
local STARE = 0.05                      -- … or so long, where nobody may look again for minutes
local TICK = 0.005                      -- seconds between looks where nobody waits for it
local STEP = 1                          -- seconds between looks at signals
local FIRST_LOOK, LONGEST_LOOK = 0.05, 1 -- seconds between looks while another machine renews; doubles, with jitter
local FIRST_PAUSE, LONGEST_PAUSE = 1, 60 -- seconds Redis is left alone after a failure; doubles, with jitter

local NO_PASSWORD = "its URL names a user, and there is no password: cache_password, cache_password_file"

local fleet = {}

---@class central.auth.Fleet
local Fleet = {}
Fleet.__index = Fleet

--- `near` is the machine's cache; `report(why)` is told when Redis begins to fail.
---@param near central.auth.Cache
---@param config central.auth.Config
---@param parts { clock: userdata, random: fun(): number }
---@param report fun(why: string)
---@return central.auth.Fleet
function fleet.new(near, config, parts, report)
  return setmetatable({
    _near = near, _config = config, _clock = parts.clock, _random = parts.random, _report = report,
    _server = redis_url.parse(config.cache), _again = 0, _failures = 0,
    _visits = setmetatable({}, { __mode = "k" }), -- by coroutine: none uses the connection of another
  }, Fleet)
end

--- Where it is, or why there is none.
---@return string
function Fleet:where()
  local near, url = self._near:where(), self._config.cache
  if self._weak then
    return near
  elseif self._trouble then
    return ("%s (without %s: %s)"):format(near, url, self._trouble)
  end
  return ("%s, %s"):format(url, near)
end

--- Makes it that of this secret; the one before is let go.
---@param secret? userdata
function Fleet:attach(secret)
  self._near:attach(secret)
  self._key, self._name = self._near:identity()
  self._weak = not self._key
end

-- --- Redis --------------------------------------------------------------------------------------------------------

-- Between one half and all of it, so that a fleet does not come back as one.
local function jittered(self, seconds)
  return seconds * (1 + self._random()) / 2
end

-- The visit this code is within; nil without.
local function visit_of(self)
  return self._visits[coroutine.running()]
end

local function hang_up(visit)
  if visit.store then
    visit.store:close()
    visit.store = nil
  end
end

-- Takes notice of a failure: told once for each outage, however long and of how many kinds.
local function failed(self, why, visit)
  visit = visit or visit_of(self)
  if not self._trouble then
    self._report(("Redis at %s: %s; each machine asks for itself meanwhile"):format(self._config.cache, why))
  end
  self._trouble = why
  self._again = self._clock:boot() + jittered(self, math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ self._failures))
  self._failures = math.min(self._failures + 1, 16)
  visit.wrote = false
  hang_up(visit)
end

-- An outage ends with a visit in which something could be written and nothing failed after that: what can only be read,
-- or where a lease can be had and no token put, is of no use.
local function note_end(self, visit)
  if visit.wrote then
    self._trouble, self._failures = nil, 0
  end
end

local function open(self, visit)
  local server, source = self._server, self._config.cache_secret
  local secret, why
  if source then
    secret, why = credential.read(source, STEP)
    if not secret then
      return failed(self, why)
    end
  elseif server.user then -- who would else be the default one
    return failed(self, NO_PASSWORD)
  end
  local loaded, redis = pcall(require, "central.auth.redis")
  if not loaded then
    return failed(self, redis_url.NO_LIBRARY)
  end
  local made, store = pcall(redis.store, {
    path = server.path, host = server.host, port = server.port, user = server.user, database = server.database,
    tls = server.tls, ca_file = server.ca_file, password = secret,
    timeout = math.min(LIMIT, self._config.connect_timeout),
  })
  if secret and secret ~= source.value then
    secret:wipe()
  end
  if not made then
    return failed(self, "no memory or descriptor is left for it")
  end
  visit.store = store
  return store
end

-- Redis, within a visit; nil while it is left alone.
local function store_of(self)
  local visit = visit_of(self)
  if not visit or not self._key then
    return nil
  elseif visit.store or self._clock:boot() < self._again then
    return visit.store
  end
  return open(self, visit)
end

local function wait(store, visit)
  if store:wait(visit.glance) then
    return
  elseif task.inside() then
    task.wait(store, TICK)
  else
    store:wait(STEP)
  end
end

local function ask(self, method, ...)
  local store, visit = store_of(self), visit_of(self)
  if not store then
    return nil
  end
  visit.asked = self._clock:boot()
  local result, why = store[method](store, ...)
  while result == store do
    wait(store, visit)
    result, why = store[method](store, ...)
  end
  visit.asked = nil
  if why then
    return failed(self, why)
  end
  visit.wrote = visit.wrote or method ~= "read"
  return result
end

--- Begins to use Redis; it ends with the value's scope, and the connection with it. `rarely`: nobody waits, no event
--- loop is held up, and the next look may be far. nil within another visit, which then goes on.
---@param rarely? boolean
---@return table?
function Fleet:visit(rarely)
  local thread = coroutine.running()
  if self._visits[thread] then
    return nil
  end
  local visit = { look = false, again = 0, pause = FIRST_LOOK, glance = rarely and STARE or GLANCE }
  self._visits[thread] = visit
  return setmetatable({}, { __close = function()
    self._visits[thread] = nil
    if visit.asked and self._clock:boot() - visit.asked >= UNHEARD then -- by a call that had no more time
      failed(self, "it does not answer in time", visit)
    end
    note_end(self, visit)
    if visit.near then
      visit.near:release()
    end
    hang_up(visit)
  end })
end

--- In a forked child: lets go of what the parent's visits hold.
function Fleet:forget()
  for thread, visit in pairs(self._visits) do
    self._visits[thread] = nil
    hang_up(visit)
    if visit.near then
      visit.near:release()
    end
  end
end

--- Asks Redis for the token, without waiting for a turn: why Redis can't be used, or nil. For central-auth doctor.
---@return string?
function Fleet:problem()
  local _ <close> = self:visit()
  if self._key then
    ask(self, "read", self._clock, self._name .. ".token", self._key)
  end
  return self._trouble
end

-- --- records ------------------------------------------------------------------------------------------------------

--- The reply that brought the machine's token.
---@return central.auth.RawReply?
function Fleet:token()
  return self._near:token()
end

local function look(self, suffix)
  local visit = visit_of(self)
  return visit and visit.look and self._key and ask(self, "read", self._clock, self._name .. suffix, self._key) or nil
end

--- The reply that brought the token of all machines, where it is time to look.
---@return central.auth.RawReply?
function Fleet:beyond()
  return look(self, ".token")
end

--- Keeps on this machine what came from beyond it.
---@param raw central.auth.RawReply
function Fleet:bring_home(raw)
  self._near:keep(raw, "token")
end

--- The reply that was the last failure.
---@return central.auth.RawReply?
function Fleet:failure()
  local near, far = self._near:failure(), look(self, ".failed")
  return far and (not near or far.sent_boot > near.sent_boot) and far or near
end

--- What whoever brings a reply needs to share it.
---@param failures integer
---@param held? string the token that its owner must recognise in the reply
---@return table?
function Fleet:share(failures, held)
  local share = self._near:share(failures, held)
  if share then
    share.far = store_of(self)
  end
  return share
end

--- Shares a reply that nobody has shared yet, within a visit; takes notice where that failed.
---@param raw central.auth.RawReply
---@param kind "token" | "refusal"
---@param failures? integer
function Fleet:keep(raw, kind, failures)
  local share = not raw.shared and self._near:share(failures or 0)
  self._near:keep(raw, kind, failures)
  if raw.far_problem then
    failed(self, raw.far_problem)
  elseif share and ask(self, "put", share, raw, kind, self._clock) and kind == "token" then
    ask(self, "remove", share.name .. ".failed")
  end
end

--- Takes the machine's token away. Hold the lock.
function Fleet:drop()
  self._near:drop()
end

--- Takes the token of all machines away. Hold the lock.
function Fleet:drop_beyond()
  if self._key then
    ask(self, "remove", self._name .. ".token")
  end
end

-- --- the lock -----------------------------------------------------------------------------------------------------

-- That of the machine and that of all machines, either of which may be missing.
local Lock = {}
Lock.__index = Lock

function Lock:release()
  for _, lock in pairs(self) do
    lock:release()
  end
end

Lock.__close = Lock.release

function Lock:note()
  return (self.far or self.near):note()
end

function Lock:leave(note)
  for _, lock in pairs(self) do
    lock:leave(note)
  end
end

local function lock_of(near, far)
  return (near or far) and setmetatable({ near = near, far = far }, Lock) or nil
end

--- The lock of this identity, within a visit; false while somebody else has it. While another machine has it, this
--- machine's stays with the visit: others here need not ask Redis too. Of all machines' lock nobody is sure for longer
--- than half of `seconds`, which is what its holder has for its request.
---@param seconds number
---@return table|false|nil
function Fleet:lock(seconds)
  local visit, now = visit_of(self), self._clock:boot()
  if not visit or not self._key then
    return self._near:lock()
  end
  local near = visit.near or self._near:lock()
  visit.near, visit.leads = near or nil, near ~= false
  visit.look = visit.leads and now >= visit.again
  if not visit.look then
    return false
  end
  local far = ask(self, "lock", self._name .. ".lock", seconds / 2)
  if far == false then
    visit.again = self._clock:boot() + jittered(self, visit.pause)
    visit.pause = math.min(LONGEST_LOOK, visit.pause * 2)
    return false
  end
  visit.near = nil
  return lock_of(near or nil, far)
end

--- For a look beyond this machine that is nobody's turn, within a visit: the lock of this machine, for one process of
--- it looks at a time; nil where another one does, and then there is no look.
---@return table?
function Fleet:glance()
  local visit = visit_of(self)
  local near = visit.near or self._near:lock()
  visit.near, visit.look = nil, near ~= false
  return near or nil
end

--- Whether, of this machine's processes, this one waits for another machine.
---@return boolean
function Fleet:leads()
  local visit = visit_of(self)
  return visit ~= nil and visit.leads
end

--- For who waits for another machine no longer, but for one last look: the lock of this machine, if it is ours.
---@return table?
function Fleet:own_lock()
  local visit = visit_of(self)
  if not visit then
    return nil
  end
  local near = visit.near
  visit.near, visit.look = nil, visit.leads
  return lock_of(near, nil)
end

function Fleet:close()
  self._near:close()
  self._key = nil
  for _, visit in pairs(self._visits) do
    hang_up(visit)
  end
end

return fleet

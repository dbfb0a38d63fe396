-- What csrc/fetch/fetch.c does, step by step, with the replies, the time and the records of a spec: a thread of the
-- world that scripted clients share.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local world = require "spec.support.scripted_world"

local LOOK = 1             -- seconds between looks at the records in a longer pause
local REMOTE_FIRST, REMOTE_LONGEST = 0.05, 1 -- seconds between looks while another machine has the lock
local REMOTE_LIMIT = 2     -- seconds that a silent Redis costs, and half of what is left at most
local PAUSE_FIRST, PAUSE_LONGEST = 0.5, 60 -- seconds after a failure; doubles
local LEAST = 0.1          -- seconds a request needs at least
local RETRY_AFTER_MAX = 86400

local TRANSIENT = { resolve = true, connect = true, timeout = true, network = true }
for _, status in ipairs { 408, 425, 429, 502, 503, 504, 520, 521, 522, 523, 524 } do
  TRANSIENT[status] = true
end

local Fetch = {}
Fetch.__index = Fetch

local fetch = {}

-- --- a request -----------------------------------------------------------------------------------------------------

--- The next reply of the spec, after the time it takes: a raw reply, or the failure of a transfer. Within a thread.
function fetch.exchange(network, request, deadline)
  local now = network.world:boot()
  local answer = network:answer(request)
  local raw = { sent_boot = now, sent_wall = network.world:wall() }
  for name, value in pairs(answer) do
    raw[name] = value
  end
  local took = answer.took or network.took
  local arrival = math.min(now + took, deadline)
  network.on_its_way = request
  local _ <close> = setmetatable({}, { __close = function() network.on_its_way = nil end })
  coroutine.yield(arrival)
  if raw.code then
    return { code = raw.code, message = "it broke", reached = raw.reached, at = arrival }
  elseif now + took > deadline then
    return { code = "timeout", message = "it broke", reached = "server", at = arrival }
  end
  raw.received_boot, raw.received_wall, raw.took = arrival, raw.sent_wall + took, nil
  return raw
end

-- --- one that has not begun ----------------------------------------------------------------------------------------

--- `network` and `order` as of scripted_transfer.
function fetch.new(network, order)
  local folder = order.folder and network.world:folder(order.folder)
  return setmetatable({
    network = network, world = network.world, order = order, folder = folder,
    deadline = network.world:boot() + order.timeout, seen = { table.unpack(order.seen or {}) },
    result = { attempts = {}, remote_wrote = false, local_problem = folder and folder.problem,
      lock_problem = folder and folder.lockless and "no locks here" or nil },
  }, Fetch)
end

function Fetch:left()
  return math.max(self.deadline - self.world:boot(), 0)
end

-- Half of it to one and a half.
function Fetch:jittered(seconds)
  return seconds * (0.5 + self.network.random())
end

-- --- the client secret ---------------------------------------------------------------------------------------------

-- A secret from its source; nil where that can't be read.
function Fetch:read_source(source, option)
  if source.kind == "value" then
    return source.value
  end
  local secret, problem = core.read_secret(source, math.max(self:left(), 0.001))
  if not secret then
    self.result.option, self.result.problem = option, problem
  end
  return secret
end

-- nil, or the outcome.
function Fetch:get_secret()
  local order = self.order
  local is_given = order.current or not order.secret
  self.secret = order.current
  if is_given and not order.reread then
    return nil
  elseif not order.secret then
    return "unchanged"
  end
  local secret = self:read_source(order.secret, "client_secret")
  if not secret then
    return "config"
  end
  local is_unchanged = order.current and secret:equal(order.current) or order.former and secret:equal(order.former)
  self.secret, self.result.secret = secret, secret
  return order.reread and is_unchanged and "unchanged" or nil
end

-- --- the records: `near` those of the folder, `far` those of Redis ---------------------------------------------------

function Fetch:open_stores()
  local name = self.secret and self.order.identity and self.world:name_of(self.secret, self.order.identity)
  local is_usable = name and self.folder and not self.folder.problem
  self.near = is_usable and self.world:records(self.order.folder, name) or nil
  self.far = name and self.order.remote and self.world:remote_records(name) or nil
end

-- Redis, where it answers; else it costs its time, once.
function Fetch:reach_far()
  if self.far and not self.world.redis.answers then
    self.far = nil
    coroutine.yield(self.world:boot() + math.min(REMOTE_LIMIT, self:left() / 2))
    self.result.remote_problem, self.result.remote_wrote = "it does not answer in time", false
  end
  return self.far
end

-- Takes the lock of these records. Whether it has it, or can't have one.
function Fetch:lock(side)
  local records = side == "near" and self.near or side == "far" and self:reach_far()
  if not records or side == "near" and self.folder.lockless then
    return true
  elseif records.lock and records.lock ~= self and self.world:boot() < (records.lease_ends or math.huge) then
    return false
  end
  records.lock, records.lease_ends = self, side == "far" and self.world:boot() + self:left() / 2 or nil
  return true
end

function Fetch:unlock()
  for _, records in ipairs { self.near or false, self.far or false } do
    if records and records.lock == self then
      records.lock = nil
    end
  end
end

local function has_id(list, key, id)
  for _, item in ipairs(list or {}) do
    if (key and item[key] or item) == id then
      return true
    end
  end
  return false
end

function Fetch:is_known(record)
  local order = self.order
  return record.id == order.good or has_id(self.seen, nil, record.id) or has_id(order.forget, nil, record.id)
    or has_id(self.result.attempts, "id", record.id)
end

-- Lets the machine's other processes find what came from another machine.
function Fetch:write_near(kind, record)
  local here = self.near and self.near[kind]
  if self.near and (not here or here.sent_boot < record.sent_boot) then
    if kind == "last" then
      world.promote(self.near, self.order.good)
    end
    self.near[kind] = record
  end
end

-- Whether there are records that the caller does not know; they are the result.
function Fetch:look(side)
  local records = side == "near" and self.near or side == "far" and self:reach_far() or {}
  for _, kind in ipairs { "token", "last" } do
    local record = records[kind]
    self.result[kind] = record and not self:is_known(record) and world.copy(record) or nil
    if self.result[kind] and side == "far" then
      self:write_near(kind, record)
    end
  end
  return self.result.token ~= nil or self.result.last ~= nil
end

function Fetch:look_around()
  local found = self:look "near"
  if not found and self.far and self:lock "near" then
    found = self:look "far"
  end
  self:unlock()
  return found
end

function Fetch:forget()
  local order = self.order
  if order.forget_all or order.forget and order.forget[1] then
    local ids = not order.forget_all and order.forget or nil
    for _, records in ipairs { self.near or {}, self:reach_far() or {} } do
      world.remove(records, ids)
    end
  end
end

-- --- waiting: nil, or the outcome ------------------------------------------------------------------------------------

function Fetch:sleep(seconds)
  local due = self.world:boot() + math.max(seconds, 0)
  coroutine.yield(math.min(due, self.deadline))
  return due > self.deadline and "timeout" or nil
end

function Fetch:pause_until(due)
  self:unlock()
  local rest = due - self.world:boot()
  self.network.slept = self.network.slept + math.max(math.min(rest, self:left()), 0)
  while rest > 0 do
    local outcome = self:sleep(math.min(rest, LOOK))
    if outcome or rest > LOOK and self:look_around() then
      return outcome or "shared"
    end
    rest = due - self.world:boot()
  end
end

function Fetch:wait_for_first_try()
  local due = self.order.not_before or 0
  if due > self.world:boot() and self:look_around() then
    return "shared"
  end
  return self:pause_until(due)
end

-- --- the turn --------------------------------------------------------------------------------------------------------

-- When a holder is taken to hang.
function Fetch:patience_ends(turn)
  local part, spread = 0.5, 0.25
  if self.far then
    part, spread = turn.leads and 0.75 or 0.9, turn.leads and 0.15 or 0.08
  end
  return turn.began + (self.deadline - turn.began) * (part + spread * turn.chance)
end

-- With the machine's lock: whether this one has that of all machines, and whether there was something new.
function Fetch:take_remote_turn(turn)
  local is_ours = self:lock "far"
  local found = self:look "far"
  turn.next_look = self.world:boot() + self:jittered(turn.remote_pause)
  turn.remote_pause = math.min(2 * turn.remote_pause, REMOTE_LONGEST)
  return is_ours and not found, found
end

-- nil with the lock, or without it where that can't be had or its holder hangs; or the outcome.
function Fetch:take_turn()
  local turn = { began = self.world:boot(), chance = self.network.random(), remote_pause = REMOTE_FIRST, next_look = 0 }
  while self:left() > 0 do
    turn.leads = self:lock "near"
    local patience = self:patience_ends(turn)
    local hangs = self.world:boot() >= patience
    local found, is_ours = self:look "near", false
    if not found and turn.leads and (hangs or self.world:boot() >= turn.next_look) then
      is_ours, found = self:take_remote_turn(turn)
    end
    if found then
      return "shared"
    elseif is_ours or hangs and self.order.waits then
      return nil
    elseif not self.order.waits then
      return "busy"
    end
    local due = turn.leads and turn.next_look or self.world:boot() + self:jittered(self.world.poll)
    local outcome = self:sleep(math.min(due, patience) - self.world:boot())
    if outcome then
      return outcome
    end
  end
  return "timeout"
end

-- --- the request -----------------------------------------------------------------------------------------------------

function Fetch:describe()
  local order = self.order
  return { url = order.url, form = core.form(order.form), client_id = order.client_id, style = order.style,
    secret = order.client_id and self.secret or nil, assertion = self.result.assertion, timeout = self:left(),
    records = self.near }
end

function Fetch:share(reply)
  local failures = (self.order.failures or 0) + #self.result.attempts
  local record = self.world:record(reply, failures, reply.received_boot - reply.sent_boot)
  if self.near then
    self.near.last, reply.id = record, record.id
  end
  if self:reach_far() then
    self.far.last, reply.id, self.result.remote_wrote = record, record.id, true
  end
end

-- nil, or the outcome.
function Fetch:make_request()
  local order, attempts = self.order, self.result.attempts
  for _, records in ipairs { self.near or {}, self:reach_far() or {} } do
    world.promote(records, #attempts == 0 and order.good or nil)
  end
  if order.client_id and order.assertion then
    self.result.assertion = self:read_source(order.assertion, "client_assertion")
    if not self.result.assertion then
      return "config"
    end
  end
  if self:left() <= 0 then
    return "timeout"
  end
  local reply = fetch.exchange(self.network, self:describe(), self.deadline)
  attempts[#attempts + 1] = reply
  if not reply.code then
    self:share(reply)
  end
end

function Fetch:wait_for_budget(seconds)
  if self.order.waits and seconds < self:left() then
    return self:pause_until(self.world:boot() + seconds)
  end
  self.result.retry_after = seconds
  return "limited"
end

function Fetch:wait_for_next_try()
  local attempts = self.result.attempts
  local reply, failures = attempts[#attempts], (self.order.failures or 0) + #attempts
  local wait = math.min(reply.retry_after or 0, RETRY_AFTER_MAX)
    + math.min(PAUSE_FIRST * 2 ^ (failures - 1), PAUSE_LONGEST) * self.network.random()
  if #attempts < self.order.tries and TRANSIENT[reply.code or reply.status] and not reply.proxy_status
    and wait + LEAST <= self:left() then
    return self:pause_until(self.world:boot() + wait)
  end
  return reply.code and "failed" or "reply"
end

-- --- all of it -------------------------------------------------------------------------------------------------------

function Fetch:try()
  local outcome = self:take_turn()
  if outcome then
    return outcome
  end
  local wait = self.world:take(self.near or self.order.budget)
  if wait > 0 then
    return self:wait_for_budget(wait)
  end
  return self:make_request() or self:wait_for_next_try()
end

--- Runs it, within a thread; the result as of transfer:finish. Whatever it holds is released, also in the middle.
function Fetch:run()
  local _ <close> = setmetatable({}, { __close = function() self:unlock() end })
  local outcome = self:get_secret()
  if not outcome then
    self:open_stores()
    self:forget()
    if self.order.look_only then
      outcome = self:look_around() and "shared" or "nothing"
    else
      outcome = self:wait_for_first_try()
    end
  end
  while not outcome do
    outcome = self:try()
  end
  self.result.outcome = outcome
  return self.result
end

return fetch

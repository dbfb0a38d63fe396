-- What scripted clients of one clock have in common: threads that live on the clock's time; and in place of folders and
-- Redis the records of tokens that processes share, in memory. A spec may change all of it, as another process would.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local with = require "spec.support.with"

local world = {}

local BURST, REFILL = 20, 2 -- seconds' worth of requests at once; what one of them costs
local PEACE = 60 -- seconds in which a token that replaced a refused one is not replaced in its turn

local World = {}
World.__index = World

local of_clock = setmetatable({}, { __mode = "k" })

-- What knows by itself whether this process made it.
local function new_mark()
  local mark = assert(core.notifier())
  mark:close()
  return mark
end

--- The world of a clock; clients with the same clock are processes of one machine.
function world.of(clock)
  of_clock[clock] = of_clock[clock] or setmetatable({
    clock = clock,
    own_mark = new_mark(),
    moved = 0,    -- seconds that the clock was moved by all who waited
    threads = {}, -- those under way, the oldest first
    folders = {}, -- by path
    redis = { answers = true, records = {} },
    next_id = 1,
    poll = 0.02, -- seconds between looks of who waits for another process's lock, with jitter
    names = setmetatable({}, { __mode = "k" }), -- of records: by secret, then by identity
  }, World)
  return of_clock[clock]
end

--- What knows by itself whether this process made it. In a forked child the parent's threads are gone.
function World:mark()
  if not self.own_mark:ours() then
    self.threads, self.own_mark = {}, new_mark()
  end
  return self.own_mark
end

-- --- time ----------------------------------------------------------------------------------------------------------

--- The time of the thread that runs; else that of the clock.
function World:boot()
  return self.running and self.running.due or self.clock:boot()
end

--- The wall clock's at the same moment.
function World:wall()
  return self.clock:wall() - (self.clock:boot() - self:boot())
end

-- The thread that runs first, if one is due by then.
local function first_due(self, by)
  local first
  for _, thread in ipairs(self.threads) do
    if thread.due <= by and (not first or thread.due < first.due) then
      first = thread
    end
  end
  return first
end

local function remove(self, thread)
  for i, other in ipairs(self.threads) do
    if other == thread then
      table.remove(self.threads, i)
      return
    end
  end
end

local function go_on(self, thread)
  local ok, value = false, "not enough memory" -- to notice its end, if it has ended
  if coroutine.status(thread.routine) == "suspended" then
    self.running = thread
    ok, value = coroutine.resume(thread.routine)
    self.running = nil
  end
  if ok and coroutine.status(thread.routine) == "suspended" then
    thread.due = value
    return
  end
  remove(self, thread)
  thread.done, thread.result, thread.failure = true, ok and value, not ok and value or nil
  thread.at_end()
end

--- Runs what is due by now, in the order of its moments.
function World:catch_up()
  local thread = not self.running and first_due(self, self.clock:boot())
  while thread do
    go_on(self, thread)
    thread = first_due(self, self.clock:boot())
  end
end

-- By a nanosecond at least, so that a clock that is stopped gets there.
local function shift(self, seconds)
  if seconds > 0 then
    seconds = seconds + 1e-9
    self.clock:shift(seconds, seconds)
    self.moved = self.moved + seconds
  end
end

--- Lets time pass, until a thread is done where one is given.
function World:pass(seconds, thread)
  local till = self.clock:boot() + seconds
  self:catch_up()
  local nearest = not self.running and first_due(self, till)
  while nearest and not (thread and thread.done) do
    shift(self, nearest.due - self.clock:boot())
    self:catch_up()
    nearest = first_due(self, till)
  end
  if not (thread and thread.done) then
    shift(self, till - self.clock:boot())
    self:catch_up()
  end
end

--- A thread of some owner, which waits by `coroutine.yield(moment)` until its deadline at most. `at_end` is called once
--- it has returned.
function World:start(body, at_end, owner, deadline)
  local thread = { routine = coroutine.create(body), due = self.clock:boot(), at_end = at_end, owner = owner,
    deadline = deadline }
  self.threads[#self.threads + 1] = thread
  return thread
end

--- Ends a thread in the middle: what it holds is released.
function World:cancel(thread)
  remove(self, thread)
  coroutine.close(thread.routine)
  thread.done = true
  thread.at_end()
end

-- --- records -------------------------------------------------------------------------------------------------------

--- The name of the records of an identity; nil where the secret is too short.
function World:name_of(secret, identity)
  local names = self.names[secret] or {}
  self.names[secret] = names
  if not names[identity] then
    names[identity] = secret:can_seal() and secret:reveal() .. identity or nil
  end
  return names[identity]
end

--- A folder: its records by name; `problem`, why it can't be used; `lockless`: it knows no locks.
function World:folder(path)
  self.folders[path] = self.folders[path] or { records = {} }
  return self.folders[path]
end

--- What there is of an identity in a folder: `token` and `last`, raw replies with an id; `lock`, who has it; its
--- budget.
function World:records(path, name)
  local all = self:folder(path).records
  all[name] = all[name] or { spent = 0, at = 0, replaced = 0 }
  return all[name]
end

--- Those of all machines.
function World:remote_records(name)
  local all = self.redis.records
  all[name] = all[name] or {}
  return all[name]
end

--- A record of a reply that came `took` seconds after its request. Its times are this moment's where it has none.
function World:record(reply, failures, took)
  self.next_id = self.next_id + 1
  local sent_boot, sent_wall = reply.sent_boot or self:boot(), reply.sent_wall or self:wall()
  took = took or 0
  return { id = self.next_id, shared = true, status = reply.status, body = reply.body, sent_boot = sent_boot,
    sent_wall = sent_wall, received_boot = sent_boot + took, received_wall = sent_wall + took, date = reply.date,
    retry_after = reply.retry_after, failures = failures or 0 }
end

--- A copy of a record, as each reader gets one.
function world.copy(record)
  return record and with({}, record)
end

--- Removes the records with these ids, or both without ids. Whether there was one.
function world.remove(records, ids)
  local removed = false
  for _, kind in ipairs { "token", "last" } do
    local gone = records[kind] and not ids
    for _, id in ipairs(ids or {}) do
      gone = gone or records[kind] and records[kind].id == id
    end
    if gone then
      records[kind], removed = nil, true
    end
  end
  return removed
end

--- The record that brought the good token outlives the replies behind it.
function world.promote(records, good)
  if records.last and records.last.id == good then
    records.token, records.last = records.last, nil
  end
end

-- --- budgets -------------------------------------------------------------------------------------------------------

local function refill(budget, wall)
  budget.spent = math.max(budget.spent - math.max(wall - budget.at, 0), 0)
  budget.at = wall
end

--- In place of core.budget: that of a process for itself, where no folder keeps one.
function World:budget()
  return { spent = 0, at = 0, replaced = 0, may_replace = function(budget, _, sent_wall, proven)
    return self:may_replace(budget, sent_wall, proven)
  end }
end

--- Takes one request and returns 0, or how many seconds until there is one.
function World:take(budget)
  refill(budget, self:wall())
  if budget.spent + REFILL > BURST then
    return budget.spent + REFILL - BURST
  end
  budget.spent = budget.spent + REFILL
  return 0
end

--- Whether a token that was asked for at `sent_wall` and refused by an API may cost another; then that is noted.
function World:may_replace(budget, sent_wall, proven)
  local now = self:wall()
  refill(budget, now)
  budget.replaced = math.min(budget.replaced, now)
  if sent_wall < budget.replaced then
    return true
  elseif now - sent_wall < PEACE and (proven and budget.spent > BURST / 2
      or not proven and now - budget.replaced < PEACE) then
    return false
  end
  budget.replaced = now
  return true
end

-- --- what Lua sees of a folder -------------------------------------------------------------------------------------

local Store = {}
Store.__index = Store

--- In place of core.folder_store.
function World:store(path)
  return setmetatable({ world = self, path = path }, Store)
end

--- Both records, and what is wrong with the folder.
function Store:read(_, secret, identity)
  self.world:catch_up()
  local records = self.world:records(self.path, assert(self.world:name_of(secret, identity)))
  local problem = self.world:folder(self.path).problem
  if problem then
    return nil, nil, problem
  end
  return world.copy(records.token), world.copy(records.last)
end

--- Removes records, where the budget allows that; whoever has no lock removes them without asking it.
function Store:forget(_, secret, identity, ids, _, sent_wall, proven)
  self.world:catch_up()
  local folder = self.world:folder(self.path)
  local records = self.world:records(self.path, assert(self.world:name_of(secret, identity)))
  local has_lock = not folder.problem and not folder.lockless and not records.lock
  if sent_wall and has_lock and not self.world:may_replace(records, sent_wall, proven) then
    return false, false
  end
  return not folder.problem and world.remove(records, ids), true, folder.problem
end

function Store.close() end

return world

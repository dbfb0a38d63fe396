-- A model of fleets over a day: so many clients on so many machines, one credential, and what the token server sees
-- of them without a cache, with the file of each machine, and with Redis beyond it. No sockets: the rules and constants
-- of the modules, simulated by tenths of a second. Prints the table of spec/README.md. What is assumed of the world is
-- marked with LIMITS.
-- SPDX-License-Identifier: MIT

local DAY = 86400
local CENTRAL, WORKSPACE = 7199, 899         -- seconds that tokens live: Central's, and those of GreenLake's workspaces
local MARGIN, WINDOW = 30, 600               -- seconds, the window at most a quarter of a life; csrc/base/lifetime.h
local PERIOD = 10                            -- seconds between the calls of a daemon; half of the clients are daemons
local CRON = 300                             -- seconds between the runs of a script, on the minute; the other half
local RATE, RETRY_AFTER = 100, 5             -- LIMITS: token requests a second the server takes; then 429
local TIMEOUT, TRIES = 30, 4                 -- of one call; lua/central/auth/token/renewal.lua
local FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60   -- lua/central/auth/token/failures.lua
local FIRST_LOOK, LONGEST_LOOK = 0.05, 1     -- csrc/fetch/fetch.c
local SERVER_DOWN = { 36000, 39600 }         -- LIMITS: an hour without token server, a renewal within it …
local REDIS_DOWN = { 54000, 61200 }          -- … and two without Redis, likewise; then it has forgotten all

local random = math.random

local function within(span, now)
  return now >= span[1] and now < span[2]
end

-- How long a token request takes: a fifth of a second, in one of a hundred cases two.
local function latency()
  return random() < 0.01 and 2 or 0.1 + 0.2 * random()
end

local Model = {}
Model.__index = Model

local function new(life, policy, machines, each)
  return setmetatable({
    life = life, policy = policy, machines = machines, each = each, buckets = {}, seconds = {}, lives = {}, calls = 0,
    waited = 0, failed = 0, fleet = { born = -math.huge, next_try = 0 },
  }, Model)
end

function Model:at(time, act, ...)
  local tick = time * 10 // 1 | 0
  if tick >= DAY * 10 then
    return
  end
  local bucket = self.buckets[tick] or {}
  self.buckets[tick] = bucket
  bucket[#bucket + 1] = { act, math.max(time, tick / 10), ... }
end

-- One token request: whether it brings a token, and else whether it was the rate limit that forbade it.
function Model:request(now)
  if within(SERVER_DOWN, now) then -- which nobody counts
    return false, false
  end
  local second, life = now // 1 | 0, now // self.life | 0
  local count = (self.seconds[second] or 0) + 1
  self.seconds[second], self.lives[life] = count, (self.lives[life] or 0) + 1
  return count <= RATE, count > RATE
end

local function pause(failures)
  return random() * math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ math.min(failures - 1, 16))
end

function Model:usable(born, now)
  return now - born < self.life - MARGIN
end

-- --- a daemon: calls every PERIOD, has a token in memory -----------------------------------------------------------

-- The first of its calls that is not before `time`.
local function next_call(client, time)
  return client.phase + math.ceil((time - client.phase) / PERIOD) * PERIOD
end

-- From 0 to below 1, as a tracker takes it: by the token, which the time of its request stands for here.
local function jitter(born)
  return math.sin(born * 12.9898) * 43758.5453 % 1
end

function Model:settle(client, born)
  client.born, client.failures, client.next_try = born, 0, 0
  local window = math.min(WINDOW, self.life / 4)
  self:at(next_call(client, born + self.life - window * (1 + jitter(born) / 4)), self.call, client)
end

-- Those who waited for the outcome look again.
local function release(self, place, now)
  local waiters = place.waiters
  place.asking, place.waiters = false, {}
  for _, waiter in ipairs(waiters) do
    self:at(now, self.call, waiter, true)
  end
end

function Model:arrived(now, client, sent, by_lease)
  local place, fleet = client.place, self.fleet
  if by_lease then
    fleet.asking = false
  end
  place.born, place.next_try = sent, 0
  if self.policy == "Redis" and not within(REDIS_DOWN, now) then
    fleet.born = sent
  end
  self:settle(client, sent)
  release(self, place, now)
end

function Model:refused(now, client, limited, by_lease)
  local place, fleet = client.place, self.fleet
  client.failures = client.failures + 1
  client.next_try = now + pause(client.failures) + (limited and RETRY_AFTER or 0)
  if limited then -- the others are told, too
    place.next_try = client.next_try
  end
  if by_lease then
    fleet.asking = false
    fleet.next_try = limited and client.next_try or fleet.next_try
  end
  release(self, place, now)
  self:again(now, client, client.next_try)
end

-- Its token is not renewed yet: it goes on with it, or waits, or fails where that takes too long.
function Model:again(now, client, time)
  if self:usable(client.born, now) then
    client.since = nil
    return self:at(next_call(client, math.max(time, now + 0.1)), self.call, client)
  elseif time - (client.since or now) > TIMEOUT then
    self.failed = self.failed + (client.is_script and 0 or math.ceil((time - now) / PERIOD))
    client.since = nil
    return self:at(next_call(client, time), self.call, client)
  end
  self:at(math.max(time, now + 0.1), self.call, client, true)
end

-- Redis: a newer token, its lease, or neither.
function Model:beyond(now, client)
  local fleet = self.fleet
  if self.policy ~= "Redis" or within(REDIS_DOWN, now) then
    return "alone"
  elseif fleet.born > client.place.born and self:usable(fleet.born, now) then
    client.place.born = fleet.born
    return "token"
  elseif fleet.asking or now < fleet.next_try then
    return "wait"
  end
  fleet.asking = true
  return "lease"
end

-- The token of another machine did not come in time.
function Model:give_up(now, client)
  self.failed = self.failed + (client.is_script and 0 or math.ceil((now - client.since) / PERIOD))
  client.since, client.look, client.place.asking = nil, nil, false
  self:at(next_call(client, now + 0.1), self.call, client)
  release(self, client.place, now)
end

function Model:ask(now, client)
  local place = client.place
  local answer = self:beyond(now, client)
  if answer == "token" then
    place.asking = false
    self:settle(client, place.born)
    return release(self, place, now)
  elseif answer == "wait" and self:usable(client.born, now) then
    place.asking = false
    self:at(next_call(client, now + random()), self.call, client)
    return release(self, place, now)
  elseif answer == "wait" then
    client.since = client.since or now
    if now - client.since > TIMEOUT then
      return self:give_up(now, client)
    end
    client.look = math.min(LONGEST_LOOK, (client.look or FIRST_LOOK) * 2)
    return self:at(now + client.look * (1 + random()) / 2, self.ask, client)
  end
  client.look = nil
  local ok, limited = self:request(now)
  if ok then
    self:at(now + latency(), self.arrived, client, now, answer == "lease")
  else
    self:at(now + 0.1, self.refused, client, limited, answer == "lease")
  end
end

function Model:call(now, client, waits)
  local place, has = client.place, self:usable(client.born, now)
  if place.born > client.born and self:usable(place.born, now) then
    client.since = nil
    return self:settle(client, place.born)
  elseif not has and not waits then
    self.waited, client.since = self.waited + (client.is_script and 0 or 1), now
  end
  local not_before = math.max(client.next_try, place.next_try)
  if now < not_before then
    self:again(now, client, not_before)
  elseif place.asking and has then
    self:at(next_call(client, now + random()), self.call, client)
  elseif place.asking then
    place.waiters[#place.waiters + 1] = client
  else
    place.asking = true
    self:ask(now, client)
  end
end

-- --- scripts: start together on the minute, take what lies there -----------------------------------------------------

-- Without a cache each asks for itself, again after a refusal.
function Model:run_alone(now)
  for _ = 1, self.each // 2 do
    local time, got = now, false
    for n = 1, TRIES do
      local ok, limited = self:request(time)
      got = ok
      if ok then break end
      time = time + pause(n) + (limited and RETRY_AFTER or 0)
      if time > now + TIMEOUT then break end
    end
    self.failed = self.failed + (got and 0 or 1)
  end
  self.waited = self.waited + self.each // 2
end

function Model:waited_for(now, place, scripts)
  self.failed = self.failed + (self:usable(place.born, now) and 0 or scripts)
end

function Model:run(now, place)
  local scripts = self.each // 2
  self.calls = self.calls + scripts
  if self.policy == "none" then
    self:run_alone(now)
  elseif not self:usable(place.born, now) then -- they wait for one of them, which goes on asking as a daemon would
    self.waited = self.waited + scripts
    self:at(now + TIMEOUT, self.waited_for, place, scripts)
    if not place.script.is_script then
      place.script.is_script = true
      self:call(now, place.script)
    end
  end
  self:at(now + CRON, self.run, place)
end

-- --- the day ---------------------------------------------------------------------------------------------------------

local function client_of(place)
  return { place = place, born = -math.huge, phase = random() * PERIOD, failures = 0, next_try = 0 }
end

local function new_place()
  return { born = -math.huge, next_try = 0, waiters = {} }
end

-- All are started within the first minute, as a deployment does.
function Model:start()
  for _ = 1, self.machines do
    local place = new_place()
    place.script = client_of(place)
    self:at(60 + 2 * random(), self.run, place)
    for _ = 1, self.each - self.each // 2 do
      local client = client_of(self.policy == "none" and new_place() or place)
      self:at(next_call(client, random() * 60), self.call, client)
    end
  end
  self.calls = self.machines * (self.each - self.each // 2) * DAY // PERIOD
  self:at(REDIS_DOWN[2], function() self.fleet.born = -math.huge end)
end

function Model:day()
  self:start()
  for tick = 0, DAY * 10 - 1 do
    local bucket = self.buckets[tick]
    local i = 1
    while bucket and bucket[i] do -- which may grow meanwhile
      local event = bucket[i]
      event[1](self, table.unpack(event, 2, 6))
      i = i + 1
    end
    self.buckets[tick] = nil
  end
  local lives, worst = {}, 0
  for life = 0, DAY // self.life - 1 do
    lives[life + 1] = self.lives[life] or 0
  end
  table.sort(lives)
  for _, count in pairs(self.seconds) do
    worst = math.max(worst, count)
  end
  return lives[#lives // 2], lives[#lives], worst, 100 * self.waited / self.calls, 100 * self.failed / self.calls
end

print("| tokens live | clients on machines | cache | token requests in a lifetime, median | in the worst lifetime "
  .. "| in the worst second | calls that waited | calls that failed |")
print("| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |")
for _, life in ipairs { CENTRAL, WORKSPACE } do
  for _, size in ipairs { { 10, 1 }, { 1000, 100 }, { 100000, 10000 } } do
    for _, policy in ipairs { "none", "file", "Redis" } do
      math.randomseed(1)
      print(("| %d s | %d on %d | %s | %d | %d | %d | %.4f %% | %.4f %% |"):format(life, size[1], size[2], policy,
        new(life, policy, size[2], size[1] // size[2]):day()))
      io.stdout:flush()
    end
  end
end

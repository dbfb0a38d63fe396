-- A world that goes wrong at random around several clients, and what must hold in it after each step. The network, the
-- time and the records that processes share are scripted (spec/support/scripted*.lua); all else is the real thing. A
-- run is made from its seed alone.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local cqueues = require "cqueues"
local core = require "central.auth.core"
local files = require "spec.support.process"
local scripted = require "spec.support.scripted"
local server = require "spec.support.model_server"
local worlds = require "spec.support.scripted_world"

local model = { STEPS = 3000 }

local SLACK = 0.3  -- seconds by which a call may be late
local GRACE = 1    -- seconds after its arrival in which a token may be returned however short its life is
local BURST, REFILL = 10, 2 -- token requests at once; seconds for each one more
local LOGGED = 40  -- operations that are printed after a failure
local DEAD_MAX = 8 -- invalidated tokens that a client has to remember
local TASKS_MAX = 8
local BASE = "https://api.example"

local CODES = {}
for code in ("config resolve connect tls timeout network http reply oauth rate_limited api expired closed"):gmatch "%S+"
do
  CODES[code] = true
end

---@class Model
local Model = {}
Model.__index = Model

-- --- chance, and what is printed -----------------------------------------------------------------------------------

-- 0 to below 1; with `n` an integer from 1 to it.
local function generator(seed)
  local state = seed * 2654435769 + 1
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    local value = (state >> 11) * 2.0 ^ -53
    return n and 1 + (value * n // 1 | 0) or value
  end
end

function Model:one_of(list)
  return list[self.random(#list)]
end

function Model:happens(chance)
  return self.random() < chance
end

function Model:log(text, ...)
  self.logged = self.logged + 1
  self.operations[self.logged % LOGGED] = ("%5d %11.3f s  %s"):format(self.step, self.clock:boot() - self.began,
    text:format(...))
end

function Model:fail(text, ...)
  local lines = {}
  for i = 1, LOGGED do
    lines[#lines + 1] = self.operations[(self.logged + i) % LOGGED]
  end
  error(("%s\nSEED=%d, step %d; the last operations:\n%s"):format(text:format(...), self.seed, self.step,
    table.concat(lines, "\n")), 0)
end

function Model:check(holds, text, ...)
  if not holds then
    self:fail(text, ...)
  end
end

-- --- processes, and the clients in them ----------------------------------------------------------------------------

local KINDS = {
  { name = "one", options = { cache = "/shared" } },
  { name = "msp", options = { cache = "/shared" }, tenant = "aa" },
  { name = "value", options = { cache = "/shared" }, secret = "value" },
  { name = "file", options = { cache = "/shared" }, secret = "file" },
  { name = "command", options = { cache = "/shared" }, secret = "command" },
  { name = "alone", options = { cache = false } },
  { name = "asserting", options = { cache = false }, secret = "assertion" },
  { name = "far", options = { cache = "redis://127.0.0.1:1" }, needs = "central.auth.redis" },
}

-- Gives the client secret; in a coroutine it may take its time.
local function secret_function(self, process)
  return function()
    if self.secret_fails then
      self.server:note_failure(process.s)
      return self:happens(0.5) and error "no secret" or nil
    elseif self.task and self:happens(0.3) then
      coroutine.yield "secret"
    end
    return self.source_secret
  end
end

-- Where a process gets its secret from: an option and its value. By default from a function.
local SECRETS = {
  value = function(self) return "client_secret", self.source_secret end,
  file = function(self) return "client_secret_file", self.secret_path end,
  command = function(self) return "client_secret_command", "cat " .. self.secret_path end,
  assertion = function(self, process) return "client_assertion", secret_function(self, process) end,
  ["function"] = function(self, process) return "client_secret", secret_function(self, process) end,
}

-- Whether a call of this process is under way in a coroutine.
local function has_task(self, process)
  for _, task in ipairs(self.tasks) do
    if task.party.process == process then
      return true
    end
  end
  return self.task ~= nil and self.task.party.process == process
end

-- Events come once, in order, and after close only at the end of calls that began before.
local function event_handler(self, process)
  local counts = process.counts
  return function(event)
    local name = event.event
    counts[name] = (counts[name] or 0) + 1
    self:log("      %s: event %s %s", process.name, name, event.message or event.code or event.what or "")
    local tokens = (counts.fetched or 0) + (counts.renewed or 0)
    if process.is_closed and not has_task(self, process) then
      self.broken = ("%s: the event %s after close"):format(process.name, name)
    elseif (counts.fetched or 0) > #process.parties or name == "renewed" and not counts.fetched
      and not counts.shared then
      self.broken = ("%s: the event %s in a wrong order"):format(process.name, name)
    elseif tokens > (self.server.successes[process.s] or 0) then
      self.broken = ("%s: more tokens by events than by replies"):format(process.name)
    end
  end
end

local function add_party(self, process, name, client)
  local party = { name = name, client = client, process = process, dead = {} }
  process.parties[#process.parties + 1] = party
  self.parties[#self.parties + 1] = party
end

local function open(self, kind)
  local process = { name = kind.name, kind = kind, parties = {}, counts = {}, is_closed = false, deadline = 0,
    secret = self.source_secret }
  local options = { timeout = self:one_of { 1, 5, 10, 30 }, base_url = BASE, revocation_url = BASE .. "/revoke",
    on_event = event_handler(self, process), wait = coroutine.yield, client_secret = scripted.NONE }
  local option, value = SECRETS[kind.secret or "function"](self, process)
  options[option] = value
  for name, chosen in pairs(kind.options) do
    options[name] = chosen
  end
  process.timeout = options.timeout
  process.s = scripted.new(function(_, request) return self:answer(process, request) end, options, self.clock,
    { random = self.random, jitter = self.random() })
  process.s.random = self.random
  self.by_network[process.s] = process
  self.processes[#self.processes + 1] = process
  add_party(self, process, kind.name, process.s.client)
  if kind.tenant then
    add_party(self, process, kind.name .. "'s tenant", assert(process.s.client:tenant(kind.tenant,
      { token_url = config.workspace_url(process.s.config, kind.tenant) })))
  end
end

local function remove(list, item)
  for i, other in ipairs(list) do
    if other == item then
      table.remove(list, i)
      return
    end
  end
end

-- Requests are within the budget of those who share it.
function Model:answer(process, request)
  if request.method or request.url:find "/revoke$" then
    return self.server:answer_call(request)
  end
  local owner = request.records or process.parties[request.client_id and 1 or 2]
  local budget = self.budgets[owner] or { spent = 0, at = 0 }
  local now = self.world:boot()
  self.budgets[owner] = budget
  budget.spent = math.max(budget.spent - (now - budget.at) / REFILL, 0) + 1
  budget.at = now
  self.broken = budget.spent > BURST + 0.01 and ("%s: %.2f requests at once"):format(process.name, budget.spent)
    or self.broken
  local reply = self.server:answer_token(process.s, request)
  self:log("      %s: %s -> %s, takes %.2f s of %.2f", process.name, request.client_id and "request" or "exchange",
    reply.code or reply.status, reply.took, request.timeout)
  return reply
end

-- --- what comes of a call ------------------------------------------------------------------------------------------

function Model:check_token(party, token)
  local known, now = self.server.tokens[token], self.clock:boot()
  self:check(known, "%s: the token %s is none that was issued", party.name, token)
  local margin = known.was_given_again and 0 or math.min(30, known.life / 10)
  self:check(now < known.sent + known.life - margin + 0.05 or now < known.came + GRACE + 0.05,
    "%s: the token %s expired %.2f s ago", party.name, token, now - known.sent - known.life + margin)
  for _, dead in ipairs(party.dead) do
    self:check(dead.token ~= token or known.came >= dead.at,
      "%s: the token %s was invalidated %.2f s ago, and came %.2f s ago", party.name, token, now - dead.at,
      now - known.came)
  end
  party.last = token
end

function Model:check_failure(party, kind, message, code, detail)
  self:check(CODES[code] and type(message) == "string" and type(detail) == "table", "%s: a failure without words: %s",
    party.name, tostring(message))
  self:check(code ~= "closed" or party.process.is_closed, "%s: closed is said, and nothing was closed", party.name)
  self:check(not message:find "the%-client%-secret", "%s: a secret is printed: %s", party.name, message)
  self:check(select(2, message:gsub("client_id from", "")) < 2, "%s: said twice: %s", party.name, message)
  if not kind:find "^late" and message:find "not tried again" then
    self:check(detail.retry_after >= 0 and self.clock:boot() < self.server.pause_ends + SLACK,
      "%s: a pause that is over counts: %s", party.name, message)
  end
end

-- Checks what a method returned: `kind` says what that is on success; "late" is a token that may have come some time
-- before, as a failure may, also that of a "late reply".
function Model:check_result(party, kind, value, message, code, detail)
  local shown = value == nil and ("nil, %s"):format(code) or tostring(value)
  self:log("   -> %s", shown)
  if value == nil then
    self:check_failure(party, kind, message, code, detail)
  elseif kind == "token" or kind == "header" or kind == "late" then
    self:check_token(party, kind == "header" and value:match "^Bearer (.+)$" or value)
  end
end

-- Whether a token lies ready, and will for so many seconds.
local function is_usable(party, seconds)
  local status = party.client:status()
  return (status.state == "fresh" or status.state == "stale")
    and status.expires_in > math.min(30, status.lifetime / 10) + (seconds or 0) + 0.5, status.state
end

-- Whether a token lies in the records that a process may look at.
local function may_find_token(self, process)
  for _, shared in ipairs { self.folder.records, self.world.redis.records } do
    for _, records in pairs(shared) do
      if process.kind.options.cache and (records.token or records.last and records.last.status == 200) then
        return true
      end
    end
  end
  return false
end

-- Notes a call that may have requests made, or locks held, so long: a stale token is renewed beside it.
local function note_call(self, party, limit)
  local _, state = is_usable(party)
  local may_be_stale = state == "fresh" or state == "stale" or self.server.life < 100
    or may_find_token(self, party.process)
  local longest = may_be_stale and limit + party.process.timeout or limit
  party.process.deadline = math.max(party.process.deadline, self.clock:boot() + longest)
end

-- A call that blocks, for so many seconds at most.
function Model:call(party, kind, limit, body, ...)
  note_call(self, party, limit)
  local moved = self.world.moved
  local results = table.pack(body(party.client, ...))
  moved = self.world.moved - moved
  self:check_result(party, kind, table.unpack(results, 1, results.n))
  self:check(moved <= limit + SLACK, "%s: the call took %.2f s of %.2f", party.name, moved, limit)
  return results[1], moved
end

-- --- coroutines of an event loop -----------------------------------------------------------------------------------

local function is_readable(fd)
  local polled = { pollfd = fd, events = "r" }
  return cqueues.poll(polled, 0) == polled
end

-- What a coroutine does next: it has ended, gives the secret, or waits for a descriptor for so many seconds.
function Model:resume(task, ...)
  local late = self.clock:boot() > task.deadline + SLACK
  self.task = task
  local ok, value, more, code, detail = coroutine.resume(task.thread, ...)
  self.task = nil
  self:check(ok, "%s: %s raised an error: %s", task.party.name, task.name, tostring(value))
  if coroutine.status(task.thread) == "dead" then
    remove(self.tasks, task)
    self:log("      %s: the coroutine for %s ends", task.party.name, task.name)
    self:check_result(task.party, task.brings_token and "late" or "late reply", value, more, code, detail)
  elseif value == "secret" then
    task.fd, task.till = nil, math.huge
  else
    task.fd, task.till = value, self.clock:boot() + more
    self:check(math.type(value) == "integer" and value >= 0, "%s: no descriptor to wait for", task.party.name)
    self:check(not late, "%s: %s goes on %.2f s after its deadline", task.party.name, task.name,
      self.clock:boot() - task.deadline)
    self:check(more >= 0 and task.till <= task.deadline + 1 + SLACK, "%s: %s waits %.2f s beyond its deadline",
      task.party.name, task.name, task.till - task.deadline)
  end
end

function Model:start_task(party, name, brings_token, limit, body)
  if #self.tasks >= TASKS_MAX then
    return
  end
  note_call(self, party, limit)
  local task = { party = party, name = name, brings_token = brings_token, till = 0,
    deadline = self.clock:boot() + limit, thread = coroutine.create(body) }
  self.tasks[#self.tasks + 1] = task
  self:resume(task, party.client)
end

-- Whether the loop would let it go on now. Who gives a secret takes his time.
local function is_due(self, task)
  if not task.fd then
    return self:happens(0.5)
  end
  return self.clock:boot() >= task.till or is_readable(task.fd)
end

function Model:run_loop()
  for _, task in ipairs { table.unpack(self.tasks) } do
    if is_due(self, task) then
      self:resume(task)
    end
  end
end

-- --- operations: weight and what is done -----------------------------------------------------------------------------

local operations = {}

-- Notes an invalidation, which counts from its beginning, also while Redis is waited for: the client returns the token
-- again only if the server gives it again after that.
local function note_dead(party, token, began)
  table.insert(party.dead, 1, { token = token, at = began })
  party.dead[DEAD_MAX + 1] = nil
end

local function min_valid(self)
  return { min_valid = self:one_of { 1, 60, 600, 5000, 100000 } }
end

operations[60] = { token = function(self, party)
  local usable, state = is_usable(party)
  local kind = self:happens(0.8) and "token" or "header"
  self:log("%s: %s, %s", party.name, kind, state)
  local value, moved = self:call(party, kind, party.process.timeout, party.client[kind])
  self:check(not usable or value and moved == 0, "%s: a usable token was not returned at once", party.name)
end }

operations[4] = {
  min_valid = function(self, party)
    local options = min_valid(self)
    self:log("%s: token for %g s", party.name, options.min_valid)
    local usable = is_usable(party, party.process.timeout)
    local value = self:call(party, "token", party.process.timeout, party.client.token, options)
    self:check(value or not usable, "%s: a usable token was not returned", party.name)
  end,
  renew = function(self, party)
    self:log("%s: renew", party.name)
    self:call(party, "token", party.process.timeout, party.client.renew)
  end,
  invalidate = function(self, party)
    local token = party.last
    self:log("%s: invalidate %s", party.name, token)
    if token then
      local began = self.clock:boot()
      self:call(party, "done", party.process.timeout, party.client.invalidate, token)
      note_dead(party, token, began)
    end
  end,
  status = function(self, party)
    local shares = self:happens(0.5)
    self:log("%s: status%s", party.name, shares and ", shared" or "")
    self:call(party, "status", party.process.timeout, party.client.status, { shared = shares })
  end,
  call = function(self, party)
    local limit = self:one_of { 1, 5, 20 }
    self:log("%s: an API call, %g s", party.name, limit)
    self:call(party, "reply", limit, party.client.get, "/x", { timeout = limit })
  end,
  pending = function(self, party)
    local usable = is_usable(party)
    note_call(self, party, party.process.timeout)
    self:log("%s: pending", party.name)
    local options = self:happens(0.2) and min_valid(self) or nil
    local pending, message, code, detail = party.client:pending(options)
    if not pending then
      return self:check_failure(party, "late", message, code, detail)
    end
    self:check(pending:fd() >= 0, "%s: a pending token without a descriptor", party.name)
    self.pendings[#self.pendings + 1] = { party = party, pending = pending,
      deadline = self.clock:boot() + party.process.timeout }
    self:check(not usable or options or pending:done(),
      "%s: a usable token is pending", party.name)
  end,
  weather = function(self)
    local list = self:happens(0.7) and { "well", "same again", "one at a time" } or server.WEATHER
    self.server.weather, self.server.is_slow = self:one_of(list), self:happens(0.2)
    self.server.life = self:one_of { 5, 60, 900, 7200 }
    self:log("the token endpoint: %s%s, tokens of %d s", self.server.weather, self.server.is_slow and ", slow" or "",
      self.server.life)
  end,
}

operations[6] = {
  milliseconds = function(self)
    self:pass(self.random() * 0.1)
  end,
  seconds = function(self)
    self:pass(self.random() * 8)
  end,
  minutes = function(self)
    self:pass(self.random() * 300)
  end,
  ["coroutine for a token"] = function(self, party)
    self:log("%s: a coroutine for a token", party.name)
    self:start_task(party, "token", true, party.process.timeout, function(client) return client:token() end)
  end,
  poll = function(self)
    local entry = self.pendings[1] and self:one_of(self.pendings)
    return entry and self:poll(entry)
  end,
}

operations[14] = { loop = function(self)
  self:log("the event loop runs")
  self:run_loop()
end }

operations[2] = {
  hours = function(self)
    self:pass(self.random() * 3 * 3600)
  end,
  ["invalidate the current one"] = function(self, party)
    local token = party.last
    self:log("%s: invalidate, last %s", party.name, token)
    local began = self.clock:boot()
    local was_there = self:call(party, "done", party.process.timeout, party.client.invalidate)
    if was_there and token then
      note_dead(party, token, began)
    end
  end,
  ["invalidate a foreign one"] = function(self, party)
    self:log("%s: invalidate a foreign token", party.name)
    self:call(party, "done", party.process.timeout, party.client.invalidate, self.server.order[1] or "foreign")
  end,
  ["coroutine that renews"] = function(self, party)
    self:log("%s: a coroutine that renews", party.name)
    self:start_task(party, "renew", true, party.process.timeout, function(client) return client:renew() end)
  end,
  ["coroutine that calls"] = function(self, party)
    local limit = self:one_of { 1, 5, 20 }
    self:log("%s: a coroutine that makes an API call of %g s", party.name, limit)
    self:start_task(party, "an API call", false, limit, function(client)
      return client:get("/x", { timeout = limit })
    end)
  end,
  ["drop a coroutine"] = function(self)
    local task = self.tasks[1] and self:one_of(self.tasks)
    if task then
      self:log("%s: the coroutine for %s is dropped%s", task.party.name, task.name, task.fd and "" or " in the secret")
      remove(self.tasks, task)
      if self:happens(0.5) then
        coroutine.close(task.thread)
      end
    end
  end,
  ["wake without a reason"] = function(self)
    local task = self.tasks[1] and self:one_of(self.tasks)
    if task and task.fd then
      self:log("%s: the coroutine for %s is woken without a reason", task.party.name, task.name)
      self:resume(task)
    end
  end,
  ["drop a pending token"] = function(self)
    local entry = self.pendings[1] and self:one_of(self.pendings)
    if entry then
      self:log("%s: a pending token is dropped", entry.party.name)
      remove(self.pendings, entry)
      entry.pending:close()
    end
  end,
  ["API weather"] = function(self)
    self.server.api_weather = self:happens(0.6) and "well" or self:one_of(server.API_WEATHER)
    self:log("the API: %s", self.server.api_weather)
  end,
  ["another process's reply"] = function(self)
    self:with_records(function(records)
      local reply = self:one_of { { status = 503, body = "", retry_after = self.random(40) },
        { status = 200, body = "{" }, { status = 401, body = '{"error":"invalid_client"}' },
        { status = 429, body = "" } }
      records.last = self.world:record(reply, self.random(5))
      self.server:note_failure("another process", reply.retry_after)
      self:log("another process had a %d", reply.status)
    end)
  end,
  ["records go"] = function(self)
    self:with_records(function(records)
      self:log("records are removed")
      worlds.remove(records)
    end)
  end,
  reopen = function(self, party)
    local process = party.process
    self:log("%s: close and open", process.name)
    self:close(process)
    open(self, process.kind)
  end,
}

operations[1] = {
  ["a lock is held"] = function(self)
    self:with_records(function(records)
      self:log("another process holds a lock")
      records.lock = records.lock or self
    end)
  end,
  ["locks are free"] = function(self)
    self:log("locks are free")
    self:free_locks()
  end,
  ["the folder"] = function(self)
    self.folder.problem = not self.folder.problem and self:happens(0.3) and "no space is left" or nil
    self.folder.lockless = not self.folder.lockless and self:happens(0.3) or nil
    self:log("the folder: %s%s", self.folder.problem or "fine", self.folder.lockless and ", without locks" or "")
  end,
  redis = function(self)
    self.world.redis.answers = not self.world.redis.answers
    self:log("Redis: %s", self.world.redis.answers and "up" or "down")
  end,
  ["no threads"] = function(self, party)
    local s = party.process.s
    s.threadless = not s.threadless and self:happens(0.5)
    s.why = not s.why and self:happens(0.2) and "no descriptor is left" or nil
    if s.threadless or s.why then
      self.server:note_failure(s)
    end
    self:log("%s: %s, %s", party.process.name, s.threadless and "no threads" or "threads", s.why or "descriptors")
  end,
  ["the secret's function fails"] = function(self)
    self.secret_fails = not self.secret_fails and self:happens(0.5)
    self:log("the secret's function %s", self.secret_fails and "fails" or "works")
  end,
  rotate = function(self)
    self:log("another secret")
    self.server:rotate()
    if self:happens(0.5) then
      self:rotate_source()
    end
  end,
  ["the source follows"] = function(self)
    self:log("the secret's source follows")
    self:rotate_source()
  end,
  revoke = function(self)
    self:log("all tokens are revoked")
    self.server:revoke()
  end,
  ["clock jumps"] = function(self)
    local seconds = (self.random() - 0.5) * 2 * self:one_of { 10, 1000, 10000 }
    self:log("the wall clock jumps by %.1f s", seconds)
    self.clock:shift(0, seconds)
    self:reset_budgets()
  end,
  reset = function(self, party)
    self:log("%s: resets its credential", party.name)
    self:call(party, "reset", party.process.timeout, function(client)
      return client.credentials:reset "an-identifier"
    end)
  end,
  ["close and revoke"] = function(self, party)
    local process = party.process
    self:log("%s: close and revoke", process.name)
    self:call(process.parties[1], "done", process.timeout * 2, party.client.close, { revoke = true })
    self:close(process)
    open(self, process.kind)
  end,
  heal = function(self)
    self:heal()
  end,
}

local CHOICES = {}
for weight, list in pairs(operations) do
  local names = {}
  for name in pairs(list) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    for _ = 1, weight do
      CHOICES[#CHOICES + 1] = list[name]
    end
  end
end

-- --- parts of operations ---------------------------------------------------------------------------------------------

-- From now on the source of all secrets gives the one that the server knows.
function Model:rotate_source()
  self.source_secret = self.server.secret
  files.write(self.secret_path, self.source_secret)
end

function Model:pass(seconds)
  self:log("%.3f s pass", seconds)
  self.world:pass(seconds)
end

function Model:reset_budgets()
  self.budgets = {}
end

-- Does something with the records of a token in a folder, if there are any.
function Model:with_records(body)
  local names = {}
  for name in pairs(self.folder.records) do
    names[#names + 1] = name
  end
  table.sort(names)
  if names[1] then
    body(self.folder.records[self:one_of(names)])
  end
end

function Model:free_locks()
  for _, records in pairs(self.folder.records) do
    records.lock = records.lock ~= self and records.lock or nil
  end
end

-- Looks at a pending token, or takes its result, which may block.
function Model:poll(entry)
  local party, pending = entry.party, entry.pending
  local was_readable = is_readable(pending:fd())
  local is_done = pending:done()
  local now = self.clock:boot()
  self:log("%s: a pending token, %s", party.name, is_done and "done" or "not done")
  self:check(not is_done or is_readable(pending:fd()), "%s: a pending token is done, and not readable", party.name)
  self:check(is_done or now < entry.deadline + SLACK, "%s: a token is pending after its deadline", party.name)
  self:check(is_done or not party.process.is_closed, "%s: a token is pending after close", party.name)
  if is_done and not was_readable then
    self:check(now >= entry.deadline or self.woke_late, "%s: a pending token was done, and not readable", party.name)
  end
  if is_done or self:happens(0.3) then
    remove(self.pendings, entry)
    self:call(party, "late", math.max(entry.deadline - now, 0), function() return pending:result() end)
    pending:close()
  end
end

function Model:close(process)
  process.s.client:close()
  process.is_closed = true
  for _, task in ipairs { table.unpack(self.tasks) } do
    if task.party.process == process and task.fd then
      self:check(is_readable(task.fd), "%s: %s sleeps on after close", task.party.name, task.name)
      self:resume(task)
      self:check(coroutine.status(task.thread) == "dead", "%s: %s goes on after close", task.party.name, task.name)
    end
  end
  for _, party in ipairs(process.parties) do
    remove(self.parties, party)
  end
  remove(self.processes, process)
end

-- Whether a coroutine waits for a descriptor.
function Model:is_waiting()
  for _, task in ipairs(self.tasks) do
    if task.fd then
      return true
    end
  end
  return false
end

-- All is well again: after a back-off every client has a token, and every coroutine its result.
function Model:heal()
  self:log("all is well")
  self.server.weather, self.server.api_weather, self.server.is_slow, self.server.life = "well", "well", false, 7200
  self.folder.problem, self.folder.lockless, self.world.redis.answers = nil, nil, true
  self.secret_fails = false
  self:rotate_source()
  self:free_locks()
  for _, process in ipairs { table.unpack(self.processes) } do
    process.s.threadless, process.s.why = false, nil
    if process.kind.secret == "value" and process.secret ~= self.server.secret then
      self:close(process)
      open(self, process.kind)
    end
  end
  repeat -- what is under way with a former assertion is refused meanwhile
    self:pass(math.max(self.server.pause_ends - self.clock:boot(), 31))
  until self.clock:boot() >= self.server.pause_ends
  local rounds = 0
  while self:is_waiting() and rounds < 50 do
    self:run_loop()
    self.world:pass(0.1)
    rounds = rounds + 1
  end
  self:check(not self:is_waiting(), "a coroutine has no end")
  for _, party in ipairs { table.unpack(self.parties) } do
    self:log("%s: token", party.name)
    local value = self:call(party, "token", party.process.timeout, party.client.token)
    local tries = party.client == party.process.s.client and 1 or #self.parties -- each may share a token that is dead
    for _ = 2, tries do
      if not value then
        self:pass(20)
        value = self:call(party, "token", party.process.timeout, party.client.token)
      end
    end
    self:check(value, "%s: no token, though all is well", party.name)
  end
end

-- --- a run -----------------------------------------------------------------------------------------------------------

-- Nobody makes requests, or holds locks, longer than somebody wants their result.
local function check_threads(self)
  for _, thread in ipairs(self.world.threads) do
    local process = self.by_network[thread.owner]
    self:check(not process.is_closed, "%s: a request is under way after close", process.name)
    self:check(thread.deadline <= process.deadline + SLACK, "%s: a request has %.2f s more than whoever wants it",
      process.name, thread.deadline - process.deadline)
  end
end

local function new(seed)
  local clock = core.clock()
  clock:stop()
  local world = worlds.of(clock)
  world.poll = 0.2
  local self = setmetatable({
    seed = seed, random = generator(seed), clock = clock, world = world, began = clock:boot(), step = 0,
    operations = {}, logged = 0, processes = {}, parties = {}, tasks = {}, pendings = {},
    by_network = setmetatable({}, { __mode = "k" }), folder = world:folder "/shared", secret_path = os.tmpname(),
  }, Model)
  self.server = server.new(world, self.random)
  self:rotate_source()
  self:reset_budgets()
  for _, kind in ipairs(KINDS) do
    if not kind.needs or pcall(require, kind.needs) then
      open(self, kind)
    end
  end
  return self
end

--- So many operations; raises what does not hold, with the seed and the last operations.
function model.run(seed, steps)
  local self = new(seed)
  local _ <close> = setmetatable({}, { __close = function() os.remove(self.secret_path) end })
  for step = 1, steps do
    self.step = step
    CHOICES[self.random(#CHOICES)](self, self:one_of(self.parties))
    self:check(not self.broken, "%s", self.broken)
    check_threads(self)
  end
  self:heal()
  for _, process in ipairs { table.unpack(self.processes) } do
    self:close(process)
  end
  for _, entry in ipairs(self.pendings) do
    entry.pending:close()
  end
  return self.server.count
end

return model

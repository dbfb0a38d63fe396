-- The places of a client's requests: first come, first served, held by requests on their way alone, and free again
-- without a collection of garbage.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local connection_pool = require "central.auth.token.connection_pool"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local deadlines = require "central.auth.deadline"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local transfers = require "central.auth.token.transfers"
local waiter = require "central.auth.token.waiter"
local with = require "spec.support.with"

local LIMIT, LOOK = 16, 0.1

describe("a place", function()
  local clock, source, places, started, ended

  -- In place of a transfer: `ended[name] = true` brings the reply.
  local function transfer()
    local own = setmetatable({}, { __close = function() end })
    function own:call(request)
      self.name = request.body
      started[#started + 1] = self.name
      return self:finish()
    end
    function own:wait() return ended[self.name] or false end
    function own:finish() return self:wait() and { status = 200, body = "reply to " .. self.name } or nil end
    function own.ours() return true end
    function own:close() ended[self.name] = "closed" end
    return own
  end

  before_each(function()
    clock, started, ended = core.clock(), {}, {}
    source = { clock = clock, config = { connect_timeout = 1, wait = function() coroutine.yield() end },
      parts = { transfer = transfer } }
    source.waiter, source.transfers = waiter.new(source), transfers.new(source)
    places = connection_pool.new(source)
  end)

  local Asked = {}
  Asked.__index = Asked

  -- Goes on as the event loop lets it. Whether it is done.
  function Asked:look()
    if coroutine.status(self.routine) == "suspended" then
      local ok, reply, failure = coroutine.resume(self.routine)
      assert(ok, reply)
      self.reply, self.failure = reply, failure
    end
    return coroutine.status(self.routine) == "dead"
  end

  -- A request that is asked for now.
  local function ask(name, seconds)
    local asked = setmetatable({ routine = coroutine.create(function()
      return places:call({ body = name }, deadlines.new(clock, seconds or 1000), source)
    end) }, Asked)
    asked:look()
    return asked
  end

  local function fill()
    local all = {}
    for n = 1, LIMIT do
      all[n] = ask("r" .. n)
    end
    assert.equal(LIMIT, #started)
    return all
  end

  local function pass(...)
    for _ = 1, 4 do
      clock:shift(LOOK / 2, LOOK / 2)
      for _, asked in ipairs { ... } do
        asked:look()
      end
    end
  end

  it("goes to the request that came first, whichever is polled first, and not to one that comes later", function()
    local all = fill()
    local first, second, third = ask "first", ask "second", ask "third"
    pass(third, second, first)
    assert.equal(LIMIT, #started)
    ended.r3 = true
    assert.is_true(all[3]:look())
    assert.equal("reply to r3", all[3].reply.body)
    local late = ask "late"
    assert.equal(LIMIT, #started)
    pass(late, third, second, first)
    assert.equal("first", started[LIMIT + 1])
    assert.is_nil(started[LIMIT + 2])
    for n, name in ipairs { "second", "third", "late" } do
      ended["r" .. n + 3] = true
      all[n + 3]:look()
      pass(late, third, second, first)
      assert.equal(name, started[LIMIT + 1 + n])
      assert.is_nil(started[LIMIT + 2 + n])
    end
  end)

  it("leaves its connection to the next request, also where all are taken", function()
    local made = 0
    source.transfers = transfers.new({ clock = clock, parts = { transfer = function()
      made = made + 1
      return transfer()
    end } })
    places = connection_pool.new(source)
    for _ = 1, 2 do
      started, ended = {}, {}
      for n, asked in ipairs(fill()) do
        ended["r" .. n] = true
        assert.is_true(asked:look())
      end
    end
    assert.equal(LIMIT, made)
  end)

  it("is free once its reply has come, read or not, and the reply is not lost", function()
    local all = fill()
    for n = 1, LIMIT do
      ended["r" .. n] = true
    end
    for n = 1, LIMIT do
      ask("s" .. n)
    end
    assert.equal("s" .. LIMIT, started[2 * LIMIT])
    for n = 1, LIMIT do
      assert.is_true(all[n]:look())
      assert.equal("reply to r" .. n, all[n].reply.body)
    end
  end)

  it("is not kept for a request that is not polled, which is first again after that", function()
    local all = fill()
    local absent, present, later = ask "absent", ask "present", ask "later"
    ended.r1 = true
    all[1]:look()
    clock:shift(1, 1)
    present:look() -- a loop that stood still: the one before has had no chance yet
    assert.equal(LIMIT, #started)
    pass(later, present)
    assert.equal("present", started[LIMIT + 1])
    ended.r2 = true
    all[2]:look()
    absent:look()
    pass(later, absent)
    assert.equal("absent", started[LIMIT + 2])
    coroutine.close(absent.routine)
    pass(later)
    assert.equal("later", started[LIMIT + 3])
  end)

  it("ends with the client, and its connection with it", function()
    local asked = ask "r1"
    source.closed = true
    assert.is_true(asked:look())
    assert.equal("closed", asked.failure.code)
    assert.equal("closed", ended.r1)
  end)

  it("is waited for until the deadline at most", function()
    local running = fill()
    local asked = ask("late", 0.5)
    pass(asked)
    assert.is_false(asked:look())
    clock:shift(0.5, 0.5)
    assert.is_true(asked:look())
    assert.equal("timeout", asked.failure.code)
    assert.matches("16 requests", asked.failure.message)
    assert.equal(LIMIT, #running) -- which hold their places as long as they are not collected
  end)
end)

describe("over the network", function()
  local server

  before_each(function() server = sandbox.start { lifetime = 7199 } end)
  after_each(function() server:close() end)

  local function options(timeout)
    return with(server:options(), { wait = loops.cqueues, timeout = timeout })
  end

  it("24 coroutines have fair shares of 16 places #slow #timing", function()
    local c <close> = assert(auth.new(options(5)))
    assert(c:token())
    local loop, counts = cqueues.new(), {}
    local till = cqueues.monotime() + 1.2
    for n = 1, 24 do
      counts[n] = 0
      loop:wrap(function()
        while cqueues.monotime() < till do
          assert(c:get("/sandbox/v1/echo", { query = { wait = 0.055 } }))
          counts[n] = counts[n] + 1
        end
      end)
    end
    assert(loop:loop())
    table.sort(counts)
    assert.is_true(counts[8] > 1 and counts[8] * 2 >= counts[17], table.concat(counts, " ")) -- a machine may be busy
  end)

  it("16 tenants renewed in the background, and not called since, keep no place", function()
    local clock = core.clock()
    local msp <close> = client.new(assert(config.resolve(options(1))), { clock = clock })
    assert(msp:token())
    local tenants = {}
    for n = 1, LIMIT do
      tenants[n] = assert(msp:tenant(("%032d"):format(n)))
      assert(tenants[n]:token())
    end
    clock:shift(6800, 6800) -- stale, and usable
    assert(msp:renew())
    local before, threads = server:requests().token, process.count_now "task"
    for n = 1, LIMIT do
      assert(tenants[n]:token())
    end
    process.wait_until(function()
      return server:requests().token == before + LIMIT
    end, 30, "renewals in the background")
    process.wait_until(function() return process.count_now "task" <= threads end, 30, "their replies")
    assert(assert(msp:tenant(("%032d"):format(17))):token())
    assert(msp:renew())
    for n = 1, LIMIT do
      assert.equal("stale", tenants[n]:status().state)
      process.wait_until(function() -- what came was kept
        assert(tenants[n]:token())
        return tenants[n]:status().state == "fresh"
      end, 30, "a reply that was not read before")
    end
    assert.equal(before + LIMIT + 2, server:requests().token)
  end)

  it("calls that were dropped in the middle free their places without a collection", function()
    if process.SLOWER > 1 then
      return pending "here the collector runs at every step"
    end
    local c <close> = assert(auth.new(options(2)))
    assert(c:token())
    local collected = false
    setmetatable({}, { __gc = function() collected = true end })
    collectgarbage "stop"
    local _ <close> = setmetatable({}, { __close = function() collectgarbage "restart" end })
    local loop, good = cqueues.new(), 0
    loop:wrap(function()
      for _ = 1, 24 do -- more than there are places
        local dropped = coroutine.create(function() c:get("/sandbox/v1/echo", { query = { wait = 0.03 } }) end)
        assert(coroutine.resume(dropped))
      end
      for _ = 1, 24 do
        loop:wrap(function()
          assert(c:get("/sandbox/v1/echo"))
          good = good + 1
        end)
      end
    end)
    assert(loop:loop())
    assert.equal(24, good)
    assert.is_false(collected)
  end)
end)

-- Renewal in the background: which calls wait for it, which do not, what is shared. By a scripted network and a movable
-- clock; real threads, loops and hosts are in exit_and_fork_spec, event_loops_spec and host_programs_spec.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local token, refusal, broken, slow = scripted.token, scripted.refusal, scripted.broken, scripted.slow

local function stale(replies, options)
  local s = scripted.new(replies, options)
  s.client:token()
  s:wait(950)
  assert.equal("stale", s.client:status().state)
  return s
end

describe("renewal in the background #valgrind", function()
  it("returns the old token while it is under way, and makes one request", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000)) }
    local before = s.clock:boot()
    for _ = 1, 100 do
      assert.equal("t1", s.client:token())
    end
    assert.near(before, s.clock:boot(), 0.5)
    s:wait(1)
    assert.equal("t2", s.client:token())
    assert.equal(2, s.requests)
    assert.same({ "fetched", "renewed" }, s.events)
  end)

  it("holds up one coroutine at a time where a function that gives an assertion yields", function()
    local calls = 0
    local function give()
      calls = calls + 1
      if coroutine.isyieldable() then
        coroutine.yield "reads the assertion"
      end
      return "a-long-enough-assertion"
    end
    local s = stale({ token("t1", 1000), token("t2", 1000) }, { client_secret = scripted.NONE,
      client_assertion = give })
    local function call()
      return select(2, coroutine.resume(coroutine.create(function() return s.client:token() end)))
    end
    assert.equal("reads the assertion", call()) -- and is dropped
    for _ = 1, 10 do
      assert.equal("t1", call())
    end
    assert.equal(2, calls)
    s:wait(1)
    assert.equal("t1", s.client:token()) -- starts another renewal
    s:wait(1)
    assert.equal("t2", s.client:token())
  end)

  it("brings its token also to a call long after", function()
    local s = scripted.new { token("t1", 10000), slow(token("t2", 10000)) }
    s.client:token()
    s:wait(9500)
    assert.equal("t1", s.client:token())
    s:wait(s.config.timeout + 61)
    assert.equal("t2", s.client:token())
    assert.equal(2, s.requests)
  end)

  it("is joined by calls that need it, once the old token has expired", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000), 30) }
    s.config.timeout = 40
    s.client:token()
    s:wait(25)
    local before = s.clock:boot()
    s.config.timeout = 10
    assert.equal("t2", s.client:token())
    assert.near(5, s.clock:boot() - before, 0.1)
    assert.equal(2, s.requests)
  end)

  it("retries for a call that joins it, with the pauses of any other", function()
    local s = stale { token("t1", 1000), slow(broken(), 30), token("t3", 1000) }
    s.config.timeout = 40
    s.client:token()
    s:wait(25)
    assert.equal("t3", s.client:token())
    assert.equal(3, s.requests)
    assert.same({ "fetched", "retry", "renewed" }, s.events)
  end)

  it("keeps a call that joins it no longer than the timeout", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000), 60) }
    s.config.timeout = 100
    s.client:token()
    s:wait(25)
    s.config.timeout = 10
    local before = s.clock:boot()
    assert.equal("timeout", (select(3, s.client:token())))
    assert.near(10, s.clock:boot() - before, 0.1)
    s:wait(30)
    assert.equal("t2", s.client:token())
    assert.equal(2, s.requests)
  end)

  it("keeps an API call that joins it no longer than that call has", function()
    local s = scripted.new({ slow(token("t1", 1000), 20) }, { timeout = 30, base_url = "https://api.example" })
    local pending <close> = s.client:pending()
    local before = s.clock:boot()
    assert.equal("timeout", (select(3, s.client:get("/x", { timeout = 1 }))))
    assert.near(1, s.clock:boot() - before, 0.2)
    assert.equal("t1", pending:result())
    assert.equal(1, s.requests)
  end)

  it("keeps it no longer where no thread can be started any more, either", function()
    local s = scripted.new({ slow({ status = 500, body = "" }, 2), slow(token("t2", 1000), 20),
      slow(token("t3", 1000), 20) }, { timeout = 60, base_url = "https://api.example", wait = coroutine.yield })
    local waiter = coroutine.wrap(function() return s.client:token() end)
    waiter()
    s:wait(2)
    s.threadless = true
    local before = s.clock:boot()
    assert.equal("timeout", (select(3, s.client:get("/x", { timeout = 5 }))))
    assert.near(5, s.clock:boot() - before, 0.2)
    local got = waiter() -- which blocks: it has the time
    assert.equal("t3", got)
  end)

  it("is joined by no call that comes after its time, where no thread works on it", function()
    local s = scripted.new({ refusal "invalid_client", token("t2", 1000) },
      { client_secret = scripted.NONE, client_secret_command = "echo a-long-enough-secret" })
    s.threadless = true
    local pending <close> = s.client:pending() -- was refused, and would read the secret again
    s:wait(11)
    assert.equal("t2", s.client:token())
    assert.is_true(pending:done())
  end)

  it("of an API call goes on for a call that joins it and has more time", function()
    local s = scripted.new(function(n) return slow(token("t" .. n, 1000), 5) end,
      { timeout = 30, base_url = "https://api.example", wait = coroutine.yield })
    local call = coroutine.wrap(function() return nil, select(3, s.client:get("/x", { timeout = 1 })) end)
    local waiter = coroutine.wrap(function() return nil, s.client:token() end)
    call()
    waiter()
    local function result_within(seconds, thread)
      for _ = 1, seconds do
        s:wait(1)
        local fd, result = thread()
        if not fd then
          return result
        end
      end
    end
    assert.equal("timeout", result_within(2, call))
    assert.equal("t2", result_within(8, waiter))
  end)

  it("costs nothing when it fails, and waits for the back-off", function()
    local s = stale { token("t1", 1000), slow(broken()), slow(token("t3", 1000)) }
    s.client:token()
    s:wait(1)
    assert.equal("t1", s.client:token()) -- takes notice
    assert.equal("t1", s.client:token())
    assert.equal(2, s.requests)
    assert.near(0.5, s.client:status().next_try_in, 0.05 * process.SLOWER)
    s:wait(0.6)
    s.client:token()
    s:wait(1)
    assert.equal("t3", s.client:token())
  end)

  it("does not return a token that expired before its reply was read", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000)), token("t3", 1000) }
    s.client:token()
    s:wait(5000)
    assert.equal("t3", s.client:token())
  end)

  it("is what renew waits for, and token with min_valid", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000)) }
    s.client:token()
    assert.equal("t2", s.client:renew())
    s = stale { token("t1", 1000), slow(token("t2", 1000)) }
    s.client:token()
    assert.equal("t2", (s.client:token { min_valid = 600 }))
    assert.equal(2, s.requests)
  end)

  it("is given up by close", function()
    local s = stale { token("t1", 1000), slow(token("t2", 1000)) }
    s.client:token()
    s.client:close()
    assert.is_nil(s.on_its_way)
    assert.equal("closed", (select(3, s.client:token())))
  end)

  it("leaves it to another process that renews already, and takes what that gets", function()
    local clock = core.clock()
    local first = scripted.new({ token("t1", 1000), slow(token("t2", 1000), 3) }, { cache = "/shared" }, clock)
    local second = scripted.new({}, { cache = "/shared" }, clock)
    first.client:token()
    second.client:token()
    first:wait(950)
    for _ = 1, 3 do
      assert.equal("t1", first.client:token())
      assert.equal("t1", second.client:token())
      first:wait(0.9)
    end
    first:wait(2)
    assert.equal("t2", second.client:token())
    assert.equal("cache", second.client:status().source)
    assert.equal("t2", first.client:token())
    assert.equal(0, second.requests)
  end)
end)

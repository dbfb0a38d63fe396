-- Renewal in the background and pending tokens: who waits, who does not, what is shared. By a scripted network and a
-- movable clock; real threads, loops and hosts are in exit_and_fork_spec, event_loops_spec and host_programs_spec.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local cqueues = require "cqueues"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

-- A reply that takes a second.
local function slow(reply, took)
  reply.took = took or 1
  return reply
end

local function is_readable(pending)
  local polled = { pollfd = pending:fd(), events = "r" }
  return cqueues.poll(polled, 0.02) == polled
end

local function stale(replies, options)
  local s = scripted.new(replies, options)
  s.client:token()
  s:wait(950)
  assert.equal("stale", s.client:status().state)
  return s
end

describe("renewal in the background #valgrind", function()
  it("hands the old token out while it is under way, and asks once", function()
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

  it("brings its token also to who looks long after", function()
    local s = scripted.new { token("t1", 10000), slow(token("t2", 10000)) }
    s.client:token()
    s:wait(9500)
    assert.equal("t1", s.client:token())
    s:wait(s.config.timeout + 61)
    assert.equal("t2", s.client:token())
    assert.equal(2, s.requests)
  end)

  it("is joined by who needs it, once the old token has expired", function()
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

  it("tries again for who joins it, with the pauses of any other", function()
    local s = stale { token("t1", 1000), slow(broken(), 30), token("t3", 1000) }
    s.config.timeout = 40
    s.client:token()
    s:wait(25)
    assert.equal("t3", s.client:token())
    assert.equal(3, s.requests)
    assert.same({ "fetched", "retry", "renewed" }, s.events)
  end)

  it("keeps who joins it no longer than the timeout", function()
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

  it("of an API call goes on for who joins it and has more time", function()
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

  it("does not hand out what nobody looked at until it was dead", function()
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

describe("a pending token #valgrind", function()
  it("is done at once where there is a token, and has its descriptor", function()
    local s = scripted.new { token("t1", 1000) }
    s.client:token()
    local pending <close> = assert(s.client:pending())
    assert.is_true(pending:done())
    assert.equal("t1", pending:result())
    assert.is_true(pending:fd() >= 0)
    assert.equal(pending:fd(), pending:pollfd())
    assert.equal("r", pending:events())
    assert.equal(0, pending:timeout())
  end)

  it("comes without waiting", function()
    local s = scripted.new { slow(token("t1", 1000)) }
    local pending <close> = assert(s.client:pending())
    assert.is_false(pending:done())
    assert.near(10, pending:timeout(), 0.1)
    assert.equal("central.auth.pending (under way)", tostring(pending))
    s:wait(0.5)
    assert.is_false(pending:done())
    s:wait(0.5)
    assert.is_true(pending:done())
    assert.equal("central.auth.pending (done)", tostring(pending))
    assert.equal("t1", pending:result())
    assert.equal("t1", pending:result())
    assert.same({ "fetched" }, s.events)
  end)

  it("shares one exchange with all others and with token, each by a descriptor of its own", function()
    local s = scripted.new { slow(token("t1", 1000)) }
    local a <close> = s.client:pending()
    local b <close> = s.client:pending()
    assert.not_equal(a:fd(), b:fd())
    assert.equal("t1", s.client:token())
    assert.is_true(a:done() and b:done())
    assert.equal("t1", a:result())
    assert.equal("t1", b:result())
    assert.equal(1, s.requests)
  end)

  it("waits in result where it is not done", function()
    local s = scripted.new { slow(broken()), slow(token("t2", 1000)) }
    local pending <close> = s.client:pending()
    assert.equal("t2", pending:result())
    assert.near(0.5, s.slept, 0.01 * process.SLOWER) -- the pause between; the requests' own time is another
    assert.equal(2, s.requests)
  end)

  it("fails as token does, and answers from memory likewise", function()
    local s = scripted.new { refusal "invalid_client" }
    for _ = 1, 2 do
      local pending <close> = s.client:pending()
      local none, message, code, detail = pending:result()
      assert.is_nil(none)
      assert.matches("invalid_client", message)
      assert.equal("oauth", code)
      assert.equal("invalid_client", detail.oauth_error)
    end
    assert.equal(1, s.requests)
  end)

  it("ends with the timeout, the renewal goes on", function()
    local s = scripted.new { slow(token("t1", 1000), 12) }
    s.config.timeout = 20
    local long <close> = s.client:pending()
    s.config.timeout = 5
    local short <close> = s.client:pending()
    s:wait(6)
    assert.is_true(short:done())
    assert.equal("timeout", (select(3, short:result())))
    assert.is_false(long:done())
    s:wait(6)
    assert.equal("t1", long:result())
  end)

  it("is closed any number of times, and lets the renewal go on", function()
    local s = scripted.new { slow(token("t1", 1000)) }
    local pending = s.client:pending()
    pending:close()
    pending:close()
    assert.equal(-1, pending:fd())
    assert.is_true(pending:done())
    assert.equal("closed", (select(3, pending:result())))
    s:wait(1)
    assert.equal("t1", s.client:token())
    assert.equal(1, s.requests)
  end)

  it("ends with its client", function()
    local s = scripted.new { slow(token("t1", 1000)) }
    local pending <close> = s.client:pending()
    s.client:close()
    assert.is_true(pending:done())
    assert.equal("closed", (select(3, pending:result())))
  end)

  it("asks again where the token was invalidated before the waiter was told", function()
    local s = scripted.new({ slow(token("t1", 1000)), token("t2", 1000) }, { wait = coroutine.yield })
    local waiter = coroutine.wrap(function() return s.client:token() end)
    waiter()
    s:wait(1)
    assert.equal("t1", s.client:token())
    s.client:invalidate "t1"
    assert.equal("t2", waiter())
  end)

  it("hands out no token that died before its result was asked for: another in time, else none", function()
    local s = scripted.new { slow(token("t1", 5)), slow(token("t2", 1000)) }
    local first <close> = s.client:pending()
    local second <close> = s.client:pending()
    s:wait(1)
    assert.equal("t1", first:result())
    s:wait(5)
    assert.equal("t2", second:result())
    assert.equal("t2", first:result())
    s:wait(5000)
    local none, _, code = first:result()
    assert.is_nil(none)
    assert.equal("timeout", code)
    assert.equal(2, s.requests)
  end)

  it("is begun anew after an error in the middle of the renewal, which wakes the others", function()
    local s = scripted.new({ refusal "invalid_client", token("t2", 1000) },
      { client_secret = scripted.NONE, client_secret_command = "printf a-long-enough-secret" })
    s.took = 1
    local first <close> = s.client:pending()
    local second <close> = s.client:pending()
    s:wait(1)
    function s.world.start()
      s.world.start = nil
      error("not enough memory", 0)
    end
    assert.error_matches(function() first:done() end, "not enough memory")
    assert.is_true(is_readable(second))
    assert.is_false(second:done())
    s:wait(1)
    assert.equal("t2", first:result())
    assert.equal("t2", second:result())
    assert.equal(2, s.requests)
  end)

  it("leaves no descriptor behind", function()
    local s = scripted.new(function(n) return slow(token("t" .. n, 1000)) end)
    local before = process.count()
    for _ = 1, 20 do
      s.client:pending()
      local pending <close> = s.client:pending()
      pending:result()
      s:wait(2000)
    end
    s.client:close()
    assert.equal(before, process.count())
  end)

  it("keeps no descriptor of a renewal that has ended, also where nothing is collected", function()
    local s = scripted.new(function(n) return slow(token("t" .. n, 1000)) end)
    s.client:token()
    local before = process.count()
    collectgarbage "stop"
    for _ = 1, 20 do
      s:wait(950)
      s.client:token()
      s:wait(1)
      s.client:token()
    end
    local after = process.count_now()
    collectgarbage "restart"
    assert.equal(21, s.requests)
    assert.is_true(after <= before, after)
  end)

  it("raises on mistakes at the caller's line", function()
    local s = scripted.new { token("t1", 1000) }
    assert.has_error(function() s.client:pending { min = 1 } end,
      'unknown option "min"')
    local pending <close> = s.client:pending()
    assert.has_error(function() pending.done() end,
      "call methods of a pending token with a colon: pending:done()")
  end)
end)

describe("the option wait #valgrind", function()
  local function in_coroutines(s, count)
    local threads, results = {}, {}
    for i = 1, count do
      threads[i] = coroutine.create(function() results[i] = s.client:token() end)
      assert(coroutine.resume(threads[i]))
    end
    return threads, results
  end

  it("is called with a descriptor and the seconds left, in coroutines alone", function()
    local seen
    local s = scripted.new({ slow(token("t1", 1000)), slow(token("t2", 1000)) }, {
      wait = function(fd, seconds)
        seen = { fd, seconds }
        coroutine.yield()
      end,
    })
    local waiter = coroutine.wrap(function() return s.client:token() end)
    waiter()
    assert.is_true(math.type(seen[1]) == "integer" and seen[1] >= 0)
    assert.near(10, seen[2], 0.1)
    s:wait(1)
    assert.equal("t1", waiter())
    seen = nil
    s:wait(2000)
    local token_there = ("x"):gsub("x", function() return s.client:token() end) -- where nobody can yield
    assert.equal("t2", token_there)
    assert.is_nil(seen)
  end)

  it("lets many coroutines share one exchange", function()
    local s = scripted.new({ slow(token("t1", 1000)) }, { wait = coroutine.yield })
    local threads, results = in_coroutines(s, 10)
    s:wait(1)
    for i = 10, 1, -1 do
      assert(coroutine.resume(threads[i]))
      assert.equal("t1", results[i])
    end
    assert.equal(1, s.requests)
  end)

  it("hands out no token that died before the coroutine went on: another in time, else none", function()
    local s = scripted.new({ slow(token("t1", 5)), slow(token("t2", 1000)) }, { wait = coroutine.yield })
    local threads, results = in_coroutines(s, 3)
    s:wait(1)
    assert(coroutine.resume(threads[1]))
    assert.equal("t1", results[1])
    s:wait(5)
    assert(coroutine.resume(threads[2]))
    s:wait(1)
    assert(coroutine.resume(threads[2]))
    assert.equal("t2", results[2])
    s:wait(5000)
    assert(coroutine.resume(threads[3]))
    assert.is_nil(results[3])
    assert.equal(2, s.requests)
  end)

  it("hands out no dead token by renew, either", function()
    local s = scripted.new({ token("t1", 1000), slow(token("t2", 5)), slow(token("t3", 1000)) },
      { wait = coroutine.yield })
    s.client:token()
    s:wait(950)
    local renewal = coroutine.wrap(function() return s.client:renew() end)
    renewal()
    s:wait(1)
    assert.equal("t2", s.client:token()) -- somebody else takes it in time
    s:wait(5)
    renewal()
    s:wait(1)
    assert.equal("t3", renewal())
  end)

  it("goes on for the others when one is killed, or its wait raises", function()
    local is_killed = false
    local s = scripted.new({ slow(token("t1", 1000)) }, {
      wait = function()
        coroutine.yield()
        assert(not is_killed)
      end,
    })
    local threads, results = in_coroutines(s, 3)
    coroutine.close(threads[1])
    is_killed = true
    assert.is_false((coroutine.resume(threads[2])))
    is_killed = false
    s:wait(1)
    assert(coroutine.resume(threads[3]))
    assert.equal("t1", results[3])
    assert.equal(1, s.requests)
  end)

  it("passes yields of a secret's own function on to the scheduler", function()
    local s = scripted.new({ token("t1", 1000) }, {
      client_secret = function() return coroutine.yield "please read the secret" end,
    })
    local waiter = coroutine.wrap(function() return s.client:token() end)
    assert.equal("please read the secret", waiter())
    assert.equal("t1", waiter "a-long-enough-secret")
  end)
end)

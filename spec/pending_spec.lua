-- Pending tokens: how they come, fail and end. By a scripted network and a movable clock; real threads, loops and hosts
-- are in exit_and_fork_spec, event_loops_spec and host_programs_spec.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local token, refusal, broken, slow = scripted.token, scripted.refusal, scripted.broken, scripted.slow

local function is_readable(pending)
  local polled = { pollfd = pending:fd(), events = "r" }
  return cqueues.poll(polled, 0.02) == polled
end

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

  it("stays readable once it is done, also while the renewal goes on for others", function()
    local s = scripted.new { token("p1", 1000), slow(refusal "invalid_token", 4), slow(token("p2", 1000), 8),
      slow(token("t2", 1000), 1) }
    local tenant = assert(s.client:tenant "0123456789abcdef0123456789abcdef")
    local early <close> = assert(tenant:pending())
    s:wait(3.9)
    local late <close> = assert(tenant:pending())
    s:wait(0.2)
    assert.is_false(late:done())
    s:wait(6)
    assert.is_true(early:done())
    s:wait(2.1)
    assert.is_false(late:done())
    assert.is_true(is_readable(early))
    assert.equal("t2", late:result())
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

  it("returns no token that expired before its result was read: another in time, else none", function()
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

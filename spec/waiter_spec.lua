-- The option `wait`: how coroutines wait for a token in an event loop. By a scripted network and a movable clock; the
-- loops themselves are in event_loops_spec.
-- SPDX-License-Identifier: MIT

local scripted = require "spec.support.scripted"

local token, slow = scripted.token, scripted.slow

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

  it("returns no token that expired before the coroutine went on: another in time, else none", function()
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

  it("returns no expired token by renew, either", function()
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

-- Secrets and assertions that functions of the program give: when they are called again, and functions that yield.
-- SPDX-License-Identifier: MIT

local scripted = require "spec.support.scripted"

local token, refusal = scripted.token, scripted.refusal

describe("a secret that takes its time, refused in the background #valgrind", function()
  local secret, reads

  -- One second before the old token is of no more use.
  local function refused(replies)
    secret, reads = "the-first-secret", 0
    local s = scripted.new({ token("t1", 1000), refusal "invalid_client", table.unpack(replies) }, {
      client_secret = function()
        reads = reads + 1
        return secret
      end,
    })
    s.client:token()
    s:wait(969)
    assert.equal("t1", s.client:token())
    assert.equal(2, s.requests)
    return s
  end

  it("is called again once a call has to wait, and a changed secret gets its try", function()
    local s = refused { token("t3", 1000) }
    secret = "the-second-secret"
    assert.equal("t1", s.client:token())
    assert.equal(1, reads)
    s:wait(1)
    assert.equal("t3", s.client:token())
    assert.equal(2, reads)
  end)

  it("is read again once, where it did not change; then the failure is remembered as any other", function()
    local s = refused {}
    s:wait(1)
    for _ = 1, 3 do
      local _, message, code = s.client:token()
      assert.equal("oauth", code)
      assert.matches("not tried again", message)
    end
    assert.equal(2, reads)
    assert.equal(2, s.requests)
  end)

  it("is read again by renew", function()
    local s = refused { token("t3", 1000) }
    secret = "the-second-secret"
    assert.equal("t3", s.client:renew())
    assert.equal(2, reads)
  end)
end)

describe("a secret's function that yields #valgrind", function()
  local function asks(replies, options)
    options = options or {}
    options.client_secret = options.client_secret
      or function() return coroutine.yield "please read the secret" end
    return scripted.new(replies or { token("t1", 1000) }, options)
  end

  it("is called for each call that needs the token, whatever becomes of the others", function()
    local s = asks()
    local killed = coroutine.create(function() return s.client:token() end)
    local waits = coroutine.create(function() return s.client:token() end)
    for _, thread in ipairs { killed, waits } do
      assert.equal("please read the secret", select(2, coroutine.resume(thread)))
    end
    coroutine.close(killed)
    assert.equal("t1", select(2, coroutine.resume(waits, "a-long-enough-secret")))
    assert.equal("t1", s.client:token())
  end)

  it("is called for each call that needs the token, where the coroutine that it yielded in is dropped", function()
    for _, option in ipairs { "client_secret", "client_assertion" } do
      local s = scripted.new({ token("t1", 1000) }, { client_secret = scripted.NONE,
        [option] = function() return coroutine.yield "please read it" end })
      local function ask()
        local thread = coroutine.create(function() return s.client:token() end)
        assert.equal("please read it", select(2, coroutine.resume(thread)))
        return thread
      end
      local dropped = ask()
      local later = ask()
      assert.equal("suspended", coroutine.status(dropped))
      assert.equal("t1", select(2, coroutine.resume(later, "a-long-enough-secret")))
      assert.equal("t1", s.client:token())
      assert.equal(1, s.requests)
    end
  end)

  it("leaves the request what is left of the call's time", function()
    local s
    s = scripted.new({ token("t1", 1000) }, { client_secret = scripted.NONE, client_assertion = function()
      s:wait(4)
      return "a-long-enough-assertion"
    end })
    assert.equal("t1", s.client:token())
    assert.near(6, s.last_request.timeout, 0.1)
  end)

  describe("while a stale token expires, leaves the call no more than its own time:", function()
    -- A client with a stale token, whose function pauses once before it gives the assertion for another one.
    local function stale(pause)
      local s, calls = nil, 0
      s = scripted.new({ token("t1", 1000) }, { client_secret = scripted.NONE, client_assertion = function()
        calls = calls + 1
        if calls == 2 then
          pause(s)
        end
        return "a-long-enough-assertion"
      end })
      s.client:token()
      s:wait(950)
      return s
    end

    it("where it blocks", function()
      local s = stale(function(s) s:wait(40) end)
      assert.equal("timeout", (select(3, s.client:token())))
      assert.equal(1, s.requests)
    end)

    it("where it yields", function()
      local s = stale(function() coroutine.yield "reads the assertion" end)
      local call = coroutine.wrap(function() return select(3, s.client:token()) end)
      assert.equal("reads the assertion", call())
      s:wait(40)
      assert.equal("timeout", (call()))
      assert.equal(1, s.requests)
    end)
  end)

  it("holds up no caller that cannot yield, and goes on after that", function()
    local s = asks()
    local reads = coroutine.wrap(function() return s.client:token() end)
    reads()
    assert.equal("config", (select(3, s.client:token())))
    assert.equal("t1", reads "a-long-enough-secret")
  end)

  it("fails where there is no coroutine to yield", function()
    local s = asks(nil, { client_secret = function() return coroutine.yield() or "a-long-enough-secret" end })
    assert.equal("config", (select(3, s.client:pending():result())))
    assert.equal("config", (select(3, s.client:token())))
    local waiter = coroutine.wrap(function() return s.client:token() end)
    waiter()
    assert.equal("t1", waiter())
  end)
end)

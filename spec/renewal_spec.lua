local core = require "central.auth.core"
local scripted = require "spec.support.scripted"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

-- Every request gets a token of its own: t1, t2, …
local function counting(expires_in)
  return function(n) return token("t" .. n, expires_in) end
end

describe("renewal #valgrind", function()
  describe("while the token is fresh", function()
    it("makes one request and returns the token", function()
      local s = scripted.new(counting(7200))
      assert.equal("t1", s.client:token())
      s:wait(5000)
      assert.equal("t1", s.client:token())
      assert.equal("Bearer t1", s.client:header())
      assert.equal(1, s.requests)
      assert.same({ "fetched" }, s.events)
    end)

    it("counts the life from before the request was sent", function()
      local s = scripted.new({ token("t1", 100) })
      s.took = 8
      s.client:token()
      assert.near(92, s.client:status().expires_in, 0.5)
    end)

    it("turns stale a window before expiry, stretched by up to a quarter", function()
      for chance, age in pairs { [0] = 3600 - 600, [1] = 3600 - 750 } do
        local s = scripted.new(counting(3600), nil, nil, { jitter = chance })
        s.client:token()
        s:wait(age - 5)
        assert.equal("fresh", s.client:status().state)
        s:wait(10)
        assert.equal("stale", s.client:status().state)
      end
    end)

    it("uses a quarter of a short life as window and obeys renew_before up to half", function()
      local s = scripted.new(counting(100), { renew_before = 1000 }, nil, { jitter = 0 })
      s.client:token()
      assert.near(50, s.client:status().renews_in, 0.5)
      s = scripted.new(counting(100), nil, nil, { jitter = 0 })
      s.client:token()
      assert.near(75, s.client:status().renews_in, 0.5)
    end)

    it("renews no token in its first minute, whatever the server's refresh_in", function()
      local s = scripted.new(function(n) return token("t" .. n, 7200, ',"refresh_in":1') end)
      for _ = 1, 600 do
        assert(s.client:token())
        s:wait(1)
      end
      assert.is_true(s.requests >= 9 and s.requests <= 11, s.requests)
      s = scripted.new({ token("t1", 100, ',"refresh_in":1') })
      s.client:token()
      assert.near(25, s.client:status().renews_in, 0.5)
    end)

    it("obeys the server's refresh_in", function()
      local s = scripted.new({ token("t1", 1000, ',"refresh_in":200') })
      s.client:token()
      assert.near(200, s.client:status().renews_in, 0.5)
    end)
  end)

  describe("of a stale token", function()
    local function stale(replies)
      local s = scripted.new(replies)
      s.client:token()
      s:wait(950)
      assert.equal("stale", s.client:status().state)
      return s
    end

    it("returns the old one and starts a renewal, whose token is there at the next call", function()
      local s = stale(counting(1000))
      assert.equal("t1", s.client:token())
      assert.equal("t2", s.client:token())
      assert.same({ "fetched", "renewed" }, s.events)
      assert.equal(1, s.client:status().renewals)
    end)

    it("waits for the other where the old one dies in the middle of the call", function()
      local s
      s = stale(function(n)
        if n == 2 then
          s:wait(8) -- the process did not run for a while
        end
        return { status = 200, took = 1, body = token("t" .. n, 1000).body }
      end)
      s:wait(15)
      assert.equal("t2", s.client:token())
      assert.equal(2, s.requests)
    end)

    it("keeps the old one when that fails, with one try and no error", function()
      local s = stale { token("t1", 1000), broken "timeout" }
      assert.equal("t1", s.client:token())
      assert.equal("t1", s.client:token()) -- takes notice
      assert.equal(2, s.requests)
      assert.equal(0, s.slept)
      assert.same({ "fetched", "failed" }, s.events)
    end)

    it("does not ask again before the back-off is over", function()
      local s = stale { token("t1", 1000), broken(), token("t3", 1000) }
      s.client:token()
      s:wait(0.3)
      assert.equal("t1", s.client:token())
      assert.equal(2, s.requests)
      s:wait(0.3)
      assert.equal("t1", s.client:token())
      assert.equal(3, s.requests)
      assert.equal("t3", s.client:token())
    end)

    it("doubles the back-off to a minute", function()
      local s = scripted.new(function(n) return n == 1 and token("t1", 86400) or broken() end, { renew_before = 40000 })
      s.client:token()
      s:wait(86400 - 40000)
      for _, expected in ipairs { 0.5, 1, 2, 4, 8, 16, 32, 60, 60 } do
        local before = s.clock:boot()
        assert.equal("t1", s.client:token())
        assert.equal("t1", s.client:token())
        local pause = s.client:status().next_try_in
        local took = s.clock:boot() - before -- for the movable clock goes on by itself, too
        assert.is_true(pause <= expected and pause >= expected - took, pause)
        s:wait(pause + 2.1) -- in which the permits refill
      end
    end)

    it("keeps the old one after invalid_client too", function()
      local s = stale { token("t1", 1000), refusal "invalid_client" }
      assert.equal("t1", s.client:token())
      assert.equal("t1", s.client:token())
      assert.near(2, s.client:status().next_try_in, 0.1)
    end)

    it("keeps the old one where memory ends on the way to another", function()
      local s = stale(function(n) return n == 2 and error("not enough memory", 0) or token("t" .. n, 1000) end)
      assert.equal("t1", s.client:token())
      assert.equal("t1", s.client:token())
      assert.same({ "fetched", "failed" }, s.events)
      s:wait(2.1)
      assert.equal("t1", s.client:token())
      assert.equal("t3", s.client:token())
    end)

    it("never asks before Retry-After", function()
      local s = stale { token("t1", 1000), { status = 503, body = "", retry_after = 20 }, token("t3", 1000) }
      s.client:token()
      s:wait(18)
      assert.equal("t1", s.client:token())
      assert.equal(2, s.requests)
      s:wait(4)
      assert.equal("t3", s.client:token())
    end)
  end)

  describe("without a usable token", function()
    it("tries at most four times, with a growing pause between", function()
      local s = scripted.new(function() return broken() end)
      local before = s.clock:boot()
      local value, message, code = s.client:token()
      assert.is_nil(value)
      assert.equal("network", code)
      assert.truthy(message)
      assert.equal(4, s.requests)
      assert.is_true(s.slept <= 0.5 + 1 + 2 and s.clock:boot() - before >= 0.5 + 1 + 2, s.slept)
      assert.same({ "retry", "retry", "retry", "failed" }, s.events)
    end)

    it("fails where memory ends, and may be asked again at once", function()
      local s = scripted.new(function(n) return n == 1 and error("not enough memory", 0) or token("t" .. n, 1000) end)
      local message, code = select(2, s.client:token())
      assert.same({ "there is not enough memory for a token request", "config" }, { message, code })
      assert.equal("t2", s.client:token())
    end)

    it("answers from memory until the next try is due, and says when", function()
      local s = scripted.new(function() return broken() end)
      s.client:token()
      local _, message, code, detail = s.client:token()
      assert.equal("network", code)
      assert.matches("not tried again", message)
      assert.is_true(detail.retry_after > 0)
      assert.equal(4, s.requests)
      s:wait(detail.retry_after + 0.1)
      s.client:token()
      assert.is_true(s.requests > 4)
    end)

    it("keeps one deadline over tries and pauses", function()
      local s = scripted.new(function() return { code = "timeout", took = 1 } end, { timeout = 2.2 })
      local before = s.clock:boot()
      s.client:token()
      assert.is_true(s.clock:boot() - before <= 2.3)
      assert.is_true(s.last_request.timeout < 2.2)
    end)

    it("recovers within the call when the server does", function()
      local s = scripted.new { { status = 503, body = "" }, token("t2", 100) }
      assert.equal("t2", s.client:token())
      assert.is_nil(s.client:status().last_error)
    end)

    it("waits for a Retry-After that fits in the timeout, and fails at once for one that does not", function()
      local s = scripted.new { { status = 429, body = "", retry_after = 3 }, token("t2", 100) }
      assert.equal("t2", s.client:token())
      assert.is_true(s.slept >= 3)
      s = scripted.new { { status = 429, body = "", retry_after = 30 } }
      local _, _, code, detail = s.client:token()
      assert.equal("rate_limited", code)
      assert.equal(30, detail.retry_after)
      assert.equal(0, s.slept)
    end)

    it("reports a Retry-After as it is, and makes no request for an hour of it", function()
      local s = scripted.new { { status = 503, body = "", retry_after = 7200 }, token("t2", 100) }
      assert.equal(7200, select(4, s.client:token()).retry_after)
      s:wait(3590)
      assert.equal("http", select(3, s.client:token()))
      s:wait(11)
      assert.equal("t2", s.client:token())
    end)

    it("does not repeat what can't get better: TLS failures, OAuth errors, other 4xx", function()
      for _, answer in ipairs { broken "tls", refusal("invalid_scope", 400), { status = 404, body = "" } } do
        local s = scripted.new { answer }
        assert.is_nil((s.client:token()))
        assert.equal(1, s.requests)
      end
    end)

    it("hands a token out that is nearly dead when it arrives, once", function()
      local s = scripted.new(function(n) return { status = 200, took = 1, body = token("t" .. n, 0.5).body } end)
      assert.equal("t1", s.client:token())
      assert.equal("expired", s.client:status().state)
      assert.equal("t2", s.client:token())
    end)
  end)

  describe("with refused credentials", function()
    it("remembers invalid_client for seconds, doubling to a minute", function()
      local s = scripted.new(function() return refusal "invalid_client" end)
      for i, expected in ipairs { 2, 4, 8, 16, 32, 60, 60 } do
        local _, _, code, detail = s.client:token()
        assert.equal("oauth", code)
        assert.equal("invalid_client", detail.oauth_error)
        assert.is_nil((s.client:token()))
        assert.equal(i, s.requests)
        assert.near(expected, s.client:status().next_try_in, 0.5)
        s:wait(expected + 0.1)
      end
    end)

    it("is passed over by renew", function()
      local s = scripted.new { refusal "invalid_client", token("t2", 100) }
      s.client:token()
      assert.equal("t2", s.client:renew())
    end)

    it("names where id and secret came from", function()
      local s = scripted.new { refusal "invalid_client" }
      local _, message = s.client:token()
      assert.matches("client_id from the argument client_id, client_secret from the argument", message)
    end)

    it("reads the secret's source again and tries a changed one once", function()
      local secret, reads = "the-first-secret", 0
      local s = scripted.new({ token("t1", 100), refusal "invalid_client", token("t3", 100) }, {
        client_secret = function()
          reads = reads + 1
          return secret
        end,
      })
      assert.equal("t1", s.client:token())
      secret = "the-second-secret"
      assert.equal("t3", s.client:renew())
      assert.equal(2, reads)
      assert.equal(3, s.requests)
    end)

    it("does the same for a 401 with another name, as Keycloak has it", function()
      local secret = "the-first-secret"
      local s = scripted.new({ refusal "unauthorized_client", token("t2", 100) }, {
        client_secret = function()
          local read = secret
          secret = "the-second-secret"
          return read
        end,
      })
      assert.equal("t2", s.client:token())
    end)

    it("remembers a bare 401 or 403 as long, however often it is asked", function()
      for _, status in ipairs { 401, 403 } do
        local s = scripted.new(function() return { status = status, body = "" } end)
        s.chance = 0 -- no jitter makes a pause longer
        local began = s.clock:boot()
        while s.clock:boot() - began < 600 do
          assert.equal("http", (select(3, s.client:token())))
          s:wait(2)
        end
        assert.is_true(s.requests >= 12 and s.requests <= 14, s.requests) -- after 0, 2, 6, 14, 30, 62, 122 s, …
      end
    end)

    it("does the same for a bare 401 or 403, and asks once only where the secret is the same", function()
      for _, status in ipairs { 401, 403 } do
        local s = scripted.new({ { status = status, body = "" } }, {
          client_secret = function() return "the-same-secret" end,
        })
        local _, _, code, detail = s.client:token()
        assert.equal("http", code)
        assert.equal(status, detail.status)
        assert.equal(1, s.requests)
        assert.is_true(s.client:status().next_try_in <= 2)
      end
    end)
  end)

  describe("renew", function()
    it("gets a new token whatever the state", function()
      local s = scripted.new(counting(100))
      s.client:token()
      assert.equal("t2", s.client:renew())
      assert.equal("t2", s.client:token())
    end)

    it("keeps the old token when it fails", function()
      local s = scripted.new(function(n) return n == 1 and token("t1", 100) or broken() end)
      s.client:token()
      local value, _, code = s.client:renew()
      assert.is_nil(value)
      assert.equal("network", code)
      assert.equal("t1", s.client:token())
    end)

    it("does not pass over Retry-After", function()
      local s = scripted.new { token("t1", 100), { status = 429, body = "", retry_after = 60 } }
      s.client:token()
      s.client:renew()
      local _, _, code, detail = s.client:renew()
      assert.equal("rate_limited", code)
      assert.near(60, detail.retry_after, 2)
      assert.equal(2, s.requests)
    end)

    it("called in a loop makes a bounded number of requests", function()
      local s = scripted.new(counting(7200), { timeout = 1 })
      local refused = 0
      for _ = 1, 100 do
        local _, _, code = s.client:renew()
        refused = refused + (code == "rate_limited" and 1 or 0)
      end
      assert.is_true(s.requests <= 12, s.requests)
      assert.is_true(refused >= 88)
      assert.truthy(s.client:token())
    end)
  end)

  describe("invalidate", function()
    it("forgets the token it is told of, and only that", function()
      local s = scripted.new(counting(7200))
      local first = s.client:token()
      assert.is_true(s.client:invalidate(first))
      local second = s.client:token()
      assert.equal("t2", second)
      for _ = 1, 100 do
        assert.is_false(s.client:invalidate(first))
      end
      assert.equal("t2", s.client:token())
      assert.equal(2, s.requests)
    end)

    it("forgets the current one without an argument", function()
      local s = scripted.new(counting(7200))
      assert.is_false(s.client:invalidate())
      s.client:token()
      assert.is_true(s.client:invalidate())
      assert.equal("none", s.client:status().state)
    end)
  end)

  describe("with a server that returns the token it already gave", function()
    local function same(life)
      return function(n) return token("t", life - (n - 1)) end
    end

    it("recognises it and does not storm", function()
      local s = scripted.new(same(1000))
      s.client:token()
      s:wait(950)
      for _ = 1, 500 do
        assert.equal("t", s.client:token())
        s:wait(0.05)
      end
      assert.is_true(s.requests <= 3, s.requests)
      assert.equal("odd_reply", s.events[3])
    end)

    it("keeps the first schedule: the token dies when it would have", function()
      local s = scripted.new(function() return token("t", 1000) end)
      s.client:token()
      s:wait(950)
      s.client:token()
      assert.near(50, s.client:status().expires_in, 0.5)
    end)

    it("believes it once the old life is over", function()
      local s = scripted.new(function() return token("t", 1000) end)
      s.client:token()
      s:wait(1100)
      assert.equal("t", s.client:token())
      assert.near(1000, s.client:status().expires_in, 0.5)
    end)
  end)

  describe("min_valid", function()
    it("renews a fresh token that is not good for long enough", function()
      local s = scripted.new(counting(7200))
      s.client:token()
      s:wait(4000)
      local value, remaining = s.client:token { min_valid = 3600 }
      assert.equal("t2", value)
      assert.is_nil(remaining)
    end)

    it("returns the best there is with its remaining life, and never loops", function()
      local s = scripted.new(counting(900))
      local value, remaining = s.client:token { min_valid = 3600 }
      assert.equal("t1", value)
      assert.near(900, remaining, 1)
      for _ = 1, 50 do
        s.client:token { min_valid = 3600 }
      end
      assert.equal(1, s.requests)
    end)

    it("renews whenever a new token would do, and a young one never", function()
      local s = scripted.new(counting(7200))
      s.client:token()
      s:wait(1700) -- 5,500 s are left
      assert.same({ "t2" }, { s.client:token { min_valid = 6000 } })
      s:wait(59)
      local value, remaining = s.client:token { min_valid = 7199 }
      assert.equal("t2", value)
      assert.near(7141, remaining, 1)
      s:wait(1)
      assert.same({ "t3" }, { s.client:token { min_valid = 7199 } })
      s:wait(600)
      for _ = 1, 10 do
        assert.equal("t3", (s.client:token { min_valid = 7201 })) -- no token lives so long
      end
      s:wait(1201)
      assert.equal("t4", (s.client:token { min_valid = 7201 }))
      assert.equal(4, s.requests)
    end)

    it("falls back to the token it has when renewal fails", function()
      local s = scripted.new(function(n) return n == 1 and token("t1", 7200) or broken() end)
      s.client:token()
      s:wait(4000)
      local value, remaining = s.client:token { min_valid = 3600 }
      assert.equal("t1", value)
      assert.is_true(remaining < 3600)
    end)
  end)

  describe("and the clocks", function()
    it("returns no expired token after a suspend", function()
      local s = scripted.new(counting(7200))
      s.client:token()
      s:wait(3 * 3600)
      assert.equal("t2", s.client:token())
    end)

    it("notices by the wall clock what a paused machine's boot clock can't", function()
      local s = scripted.new(counting(7200))
      s.client:token()
      s.clock:shift(2, 3 * 3600)
      assert.equal("t2", s.client:token())
      assert.equal("t2", s.client:token())
      assert.equal(2, s.requests)
    end)

    it("is not led astray by a wall clock set back a day, or on by a year: one renewal at most", function()
      for step, requests in pairs { [-86400] = 1, [365 * 86400] = 2 } do
        local s = scripted.new(counting(7200))
        s.client:token()
        s.clock:shift(2, step)
        for _ = 1, 100 do
          s.client:token()
          s:wait(1)
        end
        assert.equal(requests, s.requests)
        s:wait(7200)
        s.client:token()
        assert.equal(requests + 1, s.requests)
      end
    end)
  end)

  describe("events", function()
    it("come after the fact, may call anything, and their errors are contained", function()
      local s, seen
      seen = {}
      s = scripted.new(counting(100), {
        on_event = function(event)
          local at = #seen + 1
          seen[at] = event.event
          seen[at] = seen[at] .. ":" .. tostring(s.client:token())
          error "oops"
        end,
      })
      assert.equal("t1", s.client:token())
      assert.same({ "request:t1", "fetched:t1" }, seen)
    end)

    it("do not recurse when a handler keeps asking during an outage", function()
      local s, calls = nil, 0
      s = scripted.new(function() return broken() end, {
        on_event = function()
          calls = calls + 1
          s.client:token()
        end,
      })
      s.client:token()
      assert.equal(8, calls) -- of each request, and what follows from it
      assert.equal(4, s.requests)
    end)

    it("of a coroutine that was dropped come before its client is closed, and none comes after that", function()
      local s = scripted.new({ token("t1", 100), scripted.api(200) },
        { base_url = "https://api.example", wait = coroutine.yield })
      s.took = 1
      local call = coroutine.create(function() return s.client:get "/x" end)
      repeat
        assert(coroutine.resume(call))
        s:wait(1)
      until s.requests == 2
      assert.same({}, s.events)
      s.client:close()
      assert.same({ "fetched" }, s.events)
      s:wait(1)
      assert(coroutine.resume(call))
      assert.same({ "fetched" }, s.events)
    end)

    it("tell of odd replies and of a scope that differs", function()
      local s = scripted.new({ token("t", 100, ',"scope":"a"') }, { scope = "a b" })
      assert.equal("t", s.client:token())
      assert.same({ "fetched", "odd_reply" }, s.events)
      assert.equal("a", s.client:status().granted_scope)
    end)
  end)

  it("refuses the call that its own secret function makes", function()
    local s, inner
    s = scripted.new({ token("t", 100) }, {
      client_secret = function()
        inner = { s.client:token() }
        return "a-long-enough-secret"
      end,
    })
    assert.equal("t", s.client:token())
    assert.equal("config", inner[3])
  end)

  it("takes a client assertion anew for each try", function()
    local n = 0
    local s = scripted.new({ { status = 503, body = "" }, token("t", 100) }, {
      client_secret = scripted.NONE,
      client_assertion = function()
        n = n + 1
        return "assertion-" .. n
      end,
    })
    assert.equal("t", s.client:token())
    assert.equal(2, n)
  end)
end)

describe("a client #valgrind", function()
  it("fails with closed after close, which may be called twice", function()
    local s = scripted.new { token("t", 100) }
    s.client:token()
    s.client:close()
    s.client:close()
    for _, method in ipairs { "token", "header", "renew", "invalidate" } do
      local value, message, code = s.client[method](s.client)
      assert.is_nil(value)
      assert.is_string(message)
      assert.equal("closed", code)
    end
    assert.equal("closed", s.client:status().state)
  end)

  it("is closed by a to-be-closed variable", function()
    local s = scripted.new { token("t", 100) }
    do
      local client <close> = s.client
      client:token()
    end
    assert.equal("closed", s.client:status().state)
  end)

  it("wipes its secret when closed", function()
    local s = scripted.new { token("t", 100) }
    s.client:token()
    local secret = s.config.secret.value
    s.client:close()
    assert.equal(0, secret:length())
    assert.is_true(secret:equal(core.secret("")))
  end)
end)

-- The token that machines share by Redis, by clients that stand for processes on machines of their own, with a real
-- redis-server and a real token server. Real processes are in redis_machines_spec.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local cqueues = require "cqueues"
local crowd = require "spec.support.crowd"
local machine = require "spec.support.machine"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local rude = require "spec.support.rude"
local scripted = require "spec.support.scripted"

local token, refusal = scripted.token, scripted.refusal

local KEPT = 90000 -- seconds that Redis keeps a record

local root, server, tokens, clock

-- A machine on which nothing was shared yet.
local function another_machine(its_clock)
  return machine.new(root, tokens, its_clock or clock)
end

-- A client on a machine of its own.
local function elsewhere(replies, options, its_clock)
  return another_machine(its_clock):client(replies, server:options(options))
end

local function key(suffix)
  return server:cli("keys", "*" .. suffix)
end

local function lock_key()
  return (key ".last":gsub("last$", "lock"))
end

-- A lease that nobody gives back, in place of the record of a token.
local function leave_a_lease(milliseconds)
  elsewhere({ token("t0", 1000) }).client:token()
  server:cli("set", lock_key(), "a holder's", "px", tostring(milliseconds))
  server:cli("del", key ".last")
end

-- For the option `wait`: the coroutine is resumed by the spec.
local function yielding(options)
  options = options or {}
  options.wait = function() coroutine.yield() end
  return options
end

local function count(events, name)
  local found = 0
  for _, event in ipairs(events) do
    found = found + (event == name and 1 or 0)
  end
  return found
end

-- Commands for Redis take real time, which the movable clock goes on by.
local function set_clock(boot)
  local seconds = boot - clock:boot()
  clock:shift(seconds, seconds)
end

-- Asks within `seconds`, and is told of trouble once, which `pattern` fits.
local function assert_alone(client, pattern, seconds)
  local before = cqueues.monotime()
  assert.equal("own", client.client:token())
  assert.is_true(cqueues.monotime() - before < (seconds or 1.5), cqueues.monotime() - before)
  assert.equal(1, count(client.events, "cache_error"))
  assert.equal(1, client.requests)
  assert.matches(pattern, client.client:status().cache)
end

setup(function() server = redis.start() end)
teardown(function() server:stop() end)
before_each(function()
  root, clock = process.scratch(), core.clock()
  tokens = machine.serve(root)
  server:thaw() -- whatever a spec that failed left behind
  server:cli "flushall"
  server:cli("acl", "load")
end)
after_each(function()
  tokens:close()
  process.remove(root)
end)

describe("by Redis #valgrind", function()
  it("a token is shared with other machines, and lies on each of them from then on", function()
    local first = elsewhere { token("t1", 7200) }
    assert.equal("t1", first.client:token())
    clock:shift(100, 100)
    local there = another_machine()
    local second = there:client({}, server:options())
    assert.equal("t1", second.client:token())
    assert.same({ "shared" }, second.events)
    assert.near(7100, second.client:status().expires_in, process.SLOWER)
    assert.matches("^redis://auth@127.0.0.1:%d+, /tmp/.*/central%-auth$", second.client:status().cache)
    server:freeze()
    assert.equal("t1", there:client({}, server:options()).client:token()) -- asks nobody
    server:thaw()
  end)

  it("a record is set at once with its end, the same for all: its age is what is gone of that", function()
    elsewhere({ token("t1", 7200) }).client:token()
    elsewhere({ token("t2") }, { scope = "a" }).client:token()
    elsewhere({ token("t3", 9e9) }, { scope = "b" }).client:token()
    elsewhere({ refusal "invalid_client" }, { scope = "c" }).client:token()
    local count_of = 0
    for name in key ".last":gmatch "[^\n]+" do
      assert.near(KEPT, tonumber(server:cli("pttl", name)) / 1000, 10 * process.SLOWER)
      count_of = count_of + 1
    end
    assert.equal(4, count_of)
  end)

  it("only between equals, and over a unix socket and databases as told", function()
    elsewhere({ token("t1", 1000) }).client:token()
    assert.equal("t2", elsewhere({ token("t2", 1000) }, { client_secret = "another-long-secret" }).client:token())
    assert.equal("t1", elsewhere({}, { cache = server.unix }).client:token())
    assert.equal("t3", elsewhere({ token("t3", 1000) }, { cache = server.url .. "/1" }).client:token())
    assert.equal("t3", elsewhere({}, { cache = server.unix .. "?db=1" }).client:token())
  end)

  it("a refusal is shared, until somebody succeeds", function()
    local _, _, code = elsewhere({ refusal "invalid_client" }).client:token()
    assert.equal("oauth", code)
    local late = elsewhere()
    local none, message = late.client:token()
    assert.is_nil(none)
    assert.matches("invalid_client", message)
    assert.equal(0, late.requests)
    assert.equal("t1", (elsewhere { token("t1", 1000) }).client:renew())
    assert.equal("t1", elsewhere().client:token())
    assert.equal("t1", late.client:token())
    assert.equal(0, late.requests)
  end)

  it("a reply that nobody can use takes the good token from no machine", function()
    local s = elsewhere { token("t1", 1000), { status = 200, body = '{"access_token":"t2"' } }
    s.client:token()
    assert.is_nil((s.client:renew()))
    assert.equal("t1", s.client:token())
    local there = elsewhere()
    assert.equal("t1", there.client:token())
    assert.equal(0, there.requests)
  end)

  it("invalidate reaches other machines: twenty that were told 401 make one renewal", function()
    assert.equal(1, crowd.told_401(elsewhere))
  end)

  it("a lease keeps other machines waiting until the token is there #slow", function()
    local holder, waiter = elsewhere { token("t1", 1000) }, elsewhere()
    holder:slow_down(2) -- a machine that is busy looks at the lease late
    local pending <close> = assert(holder.client:pending())
    process.wait_until(function() return key ".lock" ~= "" end, 30, "the lease")
    local left = tonumber(server:cli("pttl", key ".lock"))
    assert.is_true(left <= 5000 and left > 1000, left)
    assert.equal("t1", waiter.client:token())
    assert.equal(0, waiter.requests)
    assert.equal("t1", pending:result())
    assert.equal("", key ".lock")
  end)

  it("a lease keeps them waiting until it ends, those alone who want the same #slow", function()
    leave_a_lease(60000)
    assert.equal("x", elsewhere({ token("x", 1000) }, { scope = "x" }).client:token()) -- has a lease of its own
    local late = elsewhere { token("own", 1000) }
    local pending <close> = assert(late.client:pending())
    cqueues.sleep(0.3)
    assert.equal(0, late.requests)
    server:cli("pexpire", key ".lock", "1")
    assert.equal("own", pending:result())
  end)

  it("a lease is given back by its holder alone #slow", function()
    local holder = elsewhere { token("t1", 1000) }
    holder:slow_down(0.5)
    local pending <close> = assert(holder.client:pending())
    process.wait_until(function() return key ".lock" ~= "" end, 30, "the lease")
    local lock = key ".lock"
    server:cli("set", lock, "another's", "ex", "9")
    assert.equal("t1", pending:result())
    assert.equal("another's", server:cli("get", lock))
  end)

  it("nobody sleeps with a lease in hand", function()
    local there = another_machine()
    local greedy = there:client(function(n) return token("t" .. n, 1000) end, server:options())
    for _ = 1, 10 do
      greedy.client:renew()
      clock:shift(0.01, 0.01)
    end
    local sleeper = there:client({}, server:options(yielding()))
    local client <close> = sleeper.client
    local waiter = coroutine.wrap(function() return client:renew() end) -- for whom no request is left
    for _ = 1, 10 do
      assert.is_nil(waiter())
      cqueues.sleep(0.005)
    end
    assert.equal(0, sleeper.requests)
    assert.equal("", key ".lock")
  end)

  it("a server that returns the token already held prolongs it nowhere", function()
    local s = elsewhere(function() return token("t1", 1000) end)
    s.client:token()
    clock:shift(500, 500)
    assert.equal("t1", s.client:renew())
    assert.equal(2, s.requests)
    local there = elsewhere()
    assert.equal("t1", there.client:token())
    assert.near(500, there.client:status().expires_in, 1)
  end)

  it("a secret that was reset takes the former token away everywhere, also while a renewal is under way", function()
    local second, third = "another-long-enough-secret", "a-third-long-enough-secret"
    local function reset_to(secret)
      return scripted.api(200, ('{"id":"an-identifier","clientSecret":"%s"}'):format(secret))
    end
    local late = token("t3", 1000)
    late.took = 0.2
    local s = elsewhere({ token("t1", 1000), reset_to(second), token("t2", 1000), late, reset_to(third),
      token("t4", 1000) }, { greenlake_url = tokens.url:match "^http://[^/]+" })
    s.client:token()
    assert.not_equal("", key ".last")
    assert(s.client.credentials:reset "an-identifier")
    assert.equal("", key ".last")
    assert.equal("t2", s.client:token())
    assert.equal("t2", elsewhere({}, { client_secret = second }).client:token())
    clock:shift(990, 990)
    local pending <close> = assert(s.client:pending())
    process.wait_until(function() return s.requests == 4 end, 30, "a request")
    assert(s.client.credentials:reset "an-identifier")
    assert.equal("", key ".token")
    assert.equal("t4", pending:result())
    assert.equal("t4", elsewhere({}, { client_secret = third }).client:token())
  end)

  it("a secret that was reset is kept where the coroutine that waits for Redis is dropped", function()
    local second = "another-long-enough-secret"
    local reply = scripted.api(200, ('{"id":"an-identifier","clientSecret":"%s"}'):format(second))
    local replies = { token("t1", 1000), reply, token("t2", 1000) }
    local s = elsewhere(replies, yielding { greenlake_url = tokens.url:match "^http://[^/]+" })
    assert.equal("t1", s.client:token())
    server:cli("client", "pause", "1500")
    local reset = coroutine.create(function() return s.client.credentials:reset "an-identifier" end)
    process.wait_until(function()
      assert(coroutine.resume(reset))
      return s.requests == 2
    end, 30, "a request")
    for _ = 1, 30 do
      cqueues.sleep(0.01)
      assert(coroutine.resume(reset))
    end
    assert.equal("suspended", coroutine.status(reset))
    assert.equal("t2", s.client:token())
    cqueues.sleep(1.5)
    assert.equal("t2", elsewhere({}, { client_secret = second }).client:token())
  end)

  it("a tenant's client that is closed leaves its parent the password", function()
    local s = elsewhere { token("t1", 1000) }
    assert(s.client:tenant "0123456789abcdef0123456789abcdef"):close()
    assert.equal("t1", s.client:token())
    assert.equal("t1", elsewhere().client:token())
  end)

  it("a secret too short to seal with shares nothing, and fails nothing", function()
    local s = elsewhere({ token("t1", 1000) }, { client_secret = "short" })
    assert.equal("t1", s.client:token())
    s.client:invalidate()
    assert.matches("too short", s.client:status().cache)
    assert.equal("", key "")
  end)

  it("no connection is left open, and no descriptor", function()
    local s = elsewhere(function(n) return token("t" .. n, 1000) end)
    s.client:token()
    local fds = process.count()
    for _ = 1, 5 do
      clock:shift(2000, 2000)
      s.client:token()
      s.client:invalidate()
    end
    assert.equal(fds, process.count())
    assert.equal("1", server:cli("info", "clients"):match "connected_clients:(%d+)") -- redis-cli itself
  end)
end)

describe("a lease that is held too long #slow", function()
  local TIMEOUT = 8 -- the moments of overtaking lie 1.8 s apart at most: many requests of 0.1 s, on a busy machine too

  -- Lets all ask at once, a request taking 0.1 s, while a lease is held for ever; how many requests that made.
  local function overtake(many)
    local waiting, began = {}, cqueues.monotime()
    for i, one in ipairs(many) do
      waiting[i] = assert(one.client:pending())
    end
    for _, pending in ipairs(waiting) do
      while not pending:done() do
        assert.is_true(cqueues.monotime() - began > 0.74 * TIMEOUT or #tokens:requests() == 1) -- that of the lease
        cqueues.sleep(0.02)
      end
      assert.equal("t1", pending:result())
      pending:close()
    end
    return #tokens:requests() - 1
  end

  local function waiting_on(there)
    local one = there:client({ token("t1", 1000) }, server:options { timeout = TIMEOUT })
    one:slow_down(0.1)
    return one
  end

  it("is overtaken, not by all machines at once", function()
    leave_a_lease(60000)
    local many = {}
    for i = 1, 20 do
      many[i] = waiting_on(another_machine())
    end
    local made = overtake(many)
    assert.is_true(made <= 10, made)
  end)

  it("is overtaken by one process of a machine at most", function()
    leave_a_lease(60000)
    local many = {}
    for _ = 1, 3 do
      local there = another_machine()
      for _ = 1, 8 do
        many[#many + 1] = waiting_on(there)
      end
    end
    local made = overtake(many)
    assert.is_true(made <= 6, made) -- 24 without that; few who wait begin while the last one that overtakes is at it
  end)
end)

describe("while the token server is left alone", function()
  local busy = { status = 503, body = "", retry_after = 60 }

  -- One that was told to come back in a minute, and another machine that got a token since.
  local function told_to_wait()
    local s = elsewhere { busy }
    assert.is_nil(s.client:token())
    clock:shift(0.5, 0.5)
    server:cli "flushall" -- or the other one obeyed the shared Retry-After, too
    assert(elsewhere({ token("t1", 1000) }).client:token())
    return s
  end

  -- Each looks at two records.
  local function looks()
    return tonumber(server:cli("info", "commandstats"):match "cmdstat_pttl:calls=(%d+)" or 0) / 2
  end

  it("a token that another machine got is found", function()
    local s = told_to_wait()
    clock:shift(0.5, 0.5)
    assert.equal("t1", s.client:token())
    assert.equal(1, s.requests)
  end)

  it("a token that another machine got is found, though Redis was out when this one was told to wait", function()
    local s = elsewhere { busy }
    server:down()
    assert.is_nil(s.client:token())
    server:up()
    assert(elsewhere({ token("t1", 1000) }).client:token())
    clock:shift(2, 2)
    assert.equal("t1", s.client:token())
    assert.equal(1, s.requests)
    assert.equal(1, count(s.events, "cache_error"))
  end)

  it("Redis is asked once a second at most, by one process of a machine", function()
    local there = another_machine()
    local s = there:client({ busy }, server:options())
    assert.is_nil(s.client:token())
    server:cli("config", "resetstat")
    local began = clock:boot()
    for _ = 1, 30 do
      local none, message = s.client:token()
      assert.is_nil(none)
      assert.matches("503.*not tried again for", message)
      clock:shift(0.1, 0.1)
    end
    assert.is_true(looks() >= 2 and looks() <= clock:boot() - began + 1, looks())
    local path = process.run(("ls %s/*.lock"):format(there.folder)):match "%S+"
    local holder <close> = process.start { command = { "flock", "--no-fork", path, "sleep", "60" },
      log = root .. "/holder" }
    process.wait_until(function() return select(2, process.run(("flock -n %s true"):format(path))) ~= 0 end, 5,
      "the lock")
    server:cli("config", "resetstat")
    clock:shift(1, 1)
    assert.is_nil(s.client:token())
    holder:stop()
    assert.equal(0, looks())
  end)

  it("who renews by force is not put off with a look that is under way", function()
    local s = elsewhere({ refusal "invalid_client", token("own", 1000) }, { connect_timeout = 0.1 })
    assert.is_nil(s.client:token())
    server:freeze()
    local look = s.client:pending()
    assert.is_false(look:done())
    assert.equal("own", s.client:renew())
    assert.equal("own", look:result())
  end)

  it("a call that waits for its next try takes what another machine brings #slow", function()
    local s = elsewhere { { status = 503, body = "", retry_after = 8 } }
    local other = elsewhere { token("t1", 1000) }
    local pending <close> = assert(s.client:pending())
    process.wait_until(function() return key ".last" ~= "" end, 30, "the reply")
    server:cli "flushall" -- or the other one obeyed the shared Retry-After, too
    assert.equal("t1", other.client:token())
    local began = cqueues.monotime()
    assert.equal("t1", pending:result())
    assert.equal(1, s.requests)
    assert.is_true(cqueues.monotime() - began < 4)
  end)
end)

describe("what Redis holds", function()
  it("is sealed: no secret and no token in the clear", function()
    elsewhere({ token("a-token-to-look-for", 1000) }).client:token()
    elsewhere({ refusal "invalid_client" }, { scope = "x" }).client:token()
    for name in key(""):gmatch "[^\n]+" do
      local value = server:cli("--raw", "get", name)
      for _, word in ipairs { "token-to-look", "enough-secret", "an-identifier", "invalid", redis.password } do
        assert.is_nil((name .. value):find(word, 1, true), name)
      end
    end
  end)

  it("is a miss when it is somebody else's, changed, cut, old, swapped, without an end or kept for too long", function()
    elsewhere({ token("t1", 7200) }, { scope = "a" }).client:token()
    server:cli("rename", key ".last", "kept")
    elsewhere({ token("t1", 7200) }).client:token()
    local ours = key ".last"
    local function assert_miss(...)
      server:cli("eval", ...)
      assert.equal("own", (elsewhere { token("own", 7200) }).client:token())
    end
    local get = "local v = redis.call('get', KEYS[1]) "
    assert_miss("redis.call('set', KEYS[1], 'nonsense', 'ex', 99)", "1", ours)
    assert_miss(get .. "redis.call('set', KEYS[1], v .. 'x', 'ex', 7200)", "1", ours)
    assert_miss(get .. "redis.call('set', KEYS[1], v:sub(1, -2), 'ex', 7200)", "1", ours)
    assert_miss("redis.call('set', KEYS[1], '', 'ex', 99)", "1", ours)
    assert_miss("redis.call('copy', 'kept', KEYS[1], 'replace')", "1", ours)
    assert_miss("redis.call('del', KEYS[1]); redis.call('lpush', KEYS[1], 'x')", "1", ours)
    assert.equal("own", elsewhere().client:token())
    local function put_anew()
      server:cli("del", ours)
      elsewhere({ token("t1", 7200) }).client:token()
    end
    put_anew()
    assert_miss("redis.call('persist', KEYS[1])", "1", ours)
    for _, life in ipairs { KEPT * 1000 + 5000, 8000000000000000 } do
      put_anew()
      assert_miss(("redis.call('pexpire', KEYS[1], %d)"):format(life), "1", ours)
    end
    put_anew()
    clock:shift(7180, 7180) -- and somebody gave it a new life
    assert_miss(("redis.call('pexpire', KEYS[1], %d)"):format(KEPT * 1000), "1", ours)
  end)
end)

describe("a lock without an end, which nobody of us can have made", function()
  it("is an outage, not a wait", function()
    leave_a_lease(60000)
    server:cli("persist", key ".lock")
    assert_alone(elsewhere { token("own", 1000) }, "lock key has no expiry")
  end)
end)

describe("clocks five minutes apart", function()
  local LIFE, MARGIN = 900, 30

  -- Of a token `age` seconds old, whose writer's and reader's clocks are off by so much: whether it is handed out.
  local function hands_out(writer_off, reader_off, age)
    local writer, reader = core.clock(), core.clock()
    writer:shift(0, writer_off)
    reader:shift(age, age + reader_off)
    server:cli "flushall"
    local reply = token("t1", LIFE)
    reply.date = math.floor(core.clock():wall())
    assert.equal("t1", (elsewhere({ reply }, nil, writer)).client:token())
    server:cli("pexpire", key ".last", tostring((KEPT - age) * 1000))
    local got = (elsewhere({ token("own", LIFE) }, nil, reader)).client:token()
    return got == "t1"
  end

  it("hand out no expired token, whichever is wrong and which way", function()
    for _, writer in ipairs { -300, 0, 300 } do
      for _, reader in ipairs { -300, 0, 300 } do
        for _, age in ipairs { LIFE - MARGIN + 1, LIFE - 1 } do
          assert.is_false(hands_out(writer, reader, age), ("%d %d %d"):format(writer, reader, age))
        end
        assert.is_true(hands_out(writer, reader, 10), ("%d %d"):format(writer, reader))
      end
    end
  end)

  it("cost at most the difference of its life", function()
    assert.is_true(hands_out(0, 0, LIFE - MARGIN - 5))
    assert.is_true(hands_out(300, 0, LIFE - MARGIN - 5))
    assert.is_true(hands_out(0, -300, LIFE - MARGIN - 5))
    assert.is_true(hands_out(-300, 0, LIFE - MARGIN - 305))
    assert.is_true(hands_out(0, 300, LIFE - MARGIN - 305))
  end)

  it("are told apart by the server's Date where the writer's is ahead, though Redis forgets nothing", function()
    local writer = core.clock()
    writer:shift(0, 300)
    local reply = token("t1", LIFE)
    reply.date = math.floor(core.clock():wall())
    assert.equal("t1", (elsewhere({ reply }, nil, writer)).client:token())
    server:cli("pexpire", key ".last", tostring(KEPT * 1000))
    clock:shift(LIFE - 20, LIFE - 20)
    assert.equal("own", (elsewhere { token("own", LIFE) }).client:token())
  end)
end)

describe("a client that can't use Redis asks for itself", function()
  it("where nobody listens, and uses it again when it is back, not before its time", function()
    local s = elsewhere(function(n) return token("t" .. n, 100) end, { on_event = nil })
    server:down()
    assert.equal("t1", s.client:token())
    local asked = clock:boot()
    assert.equal(1, count(s.events, "cache_error"))
    assert.matches("^/tmp/.* %(without redis://.*: Connection refused%)$", s.client:status().cache)
    server:up()
    set_clock(asked)
    s.client:renew()
    assert.equal("", key ".last") -- left alone for a second
    clock:shift(1.1, 1.1)
    s.client:renew()
    assert.not_equal("", key ".last")
    assert.matches("^redis://", s.client:status().cache)
    server:down()
    for _ = 1, 5 do
      clock:shift(100, 100)
      assert.truthy(s.client:token())
    end
    assert.equal(2, count(s.events, "cache_error")) -- once for each outage
    server:up()
  end)

  it("where it says nothing, within connect_timeout", function()
    server:freeze()
    assert_alone(elsewhere({ token("own", 100) }, { connect_timeout = 0.1 }), "does not answer in time")
    assert_alone(elsewhere({ token("own", 100) }, { connect_timeout = 0.1, cache = server.unix }),
      "does not answer in time")
    server:thaw()
  end)

  -- Resumes a coroutine until it has ended; its longest turn, and how long it took, in seconds.
  local function turns_of(body)
    local began, longest, waiter = cqueues.monotime(), 0, coroutine.create(body)
    repeat
      local before = cqueues.monotime()
      assert(coroutine.resume(waiter))
      longest = math.max(longest, cqueues.monotime() - before)
      cqueues.sleep(0.005)
    until coroutine.status(waiter) == "dead"
    return longest, cqueues.monotime() - began
  end

  it("where it says nothing to a reply that is put there, and holds no event loop up #timing", function()
    local s = elsewhere({ token("own", 100, ',"of":{}') }, yielding { connect_timeout = 1 })
    s:slow_down(0.5)
    local begun <close> = assert(s.client:pending()) -- luacheck: ignore 211
    process.wait_until(function() return s.requests == 1 end, 30, "a request")
    server:freeze()
    local got
    local longest = turns_of(function() got = s.client:token() end)
    server:thaw()
    assert.equal("own", got)
    assert.is_true(longest < 0.5, longest)
    assert.equal(1, count(s.events, "cache_error"))
  end)

  it("where it says nothing of a token that is refused, and holds up neither the loop nor the call #timing", function()
    local function loses_a_token(does, replies)
      local s = elsewhere(replies, yielding { timeout = 0.6, base_url = tokens.url:match "^http://[^/]+" })
      assert.equal("t1", s.client:token())
      server:freeze()
      local result
      local longest, took = turns_of(function() result = does(s.client) end)
      server:thaw()
      assert.truthy(result)
      assert.is_true(longest < 0.4, longest)
      assert.is_true(took < 1.5, took)
      assert.equal(1, count(s.events, "cache_error"))
      assert.equal(1, count(s.events, "invalidated"))
      return s
    end
    local s = loses_a_token(function(c) return c:get "/x" end,
      { token("t1", 7200), scripted.api(401, "{}"), token("t2", 7200), scripted.api(200, "{}") })
    assert.equal("t2", s.client:token())
    server:cli "flushall"
    s = loses_a_token(function(c) return c:invalidate() end, { token("t1", 7200), token("t3", 7200) })
    assert.equal("t3", s.client:token())
  end)

  it("where the coroutine that takes a token out of the cache is dropped in the middle", function()
    local s = elsewhere({ token("t1", 7200) }, yielding())
    assert.equal("t1", s.client:token())
    server:freeze()
    assert(coroutine.resume(coroutine.create(function() s.client:invalidate() end)))
    server:thaw()
    collectgarbage()
    local turns, done = 0, false
    local other = coroutine.wrap(function()
      s.client:invalidate "t1"
      done = true
    end)
    while not done and turns < 100 do
      other()
      turns = turns + 1
      cqueues.sleep(0.005)
    end
    assert.is_true(done)
  end)

  it("where it says nothing, after two seconds in any case #slow", function()
    server:freeze()
    assert_alone(elsewhere { token("own", 100) }, "does not answer in time", 3)
    server:thaw()
  end)

  it("where it says nothing and the call has a second: half of that, and what the token server says is told", function()
    server:freeze()
    assert_alone(elsewhere({ token("own", 100) }, { timeout = 1 }), "does not answer in time", 1)
    local s = elsewhere({ refusal "invalid_client" }, { timeout = 1 })
    assert.equal("oauth", (select(3, s.client:token())))
    server:thaw()
  end)

  -- Stands before Redis and makes it so many seconds away.
  local function distance(seconds)
    return rude.start { raw = true, data = { port = server.port, seconds = seconds }, handler = function(conn)
      local there = require("cqueues.socket").connect("127.0.0.1", conn.data.port)
      there:setmode("bn", "bn")
      require("cqueues").running():wrap(function()
        pcall(function() -- until either end is closed
          for bytes in function() return there:read(-4096) end do
            conn:write(bytes)
          end
        end)
      end)
      for bytes in function() return conn.socket:read(-4096) end do
        conn:sleep(conn.data.seconds)
        there:write(bytes)
      end
      there:close()
    end }
  end

  local function by(relay)
    return ("redis://auth@127.0.0.1:%d"):format(relay.port)
  end

  it("where each answer takes most of a second, after two seconds in any case #slow", function()
    local far <close> = distance(0.8)
    assert_alone(elsewhere({ token("own", 100) }, { cache = by(far) }), "does not answer in time", 4)
  end)

  it("where it is far away, and leaves no lock to others when the call has ended", function()
    local far <close> = distance(0.4)
    local there = another_machine()
    local s = there:client({ token("t1", 1000) }, server:options { cache = by(far), base_url = "https://api.example" })
    s:slow_down(4)
    local before = cqueues.monotime()
    assert.equal("timeout", (select(3, s.client:get("/x", { timeout = 1 }))))
    assert.is_true(cqueues.monotime() - before < 2)
    local other = there:client({ token("t2", 1000) }, server:options { timeout = 20 })
    before = cqueues.monotime()
    assert.equal("t2", other.client:token())
    assert.is_true(cqueues.monotime() - before < 3, cqueues.monotime() - before)
  end)

  it("where the password is missing, wrong, or can't be read", function()
    assert_alone(elsewhere({ token("own", 100) }, { cache_password = "wrong" }), "wrong %(WRONGPASS%)")
    assert_alone(elsewhere({ token("own", 100) }, { cache_password = scripted.NONE, cache_password_file = "/nowhere" }),
      "cache_password_file.*No such file")
    server:cli("acl", "setuser", "default", "resetpass", ">x")
    local nobody = ("redis://127.0.0.1:%d"):format(server.port)
    assert_alone(elsewhere({ token("own", 100) }, { cache_password = scripted.NONE, cache = nobody }),
      "cache_password_file %(NOAUTH%)")
    process.run(("redis-cli -s %s -a x acl setuser default nopass"):format(server.socket))
  end)

  it("where its URL names a user, and there is no password: it is not the default user instead", function()
    assert_alone(elsewhere({ token("own", 100) }, { cache_password = scripted.NONE }),
      "names a user.*cache_password_file")
    assert.equal("", key "")
  end)

  it("where the user may too little", function()
    server:cli("acl", "setuser", "auth", "-set")
    assert_alone(elsewhere { token("own", 100) }, "access list.*%(NOPERM%)")
    server:cli("acl", "setuser", "auth", "+set")
  end)

  for what, how in pairs {
    ["nothing may be written"] = { "-set", "+set" },
    ["leases may be had and tokens not"] = { "resetkeys ~central-auth:*.lock* %R~central-auth:*",
      "resetkeys ~central-auth:*" },
    ["nothing may be read"] = { "-pttl", "+pttl" },
  } do
    it("once, and less and less often, where " .. what, function()
      local function permit(rules)
        process.run(("redis-cli -s %s acl setuser auth %s"):format(server.socket, rules))
      end
      local s = elsewhere(function(n) return token("t" .. n, 100) end)
      local renewed = clock:boot()
      local function renew_after(seconds)
        server:cli("config", "resetstat")
        set_clock(renewed + seconds)
        assert.truthy(s.client:renew())
        renewed = clock:boot()
        return server:cli("info", "commandstats"):find "cmdstat_set" ~= nil
      end
      permit(how[1])
      assert.is_true(renew_after(0))
      for _, pause in ipairs { 1.1, 2.1, 4.1 } do
        assert.is_false(renew_after(0))
        assert.is_true(renew_after(pause))
      end
      assert.is_false(renew_after(4.1))
      permit(how[2])
      assert.is_true(renew_after(8.1))
      assert.equal(1, count(s.events, "cache_error"))
      assert.matches("^redis://", s.client:status().cache)
      permit(how[1])
      assert.is_true(renew_after(0))
      permit(how[2])
      assert.equal(2, count(s.events, "cache_error"))
    end)
  end

  it("where it is a replica, or has no such database", function()
    server:cli("replicaof", "127.0.0.1", "1")
    assert_alone(elsewhere { token("own", 100) }, "replica.*%(READONLY%)")
    server:cli("replicaof", "no", "one")
    assert_alone(elsewhere({ token("own", 100) }, { cache = server.url .. "/9999" }), "no such database %(ERR%)")
  end)

  it("where its memory is full", function()
    server:cli("config", "set", "maxmemory", "1")
    assert_alone(elsewhere { token("own", 100) }, "memory is full %(OOM%)")
    server:cli("config", "set", "maxmemory", "0")
  end)

  it("where its name has no address", function()
    assert_alone(elsewhere({ token("own", 100) }, { cache = "redis://no-such-host.invalid", connect_timeout = 2 }),
      "no address%)$", 3)
  end)

  -- A server whose answer to everything is `data[1]`, in bits where `data.bits`, and then silence where `data.hang`.
  local function fake(data)
    return rude.start { raw = true, data = data, handler = function(conn)
      while conn.socket:read(-4096) do
        conn:write(conn.data[1])
        if conn.data.hang then
          conn:sleep(1)
        end
      end
    end }
  end

  for name, case in pairs {
    ["is still loading"] = { "-LOADING Redis is loading the dataset in memory\r\n", "loads its data %(LOADING%)" },
    ["is a cluster's node that has not the key"] = { "-MOVED 3999 127.0.0.1:6381\r\n", "cluster.*%(MOVED%)" },
    ["says an unknown error"] = { "-\27[31mredis-password\r\n", "it refuses.* %(%)" },
    ["is an HTTP server"] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "not a Redis server" },
    ["sends arrays"] = { "*2147483647\r\n", "not a Redis server" },
    ["sends arrays of arrays"] = { ("*1\r\n"):rep(20), "not a Redis server" },
    ["sends more than a record can be"] = { "$400000000\r\n" .. ("x"):rep(400000), "too long" },
    ["begins an answer and goes silent"] = { "$400\r\nxxxx", "in time", hang = true },
    ["answers one byte after the other, for ever"] = { "$9\r\n1", "in time", hang = true },
    ["sends numbers for texts"] = { ":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", "" },
  } do
    it("where it " .. name, function()
      local odd <close> = fake { case[1], hang = case.hang }
      local s = elsewhere({ token("own", 100) }, { cache = ("redis://127.0.0.1:%d"):format(odd.port),
        connect_timeout = case.hang and 0.3 or 2 })
      if case[2] == "" then
        return assert.equal("own", s.client:token())
      end
      assert_alone(s, case[2])
    end)
  end

  -- Stands before Redis and cuts each connection: the first before any byte from it, the next after one, after two …
  local function cutter()
    return rude.start { raw = true, data = { port = server.port }, handler = function(conn)
      local data = conn.data
      local there = require("cqueues.socket").connect("127.0.0.1", data.port)
      there:setmode("bn", "bn")
      require("cqueues").running():wrap(function()
        pcall(function() -- until either end is closed
          for bytes in function() return conn.socket:read(-4096) end do
            there:write(bytes)
          end
        end)
      end)
      local left = data.left or 0
      data.left = left + 1
      while left > 0 do
        local bytes = there:read(-left)
        if not bytes then break end
        conn:write(bytes)
        left = left - #bytes
      end
      there:close()
    end }
  end

  it("where the connection is cut, at whatever byte #slow", function()
    elsewhere({ token("t1", 7200) }).client:token()
    for _, expected in ipairs { "t1", "own" } do -- reading what is there; taking the lease and putting
      local proxy <close> = cutter()
      local cut, whole = 0, 0
      for i = 1, 700 do
        if expected == "own" then
          server:cli "flushall"
        end
        local s = elsewhere({ token("own", 7200) }, { cache = ("redis://auth@127.0.0.1:%d"):format(proxy.port) })
        local got = s.client:token()
        local failed = count(s.events, "cache_error")
        assert.equal(failed > 0 and "own" or expected, got, i)
        assert.is_true(failed <= 1)
        cut, whole = cut + failed, failed == 0 and whole + 1 or 0
        if whole == 20 then break end -- all that Redis says has passed
      end
      assert.is_true(cut > 10 and whole == 20, ("%d cut, %d whole"):format(cut, whole))
    end
  end)
end)

describe("the password of Redis", function()
  it("is in nothing that can be printed, whatever goes wrong", function()
    local events, secret = {}, "PassW0rd-of-Redis"
    local s = elsewhere({ token("own", 100) }, { cache_password = secret,
      on_event = function(event) events[#events + 1] = event end })
    s.client:token()
    assert.equal(3, #events)
    for _, event in ipairs(events) do
      for _, value in pairs(event) do
        assert.is_nil(tostring(value):find(secret, 1, true))
      end
    end
    assert.is_nil(tostring(s.client:status()):find(secret, 1, true))
    assert.is_nil(tostring(s.client):find(secret, 1, true))
  end)

  it("is read anew for each connection: it may be changed", function()
    local path = process.write(root .. "/password", "wrong\n", 600)
    local s = elsewhere(function(n) return token("t" .. n, 100) end,
      { cache_password = scripted.NONE, cache_password_file = path })
    s.client:token()
    assert.matches("WRONGPASS", s.client:status().cache)
    process.write(path, redis.password .. "\n", 600)
    clock:shift(100, 100)
    s.client:token()
    assert.matches("^redis://", s.client:status().cache)
  end)
end)

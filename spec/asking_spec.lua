-- What asking the server means for other processes that share the cache: permits, refused tokens, what jobs share; and
-- for a secret's source. Processes are clients of one clock and one folder.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local scripted = require "spec.support.scripted"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

describe("a shared token #valgrind", function()
  local root, clock

  before_each(function() root, clock = process.scratch(), core.clock() end)
  after_each(function() process.remove(root) end)

  -- A process of its own, at the same time as the others.
  local function another(replies, options)
    local all = { cache = root .. "/cache" }
    for name, value in pairs(options or {}) do
      all[name] = value
    end
    return scripted.new(replies or {}, all, clock)
  end

  it("is not locked by who waits for a permit, nor does a renewal in the background wait for one", function()
    local sleeper = another({ token("t1", 1000), token("t2", 1000) }, { timeout = 30 })
    sleeper.client:token()
    local greedy = another(function(n) return token("g" .. n, 1000) end)
    clock:shift(950, 950)
    for _ = 1, 10 do
      greedy.client:renew()
    end
    greedy.client:invalidate()
    assert.equal("t1", sleeper.client:token()) -- stale
    assert.is_nil(sleeper.client._renewal:under_way())
    sleeper.client:token()
    assert.same({ "fetched", "failed" }, sleeper.events)
    local lock = assert(greedy.client._renewal.cache:lock())
    lock:release()
    sleeper.client._renewal.host.wait = coroutine.yield
    local waiter = coroutine.wrap(function() return sleeper.client:renew() end)
    waiter()
    lock = assert(greedy.client._renewal.cache:lock())
    lock:release()
    clock:shift(2, 2)
    assert.equal("t2", waiter())
  end)

  it("that is invalidated while it is being renewed is gone when that fails, and so is nothing newer", function()
    for _, second in ipairs { broken(), token("t2", 1000) } do
      second.took = 1
      local s = another { token("t1", 1000), second }
      assert.equal("t1", s.client:renew())
      clock:shift(950, 950)
      s.client:token()
      assert.is_true(s.client:invalidate "t1")
      clock:shift(1, 1)
      s.client._renewal:under_way():look()
      local other = another { token("t3", 1000) }
      assert.equal(second.code and "t3" or "t2", other.client:token())
      clock:shift(2000, 2000)
    end
  end)
end)

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

  it("is read again once somebody has to wait, and a changed one gets its try", function()
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

describe("a command that takes its time", function()
  local folder, path

  before_each(function()
    folder = process.scratch()
    path = process.write(folder .. "/printed", "from-a-command-1")
  end)
  after_each(function() process.remove(folder) end)

  -- From now on the command hangs until something is written there.
  local function hang()
    os.remove(path)
    os.execute("mkfifo " .. path)
  end

  local function client_of(option, more)
    local options = { client_secret = scripted.NONE, [option] = "exec cat " .. path }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return scripted.new({ token("t1", 1000), token("t2", 1000), token("t3", 1000) }, options)
  end

  -- The old token goes on while the command hangs, with so many requests made; another comes by what is then printed.
  local function assert_goes_on(s, requests, another)
    assert.equal("t1", s.client:token())
    hang()
    s:wait(960)
    for _ = 1, 3 do
      assert.equal("t1", s.client:token())
    end
    assert.equal(requests, s.requests)
    process.write(path, "from-a-command-2")
    process.wait_until(function() return s.client:token() == another end, 30, "the renewal")
  end

  it("to give an assertion holds nobody up who has a token", function()
    local s = client_of "client_assertion_command"
    assert_goes_on(s, 1, "t2")
    assert.equal(2, s.requests)
  end)

  it("to give the secret is run again in the background, too", function()
    local s = client_of "client_secret_command"
    s.replies[2] = refusal "invalid_client"
    assert_goes_on(s, 2, "t3")
  end)

  it("lets others go on in an event loop", function()
    hang()
    local s = client_of("client_secret_command", { wait = function() coroutine.yield "waiting" end })
    local ask = coroutine.wrap(function() return s.client:token() end)
    assert.equal("waiting", ask())
    assert.equal("waiting", ask())
    process.write(path, "from-a-command")
    process.wait_until(function() return ask() == "t1" end, 30, "the token")
  end)

  it("is ended with its client", function()
    hang()
    local s = client_of("client_secret_command", { wait = function() coroutine.yield "waiting" end })
    coroutine.wrap(function() return s.client:token() end)()
    s.client:close()
    assert.equal("", (process.run("pgrep -f " .. process.quote("^cat " .. path))))
  end)
end)

describe("what a job shares by itself", function()
  local root, clock

  before_each(function() root, clock = process.scratch(), core.clock() end)
  after_each(function() process.remove(root) end)

  local function another(server)
    return client.new(assert(config.resolve { client_id = "an-id", client_secret = "a-long-enough-secret",
      token_url = server.url, cache = root .. "/cache", timeout = 5 }), { clock = clock })
  end

  it("is not the held token's longer life, which its owner does not believe", function()
    local same = rude.reply(200, nil, '{"access_token":"same","token_type":"Bearer","expires_in":100}')
    local server <close> = rude.start { replies = same }
    local first <close> = another(server)
    first:token()
    clock:shift(60, 60)
    assert.equal("same", first:renew())
    local second <close> = another(server)
    assert.equal("same", second:token())
    assert.equal("cache", second:status().source)
    assert.near(40, first:status().expires_in, 1)
    assert.near(40, second:status().expires_in, 1)
    clock:shift(45, 45) -- over: from here on the server is believed
    assert.equal("same", first:token())
    local third <close> = another(server)
    assert.equal("same", third:token())
    assert.equal("cache", third:status().source)
    assert.near(100, third:status().expires_in, 2)
  end)

  it("is no token that nobody can use", function()
    local server <close> = rude.start { replies = {
      rude.reply(200, nil, '{"access_token":"good","token_type":"Bearer","expires_in":1000}'),
      rude.reply(200, nil, '{"access_token":"bad","token_type":"DPoP","expires_in":1000}') } }
    local first <close> = another(server)
    first:token()
    assert.equal("reply", (select(3, first:renew())))
    local second <close> = another(server)
    assert.equal("good", second:token())
    assert.equal(2, #server:requests())
  end)

  it("is a usable token also where it takes a reader of JSON to see it", function()
    local server <close> = rude.start { replies = rude.reply(200, nil,
      '{"access_token":"good","token_type":"Bearer","expires_in":1000,"more":{"error":null}}') }
    local first <close> = another(server)
    first:token()
    local second <close> = another(server)
    assert.equal("good", second:token())
    assert.equal(1, #server:requests())
  end)
end)

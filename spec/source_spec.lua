-- What the token source makes of what other processes do and of commands that take their time: permits, refused tokens,
-- what replies share, forks. Processes are clients of one clock and one folder.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local core = require "central.auth.core"
local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"
local world = require "spec.support.scripted_world"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

local function wait_by_yielding()
  coroutine.yield "waiting"
end

describe("a shared token #valgrind", function()
  local root, clock

  before_each(function() root, clock = process.scratch(), core.clock() end)
  after_each(function() process.remove(root) end)

  -- A process of its own, at the same time as the others.
  local function another(replies, options)
    return scripted.new(replies or {}, with({ cache = root .. "/cache" }, options), clock)
  end

  it("is not renewed in the background while there is no permit, nor is one waited for", function()
    local sleeper = another({ token("t1", 1000) }, { timeout = 30 })
    sleeper.client:token()
    local greedy = another(function(n) return token("g" .. n, 1000) end)
    clock:shift(950, 950)
    for _ = 1, 10 do
      greedy.client:renew()
    end
    greedy.client:invalidate()
    for _ = 1, 3 do
      assert.equal("t1", sleeper.client:token()) -- stale
    end
    assert.same({ "fetched", "failed" }, sleeper.events)
    assert.equal(1, sleeper.requests)
  end)

  it("is renewed by a process that waits for a permit as soon as there is one", function()
    local greedy = another(function(n) return token("g" .. n, 1000) end)
    for _ = 1, 10 do
      greedy.client:renew()
    end
    local s = another({ token("own", 1000) }, { timeout = 30 })
    local before = clock:boot()
    assert.equal("own", s.client:renew())
    assert.near(2, clock:boot() - before, 0.2)
  end)

  it("is not locked by a process that waits for a permit", function()
    local server <close> = neighbour.server(20, 1000)
    local greedy <close> = neighbour.new(server, clock, { cache = root .. "/cache" })
    for _ = 1, 10 do
      greedy:renew()
    end
    greedy:invalidate()
    local sleeper <close> = neighbour.new(server, clock, { cache = root .. "/cache" })
    local pending <close> = sleeper:pending()
    local is_free = ('set -- %s/cache/*.lock; test -e "$1" && flock -n "$1" true'):format(root)
    process.wait_until(function() return select(2, process.run(is_free)) == 0 end, 1, "the lock")
    assert.is_false(pending:done())
    assert.equal(10, #server:requests())
  end)

  it("that is invalidated while it is being renewed is gone when that fails, and so is nothing newer", function()
    for _, second in ipairs { broken(), token("t2", 1000) } do
      second.took = 1
      local s = another { token("t1", 1000), second }
      assert.equal("t1", s.client:renew())
      clock:shift(950, 950)
      s.client:token()
      assert.is_true(s.client:invalidate "t1")
      s:wait(1)
      local other = another { token("t3", 1000) }
      assert.equal(second.code and "t3" or "t2", other.client:token())
      clock:shift(2000, 2000)
    end
  end)
end)

describe("a renewal whose result was not taken yet #valgrind", function()
  local clock

  before_each(function() clock = core.clock() end)

  local function another(replies, options)
    return scripted.new(replies or {}, with({ cache = "/shared" }, options), clock)
  end

  -- A client with the token t1, whose renewal has begun and takes a second.
  local function renewing(replies, options)
    replies[2].took = 1
    local s = another(replies, options)
    s.client:token()
    s:wait(950)
    assert.equal("t1", s.client:token())
    assert.equal(2, s.requests)
    return s
  end

  it("failed when its reply came: 70 s later its pause is over, whatever the failure was", function()
    for _, failure in ipairs { { status = 503, body = "", retry_after = 30 }, { status = 429, body = "",
      retry_after = 60 }, { status = 403, body = "" }, refusal "invalid_client", broken "timeout" } do
      local s = renewing({ token("t1", 1000), failure, token("t3", 1000) }, { cache = false })
      s:wait(70)
      assert.equal("t3", s.client:token())
      assert.equal(3, s.requests)
    end
  end)

  it("and was refused does not keep a secret from its try that has changed meanwhile", function()
    local folder = process.scratch()
    local path = process.write(folder .. "/secret", "the-first-secret", "600")
    for option, value in pairs { client_secret_file = path, client_secret_command = "cat " .. path } do
      process.write(path, "the-first-secret")
      local s = scripted.new({ token("t1", 1000), refusal "invalid_client", token("t3", 1000) },
        { client_secret = scripted.NONE, [option] = value, timeout = 1 })
      s.client:token()
      s:wait(969.2)
      assert.equal("t1", s.client:token())
      process.write(path, "the-second-secret")
      s:wait(1.3) -- the pause goes on, the time of the renewal is over
      assert.equal("t3", s.client:token())
      assert.equal(3, s.requests)
    end
    process.remove(folder)
  end)

  it("leaves of a longer Retry-After what is left at the next call", function()
    local s = renewing({ token("t1", 1000), { status = 503, body = "", retry_after = 100 } }, { cache = false })
    s:wait(70)
    local _, message, code, detail = s.client:token()
    assert.equal("http", code)
    assert.matches("not tried again", message)
    assert.near(31, detail.retry_after, 1.5) -- 100 s from the reply, and the jitter of the first pause
  end)

  it("has brought the token that invalidate takes away, here and from all", function()
    local s = renewing { token("t1", 1000), token("t2", 1000), token("t3", 1000) }
    s:wait(1)
    assert.is_true(s.client:invalidate())
    assert.equal("t4", another({ token("t4", 1000) }).client:token())
    assert.equal("t4", s.client:token())
  end)

  it("replaces no usable token where its own has expired meanwhile", function()
    local s = scripted.new { token("t1", 10000), token("t2", 5), token("t3", 10000) }
    s.client:token()
    s:wait(9500)
    assert.equal("t1", s.client:token())
    s:wait(60)
    assert.equal("t1", s.client:token())
    s:wait(2)
    assert.equal("t1", s.client:token())
    assert.equal("t3", s.client:token())
    assert.equal(3, s.requests)
  end)

  it("brings no token back into the cache that is invalidated before the process ends", function()
    local s = renewing { token("t1", 1000), token("t2", 1000) }
    assert.is_true(s.client:invalidate())
    s.client:close()
    local other = another { token("t3", 1000) }
    assert.equal("t3", other.client:token())
    assert.equal("t3", another().client:token())
  end)

  it("brings no token back into the cache that is revoked with its client", function()
    local s = renewing({ token("t1", 1000), token("t2", 1000), { status = 200, body = "", took = 2 } },
      { revocation_url = "https://as.example/revoke" })
    assert.is_true(s.client:close { revoke = true })
    s:wait(5)
    local other = another { token("t3", 1000) }
    assert.equal("t3", other.client:token())
  end)
end)

describe("invalidated tokens #valgrind", function()
  -- A client that replaced t1 by t2, its cache's records, and t2's record as another process writes it again.
  local function replaced()
    local clock = core.clock()
    local s = scripted.new({ token("t1", 1000), token("t2", 1000), token("t3", 1000) }, { cache = "/shared" }, clock)
    assert.equal("t1", s.client:token())
    assert.equal("t2", s.client:renew())
    local records = select(2, next(world.of(clock):folder("/shared").records))
    local again = world.copy(records.last)
    again.id = again.id + 1000
    return s, records, again
  end

  it("are remembered, though the older one is invalidated last: neither comes back from the cache", function()
    local s, records, again = replaced()
    assert.is_true(s.client:invalidate "t2")
    assert.is_false(s.client:invalidate "t1")
    records.last = again -- by another process that was not told
    assert.equal("t3", s.client:token())
  end)

  it("are remembered, though another one is invalidated many times", function()
    local s, records, again = replaced()
    assert.is_true(s.client:invalidate "t2")
    for _ = 1, 10 do
      s.client:invalidate "t1"
    end
    records.last = again -- by another process that was not told
    assert.equal("t3", s.client:token())
  end)

  it("are remembered, though the server returns one of them", function()
    local clock = core.clock()
    local s = scripted.new({ token("t1", 1000), token("t2", 500), token("t2", 500), token("t3", 500) },
      { cache = "/shared" }, clock)
    assert.equal("t1", s.client:token())
    local records = select(2, next(world.of(clock):folder("/shared").records))
    local again = world.copy(records.last)
    again.id = again.id + 1000
    assert.is_true(s.client:invalidate "t1")
    assert.equal("t2", s.client:token())
    assert.is_true(s.client:invalidate "t2")
    assert.equal("t2", s.client:token())
    s:wait(400)
    records.last = again -- by another process that was not told
    assert.equal("t2", s.client:token()) -- stale
    assert.equal(4, s.requests)
  end)
end)

describe("a command that takes its time", function()
  local folder, path, clock, server, client

  before_each(function()
    folder, clock = process.scratch(), core.clock()
    path = process.write(folder .. "/printed", "from-a-command-1")
  end)
  after_each(function()
    client:close()
    server:close()
    process.remove(folder)
  end)

  -- From now on the command hangs until something is written there.
  local function hang()
    os.remove(path)
    os.execute("mkfifo " .. path)
  end

  -- A client of a server that gives the tokens t1, t2 and t3, but for the second request the reply `second`.
  local function start(option, more, second)
    local options = with({ client_secret = scripted.NONE, [option] = "exec cat " .. path, timeout = 30 }, more)
    server = rude.start { replies = { neighbour.reply("t1", 1000), second or neighbour.reply("t2", 1000),
      neighbour.reply("t3", 1000) } }
    client = neighbour.new(server, clock, options)
  end

  -- The old token goes on while the command hangs, with so many requests made; another comes by what is then printed.
  local function assert_goes_on(requests, another)
    assert.equal("t1", client:token())
    hang()
    clock:shift(960, 960)
    process.wait_until(function()
      assert.equal("t1", client:token())
      return #server:requests() == requests
    end, 5, "the requests before")
    for _ = 1, 3 do
      assert.equal("t1", client:token())
    end
    process.write(path, "from-a-command-2")
    process.wait_until(function() return client:token() == another end, 30, "the renewal")
    assert.equal(requests + 1, #server:requests())
  end

  it("to give an assertion holds up no call that has a token", function()
    start "client_assertion_command"
    assert_goes_on(1, "t2")
  end)

  it("to give the secret is run again in the background, too", function()
    start("client_secret_command", nil, rude.reply(401, nil, '{"error":"invalid_client"}'))
    assert_goes_on(2, "t3")
  end)

  it("lets others go on in an event loop", function()
    hang()
    start("client_secret_command", { wait = wait_by_yielding })
    local ask = coroutine.wrap(function() return client:token() end)
    assert.equal("waiting", ask())
    assert.equal("waiting", ask())
    process.write(path, "from-a-command")
    process.wait_until(function() return ask() == "t1" end, 30, "the token")
  end)

  it("is ended with its client", function()
    hang()
    start("client_secret_command", { wait = wait_by_yielding })
    coroutine.wrap(function() return client:token() end)()
    local running = "pgrep -f " .. process.quote("^cat " .. path)
    process.wait_until(function() return process.run(running) ~= "" end, 5, "the command")
    client:close()
    assert.equal("", (process.run(running)))
  end)
end)

describe("what a reply shares by itself", function()
  local root, clock

  before_each(function() root, clock = process.scratch(), core.clock() end)
  after_each(function() process.remove(root) end)

  local function another(server)
    return neighbour.new(server, clock, { cache = root .. "/cache" })
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

  it("is no token of an unusable type", function()
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

describe("a renewal under way in a process that forks #slow #forks", function()
  -- What the scripts have in common: a request of a second, asked for by a scripted client.
  local FORKS = [[
    local cqueues, host, scripted = require "cqueues", require "spec_fork", require "spec.support.scripted"
    local function wait() coroutine.yield() end
    local s = scripted.new(function(n) return scripted.token("t" .. n, 1000) end, { wait = wait })
    s.took = 1
    local function rings(fd)
      local polled = { pollfd = fd, events = "r" }
      return cqueues.poll(polled, 0.02) == polled
    end
  ]]

  it("is not heard of in the parent because the child closes its client", function()
    assert.equal("false\ntrue\ttrue\n", (child.run(FORKS .. [[
      local pending = s.client:pending()
      local pid = host.fork()
      if pid == 0 then
        s.client:close()
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
      print(rings(pending:fd()))
      s:wait(1)
      print(pending:done(), rings(pending:fd()))
    ]])))
  end)

  it("is begun anew by a coroutine that goes on in the child", function()
    assert.equal("t2\nt1\n", (child.run(FORKS .. [[
      local waiter = coroutine.wrap(function() return s.client:token() end)
      waiter()
      local pid = host.fork()
      if pid == 0 then
        waiter()
      end
      s:wait(1)
      print(pid == 0 and waiter() or host.wait(pid) == 0 and waiter())
      os.exit(true, true)
    ]])))
  end)
end)

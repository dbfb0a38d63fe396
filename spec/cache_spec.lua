-- The shared token, by clients that stand for processes: one clock, one folder, time moved at will. Real processes are
-- in processes_spec.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local crowd = require "spec.support.crowd"
local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"
local world = require "spec.support.scripted_world"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

local root, folder, clock

-- A process of its own, at the same time as the others; its folder is in memory.
local function another(replies, options)
  return scripted.new(replies or {}, with({ cache = folder, client_secret = "a-long-enough-secret" }, options), clock)
end

-- What there is in that folder, of the one token in it.
local function records()
  return select(2, next(world.of(clock):folder(folder).records))
end

-- The same with the real folder, asking a server.
local function real(server, options)
  return neighbour.new(server, clock, with({ cache = folder }, options))
end

local function files(suffix)
  return (process.run(("ls %s | grep -c '%s$'"):format(folder, suffix)):gsub("%s", ""))
end

describe("the cache #valgrind", function()
  before_each(function()
    root = process.scratch()
    folder, clock = root .. "/cache", core.clock()
  end)
  after_each(function() process.remove(root) end)

  describe("shares a token", function()
    it("with a process that starts later, which makes no request", function()
      local first = another { token("t1", 7200) }
      assert.equal("t1", first.client:token())
      clock:shift(100, 100)
      local second = another()
      assert.equal("t1", second.client:token())
      assert.equal(0, second.requests)
      assert.same({ "shared" }, second.events)
      local status = second.client:status()
      assert.equal("cache", status.source)
      assert.equal("network", first.client:status().source)
      assert.near(7100, status.expires_in, 1)
      assert.equal(folder, status.cache)
    end)

    it("with one whose own is stale", function()
      local first, second = another { token("t1", 1000), token("t2", 1000) }, another()
      first.client:token()
      second.client:token()
      clock:shift(950, 950)
      assert.equal("t1", first.client:token())
      assert.equal("t2", first.client:token())
      assert.equal("t2", second.client:token())
      assert.equal(0, second.requests)
    end)

    it("until it is expired, and not a moment longer", function()
      another({ token("t1", 1000) }).client:token()
      clock:shift(965, 965)
      assert.equal("t1", (another { broken() }).client:token()) -- stale, but usable
      clock:shift(6, 6)
      assert.equal("t2", (another { token("t2", 1000) }).client:token())
    end)

    it("in whatever way the secret is given", function()
      local path = process.write(root .. "/secret", "a-long-enough-secret\n", "600")
      another({ token("t1", 1000) }).client:token()
      for name, value in pairs { client_secret_file = path, client_secret_command = "echo a-long-enough-secret" } do
        local s = another(nil, { client_secret = scripted.NONE, [name] = value })
        assert.equal("t1", s.client:token())
      end
      local s = another(nil, { client_secret = function() return "a-long-enough-secret" end })
      assert.equal("t1", s.client:token())
    end)

    it("only between equals: secret, client, endpoint, style, scope, audience, resource, params", function()
      another({ token("t1", 1000) }).client:token()
      for _, options in ipairs { { client_secret = "another-long-secret" }, { client_id = "another" },
        { token_url = "https://other.example/" }, { auth_style = "basic" }, { scope = "a" }, { audience = "a" },
        { resource = "a" }, { params = { a = "b" } } } do
        local s = another({ token("own", 1000) }, options)
        assert.equal("own", s.client:token())
      end
      assert.equal("t1", another().client:token())
    end)

    it("when it is better for longer than ours, with min_valid", function()
      local first = another { token("t1", 1000), token("t2", 1000) }
      local second = another()
      first.client:token()
      second.client:token()
      clock:shift(500, 500)
      assert(first.client:renew())
      assert.equal("t2", second.client:token { min_valid = 700 })
      assert.equal(0, second.requests)
    end)
  end)

  describe("trusts nothing", function()
    local server

    before_each(function() server = neighbour.server(20, 7200) end)
    after_each(function() server:close() end)

    -- A token in the folder, and the one that a process gets which starts so much later.
    local function after_shift(boot, wall)
      local one <close> = real(server)
      local two <close> = real(server)
      local first = one:token()
      clock:shift(boot, wall)
      local second = two:token()
      clock:shift(-boot, -wall)
      process.remove(folder)
      return first == second
    end

    it("from the future, by either clock", function()
      assert.is_true(after_shift(0, 0))
      assert.is_false(after_shift(0, -60))
      assert.is_false(after_shift(-60, 0))
    end)

    it("younger than the older of two ages: suspend, pause, steps of the wall clock", function()
      assert.is_true(after_shift(7000, 7000))
      assert.is_false(after_shift(7190, 0))
      assert.is_false(after_shift(0, 7190))
      assert.is_false(after_shift(7190, 86400))
    end)

    it("that was cut, changed, emptied or exchanged", function()
      local one <close> = real(server)
      one:token()
      local path = process.run(("ls %s/*.last"):format(folder)):match "%S+"
      local good, count = process.read(path), 1
      for _, bytes in ipairs { "", good:sub(1, -2), good .. "x", good:sub(1, 60) .. "\0" .. good:sub(62),
        ("x"):rep(9000), (good:gsub("auth/%d", "auth/9")) } do
        assert.not_equal(good, bytes)
        process.write(path, bytes)
        local other <close> = real(server)
        count = count + 1
        assert.equal("t" .. count, other:token())
      end
      process.write(path, good)
      local last <close> = real(server)
      assert.equal("t1", last:token())
    end)

    it("that is no token once it is opened", function()
      local s = another { { status = 200, body = '{"access_token":"no token"}' } }
      assert.equal("reply", (select(3, s.client:token())))
      assert.truthy(records().last)
      assert.equal("t2", (another { token("t2", 7200) }).client:token())
    end)
  end)

  describe("shares failures", function()
    it("whose words repeat the secret, and repeats it nowhere", function()
      local echo = { status = 401,
        body = '{"error":"invalid_client","error_description":"a-long-enough-secret is wrong"}' }
      for n = 1, 2 do
        local _, message, _, detail = another({ n == 1 and echo or nil }).client:token()
        assert.matches("the server says: [redacted] is wrong", message, 1, true)
        assert.equal("[redacted] is wrong", detail.error_description)
      end
    end)

    it("of bad credentials, for seconds that double to a minute", function()
      local answers = function() return refusal "invalid_client" end
      local pauses = {}
      for i = 1, 7 do
        local s = another(answers)
        local _, _, code, detail = s.client:token()
        assert.equal("oauth", code)
        assert.equal("invalid_client", detail.oauth_error)
        assert.equal(1, s.requests)
        local late = another()
        local none, message = late.client:token()
        assert.is_nil(none)
        assert.matches("invalid_client.*not tried again for", message)
        assert.equal(0, late.requests)
        pauses[i] = late.client:status().next_try_in
        clock:shift(pauses[i] + 0.01, pauses[i] + 0.01)
      end
      for i, expected in ipairs { 2, 4, 8, 16, 32, 60, 60 } do
        assert.near(expected, pauses[i], 0.5)
      end
    end)

    it("of rate limits, as long as the server says", function()
      local s = another({ { status = 429, body = "", retry_after = 50 } }, { timeout = 5 })
      assert.is_nil((s.client:token()))
      clock:shift(40, 40)
      local late = another(nil, { timeout = 5 })
      local _, _, code, detail = late.client:token()
      assert.equal("rate_limited", code)
      assert.near(10, detail.retry_after, 1.5)
      assert.is_nil((late.client:renew()))
      assert.equal(0, late.requests)
      clock:shift(12, 12)
      assert.equal("t1", (another { token("t1", 1000) }).client:token())
    end)

    it("of rate limits, which a renewal by force does not pass over either, from the moment of the reply", function()
      local s = another({ { status = 429, body = "", retry_after = 50, took = 8 } }, { timeout = 10 })
      assert.equal("rate_limited", (select(3, s.client:token())))
      for _ = 1, 3 do
        local late = another(nil, { timeout = 5 })
        local _, _, code = late.client:renew()
        assert.equal("rate_limited", code)
        assert.equal(0, late.requests)
        clock:shift(15, 15)
      end
      local late = another(nil, { timeout = 5 }) -- 53 s after the request was sent
      assert.equal("rate_limited", (select(3, late.client:renew())))
      assert.equal("rate_limited", (select(3, another(nil, { timeout = 5 }).client:token())))
      assert.equal(0, late.requests)
      clock:shift(6, 6)
      assert.equal("t1", (another { token("t1", 1000) }).client:renew())
    end)

    it("of rate limits, whose end a renewal by force waits for where it has the time", function()
      another({ { status = 429, body = "", retry_after = 20 } }, { timeout = 5 }).client:token()
      local late, began = another({ token("t1", 1000) }, { timeout = 30 }), clock:boot()
      assert.equal("t1", late.client:renew())
      assert.near(20, clock:boot() - began, 1)
      assert.equal(1, late.requests)
    end)

    it("until a process succeeds: renew ignores them", function()
      another({ refusal "invalid_client" }).client:token()
      local s = another { token("t1", 1000) }
      assert.equal("t1", s.client:renew())
      local late = another()
      assert.equal("t1", late.client:token())
      assert.same({ "shared" }, late.events)
    end)

    it("but none of the network's, which are one process's own matter", function()
      local s = another({ broken "connect" }, { timeout = 0.05 })
      assert.is_nil((s.client:token()))
      assert.equal("t1", (another { token("t1", 1000) }).client:token())
    end)

    it("and keeps the token that still lives beside them", function()
      local s = another { token("t1", 1000), refusal "invalid_client" }
      s.client:token()
      clock:shift(950, 950)
      assert.equal("t1", s.client:token())
      assert.equal("t1", another().client:token())
    end)

    it("not with a process that has another secret: a changed one finds neither token nor failure", function()
      another({ refusal "invalid_client" }).client:token()
      local s = another({ token("t1", 1000) }, { client_secret = "the-new-secret-after-reset" })
      assert.equal("t1", s.client:token())
    end)
  end)

  it("moves on with a secret that is rotated while we run", function()
    local path = process.write(root .. "/secret", "the-first-secret-of-all", "600")
    local options = { client_secret = scripted.NONE, client_secret_file = path }
    local s = another({ token("t1", 1000), refusal "invalid_client", token("t2", 1000) }, options)
    s.client:token()
    process.write(path, "the-second-secret-of-all", "600")
    clock:shift(1000, 1000)
    assert.equal("t2", s.client:token())
    assert.equal("t2", another(nil, options).client:token())
  end)

  it("moves on with a rotated secret though another process was just refused with the old one", function()
    local path = process.write(root .. "/rotated", "the-first-secret-of-all", "600")
    local options = { client_secret = scripted.NONE, client_secret_file = path }
    local s = another({ token("t1", 1000), token("t2", 1000) }, options)
    s.client:token()
    clock:shift(1000, 1000)
    another({ refusal "invalid_client" }, options).client:token()
    process.write(path, "the-second-secret-of-all", "600")
    assert.equal("t2", s.client:token())
    assert.equal(2, s.requests)
  end)

  describe("invalidate", function()
    it("reaches processes that start later", function()
      local server <close> = neighbour.server(3, 1000)
      local one <close> = real(server)
      local two <close> = real(server)
      one:renew()
      assert.equal("t2", one:renew()) -- now each of the two records has a token
      assert.is_true(one:invalidate "t2")
      assert.equal("0", files ".last")
      assert.equal("0", files ".token")
      assert.equal("t3", two:token())
    end)

    it("leads to one renewal, however many were told 401", function()
      assert.equal(1, crowd.told_401(another))
    end)

    it("takes away a token this process never held, if it is the shared one", function()
      another({ token("t1", 1000) }).client:token()
      local s = another { token("t2", 1000) }
      assert.is_false(s.client:invalidate "another")
      assert.is_true(s.client:invalidate "t1")
      assert.equal("t2", s.client:token())
    end)

    it("never takes the refused token back from a cache that can't be changed", function()
      local s = another { token("t1", 1000), token("t2", 1000) }
      s.client:token()
      local stays = records().last
      s.client:invalidate "t1"
      records().last = stays
      assert.equal("t2", s.client:token())
    end)
  end)

  describe("lets one ask at a time", function()
    -- A process whose request is under way for so many seconds, with the lock.
    local function holder(took, replies)
      local s = another(replies or { token("t1", 1000) }, { timeout = 1000 })
      s.took = took
      s.client:pending():close()
      return s
    end

    it("and waiters take the token that appears", function()
      holder(3)
      local waiter = another {}
      local before = clock:boot()
      assert.equal("t1", waiter.client:token())
      assert.near(3, clock:boot() - before, 0.1)
      assert.same({ "shared" }, waiter.events)
    end)

    it("and overtakes a holder that hangs", function()
      holder(100)
      local waiter = another({ token("t2", 1000) }, { timeout = 20 })
      local before = clock:boot()
      assert.equal("t2", waiter.client:token())
      assert.near(15, clock:boot() - before, 1) -- three quarters: the dice say 1
      assert.equal("t2", another().client:token())
    end)

    it("no longer than its own deadline: an API call that has ended is not waited for", function()
      local s = another({ token("t1", 1000) }, { timeout = 30, base_url = "https://api.example" })
      s.took = 25
      assert.equal("timeout", (select(3, s.client:get("/x", { timeout = 1 }))))
      local waiter = another({ token("t2", 1000) }, { timeout = 30 })
      local before = clock:boot()
      assert.equal("t2", waiter.client:token())
      assert.near(0, clock:boot() - before, 0.1)
    end)

    it("and none of them, once the pending token is closed and the request has failed", function()
      local s = holder(1, { broken "tls" })
      s:wait(1)
      local waiter = another { token("t2", 1000) }
      local before = clock:boot()
      assert.equal("t2", waiter.client:token())
      assert.near(0, clock:boot() - before, 0.1)
    end)

    it("but no tenant that waits for its parent's token", function()
      local TENANT = "1b2c3d4e0000111122223333444455aa"
      local other = another { token("p1", 1000), token("a1", 1000) }
      other.client:token()
      local s = another { token("p2", 1000) }
      assert.is_true(s.client:invalidate "p1")
      s.took = 9
      local pending <close> = assert(s.client:tenant(TENANT)):pending()
      assert.is_false(pending:done())
      local before = clock:boot()
      assert.equal("a1", assert(other.client:tenant(TENANT)):token())
      assert.near(0, clock:boot() - before, 0.1)
    end)

    it("and a process with a usable token does not wait", function()
      local s = another { token("t1", 1000) }
      s.client:token()
      clock:shift(950, 950)
      holder(10)
      local before = clock:boot()
      assert.equal("t1", s.client:token())
      assert.near(0, clock:boot() - before, 0.1)
      assert.equal(1, s.requests)
    end)

    it("by the real lock, too", function()
      local server <close> = rude.start { handler = function(conn)
        conn:sleep(0.2)
        conn:write(require("spec.support.neighbour").reply("t1", 1000))
      end }
      local one <close> = real(server)
      local two <close> = real(server)
      local pending <close> = one:pending()
      assert.equal("t1", two:token())
      assert.equal("t1", pending:result())
      assert.equal(1, #server:requests())
    end)

    it("and a renewal by hand takes one that was asked for after it began", function()
      local s = another { token("t1", 1000), token("t2", 1000) }
      s.client:token()
      clock:shift(1, 1)
      assert.equal("t2", s.client:renew())
      local other = another { token("t3", 1000) }
      clock:shift(1, 1)
      assert.equal("t3", other.client:renew())
    end)
  end)

  it("shares the number of requests allowed, whatever the callers do", function()
    local server <close> = neighbour.server(20, 1000)
    for _ = 1, 20 do
      local one <close> = real(server, { timeout = 1 })
      one:renew()
      clock:shift(0.01, 0.01)
    end
    assert.equal(10, #server:requests())
  end)

  describe("is done without", function()
    local server, events

    before_each(function() server, events = neighbour.server(3, 1000), {} end)
    after_each(function() server:close() end)

    local function assert_none(pattern, options)
      options = options or {}
      function options.on_event(event) events[#events + 1] = event.event end
      local client = real(server, options)
      assert.equal("t1", client:token())
      assert.matches(pattern, client:status().cache)
      return client
    end

    it("where it is switched off", function()
      local _ <close> = assert_none("^none: switched off", { cache = false })
      assert.equal("", (process.run("ls " .. folder .. " 2>/dev/null")))
    end)

    it("where the secret is too short", function()
      local _ <close> = assert_none("^none: a client secret under 16 bytes", { client_secret = "fifteen-charact" })
    end)

    it("where there is no secret", function()
      local _ <close> = assert_none("^none: without a client secret",
        { client_secret = scripted.NONE, client_assertion = "x.y.z" })
    end)

    it("where the folder is open to others, and an event says so once", function()
      process.run(("mkdir -m 755 %s"):format(folder))
      local client <close> = assert_none "^none: .*/cache: it is open to others; chmod 700"
      assert.same({ "cache_error", "request", "fetched" }, events)
      assert.is_truthy(client:invalidate())
    end)

    it("where the folder is a link", function()
      process.run(("mkdir -m 700 %s/real; ln -s real %s"):format(root, folder))
      local _ <close> = assert_none "it is a link or no folder"
    end)

    it("where the folder is a file", function()
      process.run("touch " .. folder)
      local _ <close> = assert_none "it is a link or no folder"
    end)

    it("and used again when it is mended, also after the folder vanished", function()
      process.run(("mkdir -m 755 %s"):format(folder))
      local client <close> = real(server)
      client:token()
      process.run("chmod 700 " .. folder)
      client:renew()
      assert.equal(folder, client:status().cache)
      local other <close> = real(server)
      assert.equal("t2", other:token())
      process.remove(folder)
      clock:shift(5, 5)
      client:renew()
      local late <close> = real(server)
      assert.equal("t3", late:token())
    end)
  end)

  it("says why, also where a token can't be taken away", function()
    process.run("mkdir -m 755 " .. root .. "/open")
    local secret = core.secret "a-long-enough-secret"
    local store <close> = core.folder_store(root .. "/open")
    local removed, allowed, why = store:forget(clock, secret, "an identity", nil, core.budget())
    assert.is_false(removed)
    assert.is_true(allowed)
    assert.matches("open to others", why)
  end)

  it("holds no secret and no token in the clear, in files of mode 0600", function()
    local server <close> = rude.start { replies = { neighbour.reply("a-token-to-look-for", 1000),
      rude.reply(401, nil, '{"error":"invalid_client"}') } }
    local one <close> = real(server)
    local two <close> = real(server, { scope = "x" })
    assert(one:token())
    assert.equal("oauth", (select(3, two:token())))
    assert.equal("2", files ".last")
    assert.equal("", (process.run(("grep -rlE 'token-to-look|enough-secret|an-identifier|invalid' %s"):format(folder))))
    assert.equal("600\n", (process.run(("stat -c %%a %s/* | sort -u"):format(folder))))
    assert.equal("700\n", (process.run("stat -c %a " .. folder)))
  end)

  it("leaves no descriptor open and no temporary file", function()
    local server <close> = neighbour.server(20, 1000)
    local client <close> = real(server)
    client:token()
    local fds = process.count()
    for _ = 1, 5 do
      clock:shift(2000, 2000)
      client:token()
      client:invalidate()
    end
    assert.equal(fds, process.count())
    assert.equal("0", files "new-.*")
  end)
end)

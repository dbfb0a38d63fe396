-- The shared token, by clients that stand for processes: one clock, one folder, time moved at will. Real processes are
-- in processes_spec.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local crowd = require "spec.support.crowd"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local token, refusal, broken = scripted.token, scripted.refusal, scripted.broken

local root, folder, clock

-- A process of its own, at the same time as the others.
local function another(replies, options)
  local all = { cache = folder, client_secret = "a-long-enough-secret" }
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  return scripted.new(replies or {}, all, clock)
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
    it("with a process that starts later, which asks nobody", function()
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
    it("from the future, by either clock", function()
      for _, shift in ipairs { { 0, -60 }, { -60, 0 } } do
        another({ token("t1", 7200) }).client:token()
        clock:shift(table.unpack(shift))
        assert.equal("t2", (another { token("t2", 7200) }).client:token())
        clock:shift(-shift[1], -shift[2])
        process.remove(folder)
      end
    end)

    it("younger than the older of two ages: suspend, pause, steps of the wall clock", function()
      for _, shift in ipairs { { 7190, 0 }, { 0, 7190 }, { 7190, 86400 } } do
        another({ token("t1", 7200) }).client:token()
        clock:shift(table.unpack(shift))
        assert.equal("t2", (another { token("t2", 7200) }).client:token())
        process.remove(folder)
      end
    end)

    it("that was cut, changed, emptied or exchanged", function()
      another({ token("t1", 7200) }).client:token()
      local path = process.run(("ls %s/*.token"):format(folder)):match("%S+")
      local good = process.read(path)
      for _, bytes in ipairs { "", good:sub(1, -2), good .. "x", good:sub(1, 60) .. "\0" .. good:sub(62),
        ("x"):rep(9000), (good:gsub("auth/1", "auth/2")) } do
        process.write(path, bytes)
        assert.equal("t2", (another { token("t2", 7200) }).client:token())
      end
    end)

    it("that is no token once it is opened", function()
      local s = another { token("t1", 7200) }
      s.client:token()
      local raw = { status = 200, body = '{"access_token":"no token"}' }
      raw.sent_boot, raw.sent_wall = clock:boot(), clock:wall()
      s.client._renewal.cache:keep(raw, "token")
      assert.equal("t2", (another { token("t2", 7200) }).client:token())
    end)
  end)

  describe("shares failures", function()
    it("whose words repeat the secret, and repeats it nowhere", function()
      local echo = { status = 401,
        body = '{"error":"invalid_client","error_description":"a-long-enough-secret is wrong"}' }
      for n = 1, 2 do
        local _, message, _, detail = another({ n == 1 and echo or nil }).client:token()
        assert.matches("it says: [redacted] is wrong", message, 1, true)
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
        assert.is_true(pauses[i] <= expected and pauses[i] > expected / 2, pauses[i])
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

    it("until somebody succeeds: renew passes over them", function()
      another({ refusal "invalid_client" }).client:token()
      local s = another { token("t1", 1000) }
      assert.equal("t1", s.client:renew())
      assert.equal("t1", another().client:token())
      assert.equal("0", files ".failed")
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

    it("not with who has another secret: a changed one finds neither token nor failure", function()
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
      local s = another { token("t1", 1000) }
      s.client:token()
      assert.is_true(s.client:invalidate "t1")
      assert.equal("0", files ".token")
      assert.equal("t2", (another { token("t2", 1000) }).client:token())
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
      local lock = assert(s.client._renewal.cache:lock()) -- so that it can't drop the file
      s.client:invalidate "t1"
      lock:release()
      assert.equal("t2", s.client:token())
    end)
  end)

  describe("lets one ask at a time", function()
    it("and waiters take the token that appears", function()
      local holder = another {}
      holder.client._renewal.credential:prepare(1)
      holder.client._renewal.cache:attach(holder.client._renewal.credential.secret)
      local lock = assert(holder.client._renewal.cache:lock())
      local looks, waiter = 0, another {}
      waiter.client._renewal.host.sleep = function(seconds)
        clock:shift(seconds, seconds)
        looks = looks + 1
        if looks == 3 then
          local raw = token("t1", 1000)
          raw.sent_boot, raw.sent_wall = clock:boot(), clock:wall()
          holder.client._renewal.cache:keep(raw, "token")
        end
      end
      assert.equal("t1", waiter.client:token())
      assert.equal(3, looks)
      lock:release()
    end)

    it("and overtakes a holder that hangs", function()
      local holder = another {}
      holder.client._renewal.credential:prepare(1)
      holder.client._renewal.cache:attach(holder.client._renewal.credential.secret)
      local _ <close> = assert(holder.client._renewal.cache:lock())
      local waiter = another({ token("t1", 1000) }, { timeout = 20 })
      local before = clock:boot()
      assert.equal("t1", waiter.client:token())
      assert.near(15, clock:boot() - before, 1) -- three quarters: the dice say 1
      assert.equal("t1", another().client:token())
    end)

    it("and who has a usable token does not wait", function()
      local s = another { token("t1", 1000) }
      s.client:token()
      clock:shift(950, 950)
      local _ <close> = assert(s.client._renewal.cache:lock())
      assert.equal("t1", s.client:token())
      assert.equal(0, s.slept)
      assert.equal(1, s.requests)
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
    assert.equal(0, crowd.renews(another, clock))
  end)

  describe("is done without", function()
    local function assert_none(pattern, options)
      local s = another({ token("t1", 1000) }, options)
      assert.equal("t1", s.client:token())
      assert.matches(pattern, s.client:status().cache)
      return s
    end

    it("where it is switched off", function()
      assert_none("^none: switched off", { cache = false })
      assert.equal("", (process.run("ls " .. folder .. " 2>/dev/null")))
    end)

    it("where the secret is too short, or there is none", function()
      assert_none("^none: a client secret under 16 bytes", { client_secret = "fifteen-charact" })
      assert_none("^none: without a client secret", { client_secret = scripted.NONE, client_assertion = "x.y.z" })
    end)

    it("where the folder is open to others, and an event says so once", function()
      process.run(("mkdir -m 755 %s"):format(folder))
      local s = assert_none "^none: .*/cache: it is open to others; chmod 700"
      assert.same({ "cache_error", "fetched" }, s.events)
      assert.is_truthy(s.client:invalidate())
    end)

    it("where the folder is a link, or a file", function()
      process.run(("mkdir -m 700 %s/real; ln -s real %s"):format(root, folder))
      assert_none "it is a link or no folder"
      process.run(("rm %s; touch %s"):format(folder, folder))
      assert_none "it is a link or no folder"
    end)

    it("and used again when it is mended, also after the folder vanished", function()
      process.run(("mkdir -m 755 %s"):format(folder))
      local s = another { token("t1", 1000), token("t2", 1000), token("t3", 1000) }
      s.client:token()
      process.run("chmod 700 " .. folder)
      s.client:renew()
      assert.equal(folder, s.client:status().cache)
      assert.equal("t2", another().client:token())
      process.remove(folder)
      clock:shift(5, 5)
      s.client:renew()
      assert.equal("t3", another().client:token())
    end)
  end)

  it("says why, also where a token can't be taken away", function()
    process.run("mkdir -m 755 " .. root .. "/open")
    local removed, why = core.folder(root .. "/open"):remove "x.token"
    assert.is_nil(removed)
    assert.matches("open to others", why)
  end)

  it("holds no secret and no token in the clear, in files of mode 0600", function()
    another({ token("a-token-to-look-for", 1000) }).client:token()
    another({ refusal "invalid_client" }, { scope = "x" }).client:token()
    assert.equal("", (process.run(("grep -rlE 'token-to-look|enough-secret|an-identifier|invalid' %s"):format(folder))))
    assert.equal("600\n", (process.run(("stat -c %%a %s/* | sort -u"):format(folder))))
    assert.equal("700\n", (process.run("stat -c %a " .. folder)))
  end)

  it("leaves no descriptor open and no temporary file", function()
    local s = another(function(n) return token("t" .. n, 1000) end)
    s.client:token()
    local fds = process.count()
    for _ = 1, 5 do
      clock:shift(2000, 2000)
      s.client:token()
      s.client:invalidate()
    end
    assert.equal(fds, process.count())
    assert.equal("0", files "new-.*")
  end)
end)

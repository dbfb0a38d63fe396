-- Transfers by hand: fetches and API calls at real servers. What becomes of a request under odd servers is in the
-- hostile_*, tls, proxy and dns specs; the decisions of a fetch are in the C unit; ends of processes are in
-- exit_and_fork_spec, too.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local http = require "central.auth.http"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local socket = require "cqueues.socket"
local with = require "spec.support.with"

local SECRET = "a-long-enough-secret"
local BODY = '{"access_token":"t1","token_type":"Bearer","expires_in":900}'
local AT_ONCE = 0.05 * process.SLOWER -- seconds; it takes about one millisecond

local function request(server, more)
  return with({
    url = server.url, user_agent = "spec", body = core.form { "a", "b" }, timeout = 5, connect_timeout = 5,
  }, more)
end

local function order(server, more)
  return with({
    url = server.url, user_agent = "spec", timeout = 5, connect_timeout = 5,
    client_id = "an-identifier", style = "post",
    secret = { kind = "value", value = core.secret(SECRET) }, identity = "identity", tries = 1, waits = true,
    form = { "grant_type", "client_credentials" },
  }, more)
end

local function finish(transfer)
  repeat until transfer:wait(1)
  local came = transfer:finish()
  if came.code then
    return nil, came.message, came.code, came.proxy_status, came.reached
  end
  return came
end

local function start_call(transfer, ...)
  local _, why = transfer:call(...)
  assert.is_nil(why)
end

local function call(transfer, ...)
  start_call(transfer, ...)
  return finish(transfer)
end

local function fetch(transfer, ...)
  assert(transfer:fetch(...))
  return finish(transfer)
end

-- A server that reads the request and says nothing.
local function silent()
  return rude.start { handler = function(connection) connection:sleep(4) end }
end

local function seconds(action)
  local begun = cqueues.monotime()
  action()
  return cqueues.monotime() - begun
end

local function wait_for_request(server)
  process.wait_until(function() return #server:requests() > 0 end, 5, "a request")
end

describe("a transfer", function()
  local folder, clock

  before_each(function()
    folder, clock = process.scratch(), core.clock()
  end)
  after_each(function()
    process.remove(folder)
  end)

  it("names the version of libcurl and its TLS library", function()
    assert.matches("^libcurl/%d+%.%d+.* OpenSSL/%d", http.version)
  end)

  describe("that fetches", function()
    it("sends the form and the secret, and brings the raw reply", function()
      local server <close> = rude.start { replies = rude.reply(201, { ["Retry-After"] = "17" }, BODY) }
      local transfer <close> = http.transfer(clock)
      local before, form = clock:boot(), { "grant_type", "client_credentials" }
      local result = fetch(transfer, order(server, { form = form }))
      assert.equal("reply", result.outcome)
      assert.equal(1, #result.attempts)
      local raw = result.attempts[1]
      assert.equal(201, raw.status)
      assert.equal(BODY, raw.body)
      assert.equal(17, raw.retry_after)
      assert.is_true(raw.sent_boot >= before and raw.received_boot >= raw.sent_boot)
      assert.is_true(raw.received_boot <= clock:boot())
      assert.near(clock:wall(), raw.received_wall, 2)
      assert.is_nil(raw.id)
      local seen = server:requests()[1]
      assert.equal("POST", seen.method)
      assert.equal("grant_type=client_credentials&client_id=an-identifier&client_secret=" .. SECRET, seen.body)
      assert.is_true(result.secret:equal(core.secret(SECRET)))
      assert.is_nil(result.assertion)
      assert.is_nil(result.token)
    end)

    it("sends the secret as the style says", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local reserved = { kind = "value", value = core.secret "a+b with more than this" }
      fetch(transfer, order(server, { style = "basic", secret = reserved }))
      fetch(transfer, order(server, { style = "basic_raw", secret = reserved }))
      local seen = server:requests()
      assert.equal("grant_type=client_credentials", seen[1].body)
      assert.matches("^Basic ", seen[1].headers.authorization)
      assert.matches("^Basic ", seen[2].headers.authorization)
      assert.not_equal(seen[1].headers.authorization, seen[2].headers.authorization)
    end)

    it("without a client_id sends the form alone", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local all = order(server)
      all.client_id, all.style = nil, nil
      assert.equal("reply", fetch(transfer, all).outcome)
      assert.equal("grant_type=client_credentials", server:requests()[1].body)
    end)

    it("reads the secret from a file or a command, and hands it over", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local path = process.write(folder .. "/secret", SECRET .. "\n", "600")
      for _, source in ipairs { { kind = "file", value = path }, { kind = "command", value = "echo " .. SECRET } } do
        local result = fetch(transfer, order(server, { secret = source }))
        assert.equal("reply", result.outcome)
        assert.is_true(result.secret:equal(core.secret(SECRET)))
      end
      for _, seen in ipairs(server:requests()) do
        assert.matches("client_secret=" .. SECRET, seen.body, 1, true)
      end
    end)

    it("sends an assertion, a new one each time", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local all = order(server, { assertion = { kind = "command", value = "echo header.body.signature" } })
      all.secret = nil
      local result = fetch(transfer, all)
      assert.equal("reply", result.outcome)
      assert.is_true(result.assertion:equal(core.secret "header.body.signature"))
      assert.matches("client_assertion=header.body.signature", server:requests()[1].body, 1, true)
    end)

    it("says which secret can't be read, and why", function()
      local transfer <close> = http.transfer(clock)
      local server = { url = "https://127.0.0.1:1/" }
      local result = fetch(transfer, order(server, { secret = { kind = "file", value = folder .. "/none" } }))
      assert.equal("config", result.outcome)
      assert.equal("client_secret", result.option)
      assert.matches(folder .. "/none", result.problem, 1, true)
      assert.same({}, result.attempts)
    end)

    it("says that the source still has the secret that was refused", function()
      local transfer <close> = http.transfer(clock)
      local path = process.write(folder .. "/secret", SECRET, "600")
      assert.equal("unchanged", fetch(transfer, order({ url = "https://127.0.0.1:1/" }, {
        secret = { kind = "file", value = path }, current = core.secret(SECRET), reread = true })).outcome)
    end)

    it("fails with a code of the documented list", function()
      local transfer <close> = http.transfer(clock)
      local before = clock:boot()
      local result = fetch(transfer, order { url = "https://127.0.0.1:1/" })
      assert.equal("failed", result.outcome)
      local attempt = result.attempts[1]
      assert.equal("connect", attempt.code)
      assert.equal("address", attempt.reached)
      assert.is_string(attempt.message)
      assert.is_nil(attempt.proxy_status)
      assert.is_true(attempt.at >= before and attempt.at <= clock:boot())
    end)

    it("tries again, and lists its attempts in their order", function()
      local server <close> = rude.start { replies = { rude.reply(503, { ["Retry-After"] = "0" }, ""),
        rude.reply(200, nil, BODY) } }
      local transfer <close> = http.transfer(clock)
      local result = fetch(transfer, order(server, { tries = 4 }))
      assert.equal("reply", result.outcome)
      assert.equal(503, result.attempts[1].status)
      assert.equal(200, result.attempts[2].status)
      assert.equal(2, #result.attempts)
    end)

    it("signals a notifier, which may be closed before", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local notifier <close> = core.notifier()
      assert(transfer:fetch(order(server), notifier))
      while not notifier:wait(1) do end
      assert.is_true(transfer:wait(0))
      assert.equal("reply", transfer:finish().outcome)
      local other = core.notifier()
      assert(transfer:fetch(order(server), other))
      other:close()
      assert.equal("reply", finish(transfer).outcome)
    end)

    it("signals each who waits, also one that comes late", function()
      local server <close> = rude.start { handler = function(connection)
        connection:sleep(0.05)
        connection:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
      end }
      local transfer <close> = http.transfer(clock)
      local before <close> = core.notifier()
      local first <close> = core.notifier()
      local second <close> = core.notifier()
      local late <close> = core.notifier()
      assert.is_true(transfer:notify(before))
      assert.is_true(before:wait(0)) -- nothing is under way
      assert.same({ true }, { transfer:fetch(order(server), first) })
      assert.is_true(transfer:notify(second))
      assert.is_false(second:wait(0))
      for _, notifier in ipairs { first, second } do
        while not notifier:wait(1) do end
      end
      assert.is_true(transfer:notify(late))
      assert.is_true(late:wait(0))
      assert.equal("reply", finish(transfer).outcome)
    end)

    it("keeps nothing that may be collected while it runs", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(core.clock())
      assert(transfer:fetch(order(server, { budget = core.budget(), folder = folder .. "/cache" }), core.notifier()))
      collectgarbage()
      collectgarbage()
      assert.equal("reply", finish(transfer).outcome)
    end)

    it("gets its token over TLS", function()
      local server <close> = sandbox.start()
      local transfer <close> = http.transfer(clock)
      local result = fetch(transfer, order({ url = server.token_url }, { ca_file = server.ca_file,
        client_id = server.client_id, secret = { kind = "value", value = core.secret(server.client_secret) } }))
      assert.equal(200, result.attempts[1].status)
      assert.matches("access_token", result.attempts[1].body)
    end)

    it("takes times as seconds from now and by the clock that is given", function()
      local server <close> = silent()
      local transfer <close> = http.transfer(clock)
      clock:shift(1000, 1000)
      local result
      assert.near(0.2, seconds(function() result = fetch(transfer, order(server, { timeout = 0.2 })) end),
        0.15 * process.SLOWER)
      assert.equal("timeout", result.outcome == "failed" and result.attempts[1].code or result.outcome)
    end)

    it("ends at its deadline though not_before is later", function()
      local transfer <close> = http.transfer(clock)
      local result = fetch(transfer, order({ url = "https://127.0.0.1:1/" },
        { timeout = 0.05, not_before = clock:boot() + 60 }))
      assert.equal("timeout", result.outcome)
      assert.same({}, result.attempts)
    end)
  end)

  describe("with a folder", function()
    local cache
    before_each(function()
      cache = folder .. "/cache"
    end)

    local function read(secret)
      local store <close> = core.folder_store(cache)
      return store:read(clock, core.secret(secret or SECRET), "identity")
    end

    it("leaves a record, which the next one finds", function()
      local server <close> = rude.start { replies = rude.reply(200, { ["Retry-After"] = "3" }, BODY) }
      local first <close> = http.transfer(clock)
      local second <close> = http.transfer(clock)
      local raw = fetch(first, order(server, { folder = cache })).attempts[1]
      assert.is_true(math.type(raw.id) == "integer" and raw.id ~= 0)
      local result = fetch(second, order(server, { folder = cache }))
      assert.equal("shared", result.outcome)
      assert.same({}, result.attempts)
      assert.is_nil(result.token)
      local shared = result.last
      assert.is_true(shared.shared)
      for _, name in ipairs { "id", "status", "body", "retry_after" } do
        assert.equal(raw[name], shared[name])
      end
      for _, name in ipairs { "sent_boot", "sent_wall", "received_boot", "received_wall" } do
        assert.near(raw[name], shared[name], 0.01)
      end
      assert.equal(1, shared.failures) -- in a row, if it is one
      assert.equal(1, #server:requests())
      local token, last, why = read()
      assert.is_nil(token)
      assert.is_nil(why)
      assert.same({ shared.id, shared.body }, { last.id, last.body })
      assert.is_nil((select(2, read "another-long-secret")))
    end)

    it("looks without asking the server", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      assert.equal("nothing", fetch(transfer, order(server, { folder = cache, look_only = true })).outcome)
      fetch(transfer, order(server, { folder = cache }))
      local look = { folder = cache, look_only = true, identity = "identity", timeout = 1, connect_timeout = 1,
        secret = { kind = "value", value = core.secret(SECRET) } }
      assert.equal(BODY, fetch(transfer, look).last.body)
      assert.equal(1, #server:requests())
    end)

    it("passes over records that are known, and promotes the good one", function()
      local server <close> = rude.start { replies = { rude.reply(200, nil, BODY), rude.reply(401, nil, "no") } }
      local transfer <close> = http.transfer(clock)
      local good = fetch(transfer, order(server, { folder = cache })).attempts[1].id
      local refused = fetch(transfer, order(server, { folder = cache, seen = { good }, good = good, failures = 4 }))
      assert.equal(401, refused.attempts[1].status)
      local token, last = read()
      assert.equal(good, token.id)
      assert.equal(BODY, token.body)
      assert.equal(401, last.status)
      assert.equal(5, last.failures)
      assert.equal(refused.attempts[1].id, last.id)
      assert.equal("nothing", fetch(transfer, order(server, { folder = cache, seen = { good, last.id },
        look_only = true })).outcome)
    end)

    it("asks once for two, of which the second gets what the first brought", function()
      local server <close> = rude.start { data = { BODY }, handler = function(connection)
        connection:sleep(0.1)
        connection:write("HTTP/1.1 200 OK\r\nContent-Length: " .. #connection.data[1] .. "\r\n\r\n", connection.data[1])
      end }
      local first <close> = http.transfer(clock)
      local second <close> = http.transfer(clock)
      assert(first:fetch(order(server, { folder = cache })))
      wait_for_request(server)
      assert(second:fetch(order(server, { folder = cache })))
      local mine, shared = finish(first), finish(second)
      assert.equal("reply", mine.outcome)
      assert.equal("shared", shared.outcome)
      assert.equal(mine.attempts[1].id, shared.last.id)
      assert.equal(1, #server:requests())
    end)

    it("is busy at once where nobody waits and another process asks", function()
      local server <close> = silent()
      local first <close> = http.transfer(clock)
      local second <close> = http.transfer(clock)
      assert(first:fetch(order(server, { folder = cache })))
      wait_for_request(server)
      local result
      assert.is_true(seconds(function() result = fetch(second, order(server, { folder = cache, waits = false })) end)
        < AT_ONCE)
      assert.equal("busy", result.outcome)
      first:cancel()
      assert(second:fetch(order(server, { folder = cache, waits = false })))
      process.wait_until(function() return #server:requests() == 2 end, 5, "a request of the second")
    end)

    it("keeps to the budget of the machine, and of a process without a folder", function()
      local server <close> = rude.start { replies = rude.reply(401, nil, "no") }
      for _, shared in ipairs { cache, false } do
        local transfer <close> = http.transfer(clock)
        local budget = core.budget()
        local made, result, seen = #server:requests(), nil, {}
        for _ = 1, 20 do
          result = fetch(transfer, order(server, { folder = shared or nil, seen = seen, budget = budget,
            waits = false }))
          seen = result.attempts[1] and { result.attempts[1].id } or seen
        end
        assert.equal("limited", result.outcome)
        assert.is_true(result.retry_after > 0 and result.retry_after <= 2)
        assert.equal(10, #server:requests() - made)
      end
    end)

    it("removes records that are invalid before it looks", function()
      local server <close> = rude.start { replies = { rude.reply(200, nil, BODY), rude.reply(200, nil, "second") } }
      local transfer <close> = http.transfer(clock)
      local id = fetch(transfer, order(server, { folder = cache })).attempts[1].id
      assert.equal("second", fetch(transfer, order(server, { folder = cache, forget = { id } })).attempts[1].body)
      assert.equal("nothing", fetch(transfer, order(server, { folder = cache, forget_all = true, look_only = true }))
        .outcome)
    end)

    it("forgets by the store, as the budget allows", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local secret, name = core.secret(SECRET), "identity"
      local store <close> = core.folder_store(cache)
      local budget = core.budget()
      local function again()
        return fetch(transfer, order(server, { folder = cache })).attempts[1]
      end
      local raw = again()
      assert.same({ false, true }, { store:forget(clock, secret, name, { raw.id + 1 }, budget) })
      assert.same({ false, true }, { store:forget(clock, secret, name, {}, budget) })
      assert.same({ true, true }, { store:forget(clock, secret, name, { 7, raw.id }, budget) })
      assert.is_nil((select(2, read())))
      again()
      assert.same({ true, true }, { store:forget(clock, secret, name, nil, budget) })
      raw = again()
      assert.same({ true, true }, { store:forget(clock, secret, name, nil, budget, raw.sent_wall, false) })
      raw = again()
      assert.same({ false, false }, { store:forget(clock, secret, name, nil, budget, raw.sent_wall, false) })
      assert.same({ true, true }, { store:forget(clock, secret, name, nil, budget, raw.sent_wall, true) })
    end)

    it("forgets while another process has the lock", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local hangs <close> = silent()
      local first <close> = http.transfer(clock)
      local second <close> = http.transfer(clock)
      local secret, name = core.secret(SECRET), "identity"
      local store <close> = core.folder_store(cache)
      local raw, budget = fetch(first, order(server, { folder = cache })).attempts[1], core.budget()
      assert(second:fetch(order(hangs, { folder = cache, seen = { raw.id } })))
      wait_for_request(hangs)
      assert.same({ true, true }, { store:forget(clock, secret, name, { raw.id }, budget, raw.sent_wall, false) })
    end)

    it("says what is wrong with it, and fetches without", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      process.run(("mkdir -m 755 %s"):format(cache))
      local result = fetch(transfer, order(server, { folder = cache }))
      assert.equal("reply", result.outcome)
      assert.matches("open to others", result.local_problem or result.lock_problem)
      local _, _, why = read()
      assert.matches("open to others", why)
    end)

    it("shares nothing under a short secret", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      for _ = 1, 2 do
        assert.equal("reply", fetch(transfer, order(server, { folder = cache,
          secret = { kind = "value", value = core.secret "short" } })).outcome)
      end
      assert.equal(2, #server:requests())
    end)
  end)

  describe("with Redis", function()
    local server, url
    before_each(function()
      server = redis.start()
      url = { url = ("http://127.0.0.1:%d"):format(server.port), user = redis.user, timeout = 2 }
    end)
    after_each(function()
      server:stop()
    end)

    local function far(endpoint, machine, more)
      return order(endpoint, with({ folder = folder .. "/" .. machine,
        password = { kind = "value", value = core.secret(redis.password) },
        remote = require("central.auth.redis").store(url) }, more))
    end

    it("finds what another machine's process has got", function()
      local endpoint <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local all = far(endpoint, "one")
      local first = fetch(transfer, all)
      assert.equal("reply", first.outcome)
      assert.is_true(first.remote_wrote)
      assert.is_nil(first.remote_problem)
      assert.has_error(function() all.remote:read(clock, core.secret(SECRET), "identity") end,
        "the store is closed") -- the fetch's now
      local second = fetch(transfer, far(endpoint, "two"))
      assert.equal("shared", second.outcome)
      assert.equal(first.attempts[1].id, second.last.id)
      assert.equal(1, #endpoint:requests())
    end)

    it("says what is wrong with it, and fetches without", function()
      local endpoint <close> = rude.start { replies = rude.reply(200, nil, BODY) }
      local transfer <close> = http.transfer(clock)
      local result = fetch(transfer, far(endpoint, "one", {
        password = { kind = "value", value = core.secret "a wrong one" } }))
      assert.equal("reply", result.outcome)
      assert.is_string(result.remote_problem)
      assert.is_false(result.remote_wrote)
    end)

    it("is cancelled in a moment while Redis is silent", function()
      local transfer <close> = http.transfer(clock)
      server:freeze()
      assert(transfer:fetch(far({ url = "https://127.0.0.1:1/" }, "one")))
      clock:sleep(0.1)
      assert.is_false(transfer:wait(0))
      assert.is_true(seconds(function() transfer:cancel() end) < AT_ONCE)
    end)
  end)

  describe("that calls an API", function()
    it("brings the raw reply, inline and on a worker", function()
      local server <close> = rude.start { replies = rude.reply(200, { ["X-Two"] = "b" }, "ok") }
      local transfer <close> = http.transfer(clock)
      local raw = call(transfer, request(server, { authorization = core.basic("id", "hush", false) }))
      assert.equal("ok", raw.body)
      assert.is_nil(raw.sent_twice)
      local notifier <close> = core.notifier()
      local body = core.form { "a", "b" }
      start_call(transfer, request(server, { headers = "Accept: text/plain", body = body, method = "PATCH" }), notifier)
      assert.equal(0, body:length())
      while not notifier:wait(1) do end
      raw = finish(transfer)
      assert.equal("ok", raw.body)
      assert.truthy(raw.header_lines:find("X-Two: b\n", 1, true))
      local seen = server:requests()
      assert.same({ "POST", "PATCH" }, { seen[1].method, seen[2].method })
      assert.matches("^Basic ", seen[1].headers.authorization)
      assert.equal("a=b", seen[2].body)
      assert.equal(1, server:log().connections - 1) -- the server closes each
    end)

    it("fails with a code of the documented list", function()
      local transfer <close> = http.transfer(clock)
      for _, notifier in ipairs { false, core.notifier() } do
        local raw, message, code, proxy_status, reached = call(transfer, request { url = "https://127.0.0.1:1/" },
          notifier or nil)
        assert.is_nil(raw)
        assert.is_string(message)
        assert.is_nil(proxy_status)
        assert.same({ "connect", "address" }, { code, reached })
      end
      local _, _, code = call(transfer, request { url = "https://" })
      assert.equal("config", code)
    end)

    it("takes header lines of one text", function()
      local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
      local transfer <close> = http.transfer(clock)
      assert.equal("ok", call(transfer, request(server, { headers = "X-First: 1\nX-Second: 2" })).body)
      local seen = server:requests()[1].headers
      assert.same({ "1", "2" }, { seen["x-first"], seen["x-second"] })
    end)
  end)

  it("does one thing at a time, again and again, and is closed twice", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
    local hangs <close> = silent()
    local transfer = http.transfer(clock)
    for _ = 1, 2 do
      assert.equal(BODY, call(transfer, request(server)).body)
      assert.equal("reply", fetch(transfer, order(server)).outcome)
    end
    assert.has_error(function() transfer:finish() end, "nothing has come yet")
    assert(transfer:fetch(order(hangs)))
    assert.has_error(function() transfer:fetch(order(server)) end, "a request is under way")
    assert.has_error(function() transfer:call(request(server)) end, "a request is under way")
    assert.has_error(function() transfer:finish() end, "nothing has come yet")
    transfer:close()
    transfer:close()
    assert.is_true(transfer:wait(0))
    assert.has_error(function() transfer:finish() end, "nothing has come yet")
    assert.equal(BODY, call(transfer, request(server)).body)
    transfer:close()
  end)

  it("forgets a result that nobody took", function()
    local server <close> = rude.start { replies = { rude.reply(200, nil, "first"), rude.reply(200, nil, "second") } }
    local transfer <close> = http.transfer(clock)
    assert(transfer:fetch(order(server)))
    repeat until transfer:wait(1)
    assert.equal("second", fetch(transfer, order(server)).attempts[1].body)
  end)

  describe("ends at once #timing", function()
    -- What is started, and where it waits.
    local starts = {
      ["a fetch whose server is silent"] = function(transfer, server, notifier)
        assert(transfer:fetch(order(server), notifier))
        wait_for_request(server)
      end,
      ["a call on a worker"] = function(transfer, server, notifier)
        start_call(transfer, request(server), notifier)
        wait_for_request(server)
      end,
      ["a call that the caller drives"] = function(transfer, server)
        start_call(transfer, request(server))
        process.wait_until(function() return not transfer:wait(0.01) and #server:requests() > 0 end, 5, "a request")
      end,
      ["a fetch that waits for its time"] = function(transfer, server, notifier)
        assert(transfer:fetch(order(server, { not_before = clock:boot() + 60, timeout = 90 }), notifier))
        clock:sleep(0.02)
      end,
      ["a fetch whose command hangs"] = function(transfer, server, notifier)
        assert(transfer:fetch(order(server, { secret = { kind = "command", value = "exec sleep 5" } }), notifier))
        clock:sleep(0.02)
      end,
      ["a fetch that waits for the lock"] = function(transfer, server, notifier)
        local holder = http.transfer(clock)
        assert(holder:fetch(order(server, { folder = folder .. "/cache" })))
        wait_for_request(server)
        assert(transfer:fetch(order(server, { folder = folder .. "/cache" }), notifier))
        clock:sleep(0.02)
        return holder
      end,
    }
    for name, start in pairs(starts) do
      for _, how in ipairs { "cancel", "close" } do
        it(("%s, by %s"):format(name, how), function()
          local server <close> = silent()
          local well <close> = rude.start { replies = rude.reply(200, nil, BODY) }
          local transfer <close> = http.transfer(clock)
          local notifier <close> = core.notifier()
          local holder = start(transfer, server, notifier)
          assert.is_false(transfer:wait(0))
          assert.is_true(seconds(function() transfer[how](transfer) end) < AT_ONCE)
          assert.is_true(transfer:wait(0))
          assert.equal("reply", fetch(transfer, order(well)).outcome)
          if holder then
            holder:close()
          end
        end)
      end
    end

    it("many, by collection, and leaves no descriptor and no thread", function()
      -- Connections that nobody accepts: their other ends are no descriptors of this process.
      local listener = assert(socket.listen { host = "127.0.0.1", port = 0 })
      assert(listener:listen())
      local server = { url = ("http://127.0.0.1:%d/"):format((select(3, listener:localname()))) }
      local function begin()
        for i = 1, 6 do
          local transfer = http.transfer(clock)
          if i % 2 == 0 then
            assert(transfer:fetch(order(server, { folder = folder .. "/cache" }), core.notifier()))
          else
            start_call(transfer, request(server), i % 3 == 0 and core.notifier() or nil)
          end
        end
      end
      begin()
      local descriptors, threads = process.count "fd", process.count "task"
      begin()
      process.wait_until(function() -- a thread that was joined may be seen for another moment
        return process.count "fd" <= descriptors and process.count "task" <= threads
      end, 2, "the end of threads and descriptors")
      listener:close()
    end)
  end)

  it("gives the lock and the budget back when it is cancelled", function()
    local server <close> = silent()
    local well <close> = rude.start { replies = rude.reply(200, nil, BODY) }
    local transfer <close> = http.transfer(clock)
    local budget = core.budget()
    for _ = 1, 10 do
      local made = #server:requests()
      assert(transfer:fetch(order(server, { budget = budget })))
      process.wait_until(function() return #server:requests() > made end, 5, "a request")
      transfer:cancel()
    end
    assert.equal("limited", fetch(transfer, order(well, { budget = budget, waits = false })).outcome)
    assert(transfer:fetch(order(server, { folder = folder .. "/cache" })))
    process.wait_until(function() return #server:requests() == 11 end, 5, "a request")
    transfer:cancel()
    assert.equal("reply", fetch(transfer, order(well, { folder = folder .. "/cache", waits = false })).outcome)
  end)

  -- What each child begins with.
  local BEGIN = [[
    local core, http = require "central.auth.core", require "central.auth.http"
    local clock = core.clock()
    local transfer, notifier = http.transfer(clock), core.notifier()
    local function fetch(url, folder, done)
      return assert(transfer:fetch({ url = url, user_agent = "spec", timeout = 5, connect_timeout = 5, tries = 1,
        form = { "a", "b" }, identity = "identity", folder = folder, waits = true,
        secret = { kind = "value", value = core.secret "a-long-enough-secret" }, client_id = "id",
        style = "post" }, done))
    end
    local function call(url, done)
      local _, why = transfer:call({ url = url, user_agent = "spec", timeout = 5, connect_timeout = 5 }, done)
      assert(not why, why)
    end
    local function finish()
      repeat until transfer:wait(1)
      return transfer:finish()
    end
  ]]

  local function run(text, ...)
    return child.run(BEGIN .. text:format(...))
  end

  it("is over at once in a forked child, and goes on in the parent #forks", function()
    local server <close> = rude.start { data = { BODY }, handler = function(connection)
      connection:sleep(0.05)
      connection:write("HTTP/1.1 200 OK\r\nContent-Length: " .. #connection.data[1] .. "\r\n\r\n", connection.data[1])
    end }
    assert.same({ "true\ttrue\tforked\tfalse\n0\treply\ttrue\n", 0 }, { run([[
      local host, url, folder = require "spec_fork", %q, %q
      fetch(url, folder, notifier)
      local pid = host.fork()
      if pid == 0 then
        assert(not transfer:ours() and not notifier:ours())
        print(transfer:wait(5), transfer:wait(0), transfer:finish().outcome, (pcall(transfer.finish, transfer)))
        fetch(url) -- another, by the same object
        assert(transfer:ours() and finish().outcome == "reply")
        os.exit(true, true)
      end
      local first = finish().outcome
      print(host.wait(pid), first, transfer:ours())
    ]], server.url, folder .. "/cache") })
    assert.equal(2, #server:requests())
  end)

  it("is over in a forked child, where it is a call; closing it there ends nothing of the parent's #forks", function()
    local server <close> = rude.start { handler = function(connection)
      connection:sleep(0.05)
      connection:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    end }
    for _, done in ipairs { "nil", "notifier" } do
      assert.same({ "true\tnetwork\n0\tok\tok\n", 0 }, { run([[
        local host, url = require "spec_fork", %q
        call(url, %s)
        transfer:wait(0.01)
        local pid = host.fork()
        if pid == 0 then
          print(transfer:wait(5), transfer:finish().code)
          transfer:close()
          transfer:close()
          os.exit(true, true)
        end
        local status, first = host.wait(pid), finish().body
        call(url)
        print(status, first, finish().body)
      ]], server.url, done) })
    end
  end)

  it("goes on in the parent while a forked child makes its own by the same object, or exits #forks", function()
    local server <close> = rude.start { handler = function(connection)
      for _ = 1, 2 do
        connection:sleep(0.1)
        connection:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        connection:read_request()
      end
    end }
    assert.same({ "ok\tok\n", 0 }, { run([[
      local host, url = require "spec_fork", %q
      call(url)
      transfer:wait(0.02)
      local pid = host.fork()
      if pid == 0 then
        call(url)
        assert(finish().body == "ok")
        transfer:close()
        os.exit(true, true)
      end
      local first = finish().body
      assert(host.wait(pid) == 0)
      pid = host.fork()
      if pid == 0 then
        os.exit(true, true) -- with the parent's connection
      end
      assert(host.wait(pid) == 0)
      call(url)
      print(first, finish().body) -- by a connection that is still good
    ]], server.url) })
    assert.equal(2, server:log().connections)
  end)

  -- The child lets go of it as soon as it runs, which the end of its parent may precede.
  it("leaves the lock to the parent, and none to a forked child that lives on #forks", function()
    local server <close> = silent()
    local lock = ('set -- %s/cache/*.lock; test -e "$1" && '):format(folder)
    local path = process.write(folder .. "/child.lua", BEGIN .. ([[
      fetch(%q, %q, notifier)
      local deadline = clock:boot() + 4
      while not os.execute %q and clock:boot() < deadline do -- until the fetch has the lock
        clock:sleep(0.01)
      end
      if require "spec_fork".fork() == 0 then
        clock:sleep(2)
      end
      os.exit(0)
    ]]):format(server.url, folder .. "/cache", lock .. '! flock -n "$1" true'))
    assert.same({ "", 0 }, { process.run(('lua5.4 %s >/dev/null 2>&1; %s flock -w 1.5 "$1" true'):format(path, lock)) })
  end)

  -- ThreadSanitizer takes longer for a step of libcurl than an exit waits for it.
  describe("ends with its process #ends #timing:", function()
    for name, text in pairs {
      ["os.exit"] = "os.exit(0)", ["os.exit that closes the state"] = "os.exit(0, true)",
      ["the end of the script"] = "",
    } do
      for _, kind in ipairs { "fetch", "call" } do
        it(("a %s by %s"):format(kind, name), function()
          local server = sandbox.start { latency = 3 }
          local _ <close> = setmetatable({}, { __close = function() server:close() end })
          local took = seconds(function()
            assert.same({ "", 0 }, { run([[
              local all = { url = %q, ca_file = %q, user_agent = "spec", timeout = 5, connect_timeout = 5,
                body = core.form { "a", "b" }, form = { "a", "b" }, folder = %q, identity = "identity" }
              local started, why = transfer:%s(all, notifier)
              assert(started or not why, why)
              clock:sleep(0.05)
              assert(not transfer:wait(0))
              %s
            ]], server.token_url, server.ca_file, folder .. "/cache", kind, text) })
          end)
          assert.is_true(took < 1.5 * process.SLOWER, took)
        end)
      end
    end
  end)

  -- While it runs on a worker the host may change the environment.
  it("reads the environment on the caller's thread alone #hosts", function()
    local output, status = child.run(BEGIN .. [[
      for _, url in ipairs { "https://127.0.0.2:1/", "https://127.0.0.1:1/", "http://127.0.0.1:1/" } do
        fetch(url)
        print(finish().attempts[1].code)
        call(url, notifier)
        print(finish().code)
      end
    ]], { LD_PRELOAD = os.getenv "BUILD" .. "/spec_getenv.so", GETENV_LOG = folder .. "/log" })
    assert.same({ ("connect\n"):rep(6), 0 }, { output, status })
    local log = process.read(folder .. "/log")
    assert.matches("\nhttps_proxy %S+ main\n", log)
    assert.is_nil(log:match "[^\n]* other\n")
  end)

  it("raises on what is no order or request, and works afterwards", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, BODY) }
    local transfer <close> = http.transfer(clock)
    local closed = core.notifier()
    closed:close()
    for _, bad in ipairs { { url = 1 }, { url = "a\0b" }, { ca_file = {} }, { form = "text" }, { timeout = "soon" },
      { connect_timeout = 0 / 0 }, { client_id = 1 }, { style = "digest" }, { secret = core.secret "x" },
      { secret = { kind = "function", value = "x" } }, { secret = { kind = "file" } }, { secret = { value = "x" } },
      { assertion = { kind = "file", value = "a\0b" } }, { current = 1 }, { identity = {} }, { folder = "a\0b" },
      { remote = core.secret "x" }, { password = "x" }, { seen = 1 }, { seen = { "x" } },
      { seen = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } },
      { forget = { 1.5 } }, { good = "x" }, { not_before = {} }, { failures = 0.5 }, { tries = {} },
      { budget = clock }, { proxy = 1 } } do
      assert.has_error(function() transfer:fetch(order(server, bad)) end)
    end
    for _, bad in ipairs { { url = 1 }, { ca_file = "a\0b" }, { body = 1 }, { authorization = "text" },
      { timeout = "soon" }, { headers = {} }, { headers = "a\0b" }, { body_max = "x" } } do
      assert.has_error(function() transfer:call(request(server, bad)) end)
    end
    assert.has_error(function() transfer:fetch() end)
    assert.has_error(function() transfer:call {} end)
    assert.has_error(function() transfer:fetch {} end)
    assert.has_error(function() transfer:fetch(order(server), clock) end)
    assert.has_error(function() transfer:fetch(order(server), closed) end)
    assert.has_error(function() transfer:finish() end, "nothing has come yet")
    assert.has_error(function() transfer:wait() end)
    assert.has_error(function() http.transfer {} end)
    assert.equal(0, #server:requests())
    assert.equal("reply", fetch(transfer, order(server)).outcome)
  end)
end)

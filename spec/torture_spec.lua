-- Every public function with its first, second, third … allocation failing, until it succeeds: no crash, no leak, and
-- what was being used works afterwards or can be closed. Lua's allocations; and, by `make check-torture`, the core's
-- with libcurl's on its behalf, descriptors and threads among them, all of it under AddressSanitizer.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local machine = require "spec.support.machine"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local torture = require "spec_torture"
local with = require "spec.support.with"

local MOST = 5000 -- allocations; no call needs as many
local WHOLE = 200 -- tries before a stride leaves any out

local token = scripted.token

torture.keep(package.searchpath("cjson", package.cpath))

-- Whether the core's allocations come to us.
local linked
do
  local _ <close> = core.secret "a secret"
  linked = torture.live() > 0
end

local ways = { ["Lua's"] = torture.from }
if linked then
  ways["one of the core's"] = function(n) torture.core(n, false) end
  ways["all the core's from one on"] = function(n) torture.core(n, true) end
end

local function nothing() end

-- Of a job over plain HTTP libcurl's own as well. Not of more: the libcurl of Debian 12 frees twice what it can't keep
-- of a TLS session.
local libcurls = linked and {
  ["one of libcurl's"] = function(n) torture.core(n, false, true) end,
  ["all libcurl's from one on"] = function(n) torture.core(n, true, true) end,
} or {}

local function live()
  collectgarbage()
  collectgarbage()
  return torture.live()
end

-- Less than before is garbage of earlier specs.
local function no_more_than(before)
  local now = live()
  assert(now <= before, now - before .. " blocks of the core leak")
  return now
end

-- What may come of a call: what it promises, a failure with words, or Lua's own error.
local function judge(ok, result, message)
  if not ok then
    assert(tostring(result):find "not enough memory" or tostring(result):find "Cannot allocate memory", result)
  elseif not result then
    assert(message == nil or type(message) == "string", tostring(message))
  end
end

local function try(way, n, make, call, still)
  local subject = make()
  collectgarbage "stop"
  way(n)
  local ok, result, message = pcall(call, subject)
  local failed = torture.stop()
  collectgarbage "restart"
  judge(ok, result, message)
  still(subject)
  return failed
end

-- `make` yields a subject; `call` is tried; `still` must work afterwards, whatever became of the call, and lets go of
-- the subject. `stride` leaves allocations out where a try is slow, after the first two hundred. How many tries failed.
local function survive_one(way, make, call, still, stride)
  local n, tries, before = 1, 0, live()
  while n < MOST do
    local failed = try(way, n, make, call, still)
    if way ~= torture.from then -- a collection for each try of Lua's would take long
      before = no_more_than(before)
    end
    if not failed then
      return tries
    end
    tries = tries + 1
    n = n + (tries < WHOLE and 1 or stride or 1)
  end
  error "it never succeeds"
end

local function survive(make, call, still, stride, which)
  try(nothing, 1, make, call, still) -- loads modules
  local before, descriptors, threads = live(), process.count "fd", process.count "task"
  for name, way in pairs(which or ways) do
    local tries = survive_one(way, make, call, still, stride)
    if os.getenv "VERBOSE" then
      print(name, tries)
    end
  end
  no_more_than(before)
  process.wait_until(function() -- a server of ours may not have noticed yet
    return process.count "fd" <= descriptors and process.count "task" <= threads
  end, 30, "the end of descriptors and threads")
end

-- A client by a scripted network: one reply after the other.
local function client(used, options)
  return function()
    local s = scripted.new(function(n) return token("t" .. n, 1000) end, options)
    if used then
      s.client:token()
      s:wait(used)
    end
    return s
  end
end

local function works(s)
  s:wait(120) -- past whatever back-off a failure led to
  assert.matches("^t%d+$", assert(s.client:token()))
  s.client:close()
  s.client:close()
end

describe("without memory #torture #slow", function()
  it("is linked to let the core's fail, by make check-torture", function()
    assert.equal(os.getenv("BUILD"):find "torture$" ~= nil, linked)
  end)

  for name, case in pairs {
    ["token, the first"] = { nil, function(s) return s.client:token() end },
    ["token, a fresh one"] = { 1, function(s) return s.client:token() end },
    ["token, a stale one"] = { 950, function(s) return s.client:token() end },
    ["token, a dead one"] = { 5000, function(s) return s.client:token { min_valid = 5 } end },
    header = { nil, function(s) return s.client:header() end },
    renew = { 1, function(s) return s.client:renew() end },
    invalidate = { 1, function(s) return s.client:invalidate() end },
    status = { 1, function(s) return tostring(s.client:status()) end },
    ["pending and result"] = { nil, function(s)
      local pending <close> = assert(s.client:pending())
      return pending:done() or pending:result()
    end },
    ["a pending that is looked at, and waited for"] = { nil, function(s)
      s.took = 1
      local pending <close> = assert(s.client:pending())
      pending:done()
      s:wait(0.5)
      return not pending:done() and pending:result()
    end },
    ["the parts of pending"] = { 1, function(s)
      local pending = assert(s.client:pending())
      return pending:fd(), pending:pollfd(), pending:events(), pending:timeout(), tostring(pending), pending:close()
    end },
  } do
    it(name, function() survive(client(case[1]), case[2], works) end)
  end

  it("the option wait", function()
    survive(client(nil, { wait = coroutine.yield }), function(s)
      s.took = 1
      local waiter = coroutine.create(function() return s.client:token() end)
      local ok, result, why = coroutine.resume(waiter)
      while ok and coroutine.status(waiter) == "suspended" do
        s:wait(1)
        ok, result, why = coroutine.resume(waiter)
      end
      return assert(ok and result, why or result)
    end, works)
  end)

  it("close", function()
    survive(client(1), function(s) s.client:close() end, function(s)
      s.client:close()
      assert.equal("closed", (select(3, s.client:token())))
    end)
  end)

  for name, option in pairs { ["a ready-made token"] = "access_token", ["a command that prints it"] =
    "access_token_command" } do
    it(name, function()
      survive(client(nil, { client_id = scripted.NONE, client_secret = scripted.NONE,
        [option] = option == "access_token" and "t1" or "echo t1" }), function(s) return s.client:token() end, works)
    end)
  end

  it("a request that is turned down", function()
    survive(function()
      return scripted.new(function(n) return n == 1 and scripted.refusal "invalid_client" or token("t" .. n, 100) end)
    end, function(s) return s.client:token() end, function(s)
      s.client:token() -- to be turned down, where that has not happened yet
      works(s)
    end)
  end)

  -- A client whose API answers so after its token.
  local function calling(...)
    local replies = { token("t1", 1000), ... }
    return function()
      return scripted.new(function(n) return replies[n] or token("t" .. n, 1000) end,
        { base_url = "https://api.example", revocation_url = "https://api.example/revoke" })
    end
  end

  local page = scripted.api(200, '{"items":[{"id":1},{"id":2}],"next":null}', { "Content-Type", "application/json",
    "RateLimit-Reset", "5", "X-Two", "a", "X-Two", "b" })

  for name, case in pairs {
    ["a call"] = { calling(page), function(s)
      return s.client:post("/x", { query = { a = { 1, 2 } }, json = { b = { "c" } }, headers = { ["X-A"] = "b" } })
    end },
    ["a call that fails"] = { calling(scripted.api(404, '{"message":"no"}')), function(s)
      return s.client:get "/x"
    end },
    ["a call after a 401"] = { calling(scripted.api(401), token("t2", 1000), page), function(s)
      return s.client:get "/x"
    end },
    pages = { calling(page), function(s)
      local count = 0
      for _ in s.client:pages "/x" do
        count = count + 1
      end
      assert(count == 2)
      return true
    end },
    ["a tenant"] = { calling(token("tenant", 900)), function(s)
      local tenant, why = s.client:tenant "1b2c3d4e0000111122223333444455aa"
      if not tenant then
        return nil, why
      end
      return tenant:token()
    end },
    ["a tenant by its name"] = { calling(scripted.api(200, '{"items":[{"id":"7","workspaceName":"ABB"}],"total":1}')),
      function(s) return s.client:tenant "ABB" end },
    ["a new credential"] = { calling(scripted.api(201, '{"id":"x","clientSecret":"hush"}')), function(s)
      return s.client.credentials:create { name = "x" }
    end },
    ["a reset of its own"] = { calling(scripted.api(200, '{"id":"an-identifier","clientSecret":"a-new-long-secret"}')),
      function(s) return s.client.credentials:reset "an-identifier" end },
    revocation = { calling(scripted.api(200)), function(s)
      return s.client:token() and s.client:close { revoke = true }
    end },
  } do
    it(name, function()
      survive(case[1], case[2], function(s) s.client:close() end)
    end)
  end

  it("new and configure", function()
    local options = { client_id = "an-identifier", client_secret = "a-long-enough-secret", scope = { "a", "b" } }
    survive(function() return options end, function(given)
      local made <close> = assert(auth.new(given))
      return tostring(made)
    end, nothing)
    survive(function() return options end, auth.configure, function() auth.close() end)
  end)

  -- The binding, function by function.
  describe("in the core:", function()
    local folder
    before_each(function()
      folder = process.scratch()
      process.write(folder .. "/file", "hush", "600")
    end)
    after_each(function() process.remove(folder) end)

    for name, call in pairs {
      secret = function() return core.secret(("x"):rep(1000)) end,
      read_file_hidden = function() return core.read_file(folder .. "/file", true) end,
      read_secret = function() return core.read_secret({ kind = "command", value = "printf hush" }, 5) end,
      ["read_secret from a file"] = function()
        return core.read_secret({ kind = "file", value = folder .. "/file" }, 5)
      end,
      reveal = function() return core.secret("hush"):reveal() end,
      secret_problem = function() return core.secret_problem(core.secret "a\1b") end,
      read_file = function() return core.read_file(folder .. "/file") end,
      form = function() return core.form { "name", ("x"):rep(1000), core.secret "b", core.secret "c" } end,
      basic = function() return core.basic("an-identifier", core.secret(("x"):rep(400)), true) end,
      redact = function() return core.redact("a text with hush and h%75sh in it", core.secret "hush", "text") end,
      base64url_decode = function() return core.base64url_decode(("eyJ"):rep(100)) end,
      notifier = function() return core.notifier() end,
      timer = function() return core.timer(1) end,
      budget = function() return core.budget() end,
      list_folder = function() return core.list_folder(folder) end,
      folder_problem = function() return core.folder_problem(folder .. "/file", false) end,
    } do
      it(name, function()
        survive(nothing, function()
          local result <close> = setmetatable({ call() }, { __close = nothing })
          return table.unpack(result)
        end, nothing)
      end)
    end

    -- A fetch by hand, its records read and forgotten.
    local SOURCE = { kind = "value", value = core.secret "a-long-enough-secret" }
    local function order(server, cache)
      return { url = server.url, user_agent = "spec", timeout = 0.5, connect_timeout = 0.5, folder = cache, tries = 1,
        form = { "a", "b" }, client_id = "id", style = "basic", secret = SOURCE, current = SOURCE.value,
        reread = false, identity = "identity", proxy = "", forget = { 1, 2 }, forget_all = true, waits = true,
        budget = core.budget(), assertion = { kind = "command", value = "printf a.b.c" } }
    end

    it("records that are read and forgotten", function()
      local http = require "central.auth.http"
      local server <close> = rude.start { replies = rude.reply(200, nil, '{"access_token":"t"}') }
      local clock, cache = core.clock(), folder .. "/cache"
      local transfer <close> = http.transfer(clock)
      local function put()
        clock:shift(10, 10) -- for the budget of requests
        assert(transfer:fetch(order(server, cache)))
        repeat until transfer:wait(1)
        assert.equal("reply", transfer:finish().outcome)
      end
      put()
      put() -- the transfer keeps the memory that it has needed
      survive(put, function()
        local secret <close> = core.secret "a-long-enough-secret"
        local store <close> = core.folder_store(cache)
        local _, last, why = store:read(clock, secret, "identity")
        if not last then
          return nil, why
        end
        local removed
        removed, _, why = store:forget(clock, secret, "identity", { last.id }, core.budget(), last.sent_wall, true)
        return removed, why
      end, nothing)
    end)

    it("a fetch", function()
      local http = require "central.auth.http"
      local server <close> = rude.start { replies = rude.reply(200, nil, '{"access_token":"t"}') }
      local clock = core.clock()
      local function run(transfer)
        local notifier <close>, why = core.notifier()
        if not notifier then
          return nil, why
        end
        clock:shift(10, 10)
        local started
        started, why = transfer:fetch(order(server, folder .. "/cache"), notifier)
        if not started then
          return nil, why
        end
        local more <close> = core.notifier()
        if more then
          transfer:notify(more)
        end
        repeat until transfer:wait(1)
        local result = transfer:finish()
        return result.outcome == "reply" and result.attempts[1].status == 200, result.problem
      end
      for _, which in ipairs { ways, libcurls } do
        survive(function() return http.transfer(clock) end, run, function(transfer)
          transfer:cancel()
          assert.is_true(run(transfer))
          transfer:close()
          transfer:close()
        end, 1, which)
      end
    end)

    for _, threaded in ipairs { false, true } do
      it("a call " .. (threaded and "on a worker" or "in the caller's thread"), function()
        local http = require "central.auth.http"
        local server <close> = rude.start { replies = rude.reply(200, nil, '{"access_token":"t"}') }
        local clock = core.clock()
        local function run(transfer)
          local body <close> = core.form { "a", "b" }
          local notifier <close>, why = core.notifier()
          if not notifier then
            return nil, why
          end
          local basic <close> = core.basic("a", "b", false)
          why = select(2, transfer:call({ url = server.url, user_agent = "spec", body = body, timeout = 0.5,
            connect_timeout = 0.5, authorization = basic, headers = "Accept: a/b", method = "PATCH" },
            threaded and notifier or nil, nil, nil, true))
          if why then
            return nil, why
          end
          repeat until transfer:wait(1)
          local came = transfer:finish()
          return came.status and came, came.message
        end
        for _, which in ipairs { ways, libcurls } do
          survive(function() return http.transfer(clock) end, run, function(transfer)
            transfer:close()
            assert.equal(200, assert(run(transfer)).status)
            transfer:close()
            transfer:close()
          end, 1, which)
        end
      end)
    end
  end)

  it("a token that machines share by Redis", function()
    local server <close>, root, clock = redis.start(), process.scratch(), core.clock()
    local tokens <close> = machine.serve(root)
    local count = 0
    survive(function()
      count = count + 1
      local options = server:options { scope = "s" .. count // 2 } -- every other one finds a token there
      return machine.new(root, tokens, clock):client(function(n) return token("t" .. n, 100) end, options)
    end, function(s)
      assert(s.client:token())
      s.client:invalidate()
      s.client:status()
    end, works, 7)
    process.remove(root)
    assert.equal("1", server:cli("info", "clients"):match "connected_clients:(%d+)")
  end)

  describe("over the network #network", function()
    local server, folder, count
    before_each(function()
      server, folder, count = sandbox.start(), process.scratch(), 0
    end)
    after_each(function()
      server:close()
      process.remove(folder)
    end)

    -- Each with a cache of its own.
    local function options(more)
      local all = server:options()
      count = count + 1
      all.cache = ("%s/%s"):format(folder, count)
      return with(all, more)
    end

    local function real(more)
      return function() return assert(auth.new(options(more))) end
    end

    local function gets_one(subject)
      local own = subject ~= auth and subject or nil -- functions of the module take none
      process.wait_until(function() return (subject.renew(own)) end, 30, "a token after all")
      subject.close(own)
    end

    it("a token, its cache and a thread", function()
      survive(real(), function(subject)
        assert(subject:token())
        subject:invalidate()
        local pending <close> = assert(subject:pending())
        return pending:result()
      end, gets_one, 17)
    end)

    it("a loop's wait", function()
      survive(real { wait = loops.cqueues }, function(subject)
        local controller, results = cqueues.new(), nil
        controller:wrap(function() results = table.pack(pcall(subject.token, subject)) end)
        assert(controller:loop())
        return assert(results[1] and results or nil, results[2])
      end, gets_one, 17)
    end)

    local function default()
      assert(auth.configure(options()))
      return { renew = function() return auth.renew() end, close = function() auth.close() end }
    end

    for name, call in pairs {
      token = function() return auth.token() end,
      header = function() return auth.header() end,
      renew = function() return auth.renew() end,
      ["invalidate and status"] = function() return auth.invalidate(), tostring(auth.status()) end,
      pending = function()
        local pending <close> = assert(auth.pending())
        return pending:result()
      end,
    } do
      it("the default client's " .. name, function() survive(default, call, gets_one, 23) end)
    end

    it("the default client, set up anew or closed with a job under way", function()
      local function begun()
        local made = default()
        assert(auth.pending()):close()
        return made
      end
      survive(begun, function() return auth.configure(options()) end, gets_one, 23)
      survive(begun, function() auth.close() end, function() auth.close() end)
    end)
  end)
end)

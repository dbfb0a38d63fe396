-- The native job, by hand. What becomes of it under odd servers is in the rude, tls, proxy and dns specs; threads,
-- forks and ends in ends_spec and the C units.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local core = require "central.auth.core"
local http = require "central.auth.http"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local function request(server, more)
  local all = { url = server.url, user_agent = "spec", body = core.form { "a", "b" }, timeout = 5, connect_timeout = 5 }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end

local function run(job)
  repeat until job:wait(1)
  return job:finish()
end

describe("central.auth.http", function()
  it("names the version of libcurl and its TLS library", function()
    assert.matches("^libcurl/%d+%.%d+.* OpenSSL/%d", http.version)
  end)

  it("sends a form and brings the raw reply", function()
    local server <close> = rude.start { replies = rude.reply(201, { ["Retry-After"] = "17" }, "the body") }
    local clock = core.clock()
    local job <close> = http.job(clock)
    local before = clock:boot()
    job:start(request(server, { authorization = core.basic("id", "hush", false) }))
    local raw = assert(run(job))
    assert.equal(201, raw.status)
    assert.equal("the body", raw.body)
    assert.equal(17, raw.retry_after)
    assert.is_true(raw.sent_boot >= before and raw.received_boot >= raw.sent_boot and raw.received_boot <= clock:boot())
    assert.near(clock:wall(), raw.received_wall, 2)
    assert.is_false(raw.shared)
    local seen = server:requests()[1]
    assert.equal("POST", seen.method)
  end)

  it("does the same on a thread, and rings an alarm", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local job <close> = http.job(core.clock())
    local alarm <close> = core.alarm()
    job:start(request(server), nil, nil, alarm)
    assert.equal("ok", run(job).body)
    assert.is_true(alarm:fd() >= 0)
  end)

  it("takes the secrets of the request and the lock over, and shares the reply", function()
    local folder = process.scratch()
    local body = '{"access_token":"t"}'
    local server <close> = rude.start { replies = rude.reply(200, nil, body) }
    local clock, secret = core.clock(), core.secret("a-long-enough-secret")
    local key, name = core.seal_key(secret, "identity")
    local store = core.folder(folder)
    local lock = store:lock(name .. ".lock", 1)
    local job <close> = http.job(clock)
    local form = core.form { "a", "b" }
    job:start(request(server, { body = form }), { near = store, name = name, key = key, failures = 1 }, lock)
    assert.equal(0, form:length())
    assert.is_false((store:lock(name .. ".lock", 1)))
    local raw = run(job)
    assert.is_true(raw.shared)
    assert.is_nil(raw.near_problem)
    assert.equal(body, store:read(clock, name .. ".token", key).body)
    assert.is_truthy(store:lock(name .. ".lock", 1))
    process.remove(folder)
  end)

  it("is over at once in a forked child, and goes on in the parent #forks", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    assert.equal("true\tnil\tthe process was forked meanwhile\tnetwork\t0\tnil\n0\tok\tok\n", (child.run(([[
      local core, host, http = require "central.auth.core", require "spec_fork", require "central.auth.http"
      local job, alarm = http.job(core.clock()), core.alarm()
      local function start(alarm)
        job:start({ url = "%s", user_agent = "spec", timeout = 5, connect_timeout = 5 }, nil, nil, alarm)
      end
      local function run()
        repeat until job:wait(1)
        return assert(job:finish()).body
      end
      start(alarm)
      local pid = host.fork()
      if pid == 0 then
        print(job:wait(5), job:finish())
        start()
        assert(run() == "ok")
        os.exit(true, true)
      end
      local status, first = host.wait(pid), run()
      start()
      print(status, first, run())
    ]]):format(server.url))))
  end)

  it("is used again and again, closed twice, used again", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local job = http.job(core.clock())
    for _ = 1, 3 do
      job:start(request(server))
      assert.equal("ok", run(job).body)
    end
    job:start(request(server))
    assert.has_error(function() job:start(request(server)) end, "a request is under way")
    job:close()
    job:close()
    assert.is_true(job:wait(0))
    assert.has_error(function() job:finish() end, "nothing has come yet")
    job:start(request(server))
    assert.equal("ok", run(job).body)
  end)

  it("fails with a code of the documented list", function()
    local job <close> = http.job(core.clock())
    job:start(request({ url = "https://127.0.0.1:1/" }))
    local raw, message, code, proxy_status, reached = run(job)
    assert.is_nil(raw)
    assert.is_string(message)
    assert.equal("connect", code)
    assert.equal(0, proxy_status)
    assert.equal("address", reached)
  end)

  it("keeps what it borrowed alive while a request is under way", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local job <close> = http.job(core.clock())
    job:start(request(server, { body = core.form { "long", ("x"):rep(100000) } }), nil, nil, core.alarm())
    collectgarbage()
    collectgarbage()
    assert.equal("ok", run(job).body)
  end)

  it("is collected while under way", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    for i = 1, 10 do
      http.job(core.clock()):start(request(server), nil, nil, i % 2 == 0 and core.alarm() or nil)
    end
    collectgarbage()
    collectgarbage()
  end)

  it("takes header lines that are strings of the table alone", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local job <close> = http.job(core.clock())
    assert.has_error(function() job:start(request(server, { headers = { "X-First: 1", 2 } })) end,
      "item 2: a string without NUL expected")
    assert.has_error(function() job:start(request(server, { headers = { "a\0b" } })) end)
    local made = setmetatable({}, { __len = function() return 1 end, __index = function() return "X-Made: 1" end })
    for _, headers in ipairs { made, setmetatable({ "X-First: 1" }, { __len = function() return -5 end }) } do
      job:start(request(server, { headers = headers }))
      assert.equal("ok", run(job).body)
    end
    local seen = server:requests()
    assert.is_nil(seen[1].head:find("X-Made", 1, true))
    assert.truthy(seen[2].head:find("X-First: 1", 1, true))
  end)

  -- While it runs on a thread the host may change the environment.
  it("reads the environment on the caller's thread alone #hosts", function()
    local folder = process.scratch()
    local output, status = child.run([[
      local core, http = require "central.auth.core", require "central.auth.http"
      local job, alarm = http.job(core.clock()), core.alarm()
      for _, url in ipairs { "https://127.0.0.2:1/", "https://127.0.0.1:1/", "http://127.0.0.1:1/" } do
        job:start({ url = url, user_agent = "spec", timeout = 5, connect_timeout = 5 }, nil, nil, alarm)
        repeat until job:wait(1)
        print((select(3, job:finish())))
      end
    ]], { LD_PRELOAD = os.getenv "BUILD" .. "/spec_getenv.so", GETENV_LOG = folder .. "/log" })
    assert.same({ "connect\nconnect\nconnect\n", 0 }, { output, status })
    local log = process.read(folder .. "/log")
    assert.matches("\nhttps_proxy %S+ main\n", log)
    assert.is_nil(log:match "[^\n]* other\n")
    process.remove(folder)
  end)

  it("raises on requests that are none", function()
    local job <close> = http.job(core.clock())
    local server = { url = "https://127.0.0.1:1/" }
    assert.has_error(function() job:start() end)
    assert.has_error(function() job:start {} end)
    assert.has_error(function() job:start(request(server, { url = 1 })) end, "url: a string without NUL expected")
    assert.has_error(function() job:start(request(server, { ca_file = "a\0b" })) end)
    assert.has_error(function() job:start(request(server, { body = "text" })) end)
    assert.has_error(function() job:start(request(server, { timeout = "soon" })) end)
    assert.has_error(function() job:start(request(server), { near = core.folder "/tmp" }) end)
    assert.has_error(function() job:start(request(server), nil, "lock") end)
    assert.has_error(function() job:finish() end, "nothing has come yet")
    assert.has_error(function() http.job {} end)
  end)
end)

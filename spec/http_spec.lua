-- The native exchange, by hand. What becomes of it under odd servers is in the rude, tls, proxy and dns specs.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local http = require "central.auth.http"
local rude = require "spec.support.rude"

local function request(server, more)
  local all = { url = server.url, user_agent = "spec", body = core.form { "a", "b" }, timeout = 5, connect_timeout = 5 }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end

local function run(exchange)
  repeat until exchange:step(1)
  return exchange:finish()
end

describe("central.auth.http", function()
  it("names the version of libcurl and its TLS library", function()
    assert.matches("^libcurl/%d+%.%d+.* OpenSSL/%d", http.version)
  end)

  it("sends a form and brings the raw reply", function()
    local server <close> = rude.start { replies = rude.reply(201, { ["Retry-After"] = "17" }, "the body") }
    local clock = core.clock()
    local exchange <close> = http.exchange(clock)
    local before = clock:boot()
    assert.is_true(exchange:start(request(server, { authorization = core.basic("id", "hush", false) })))
    local raw = assert(run(exchange))
    assert.equal(201, raw.status)
    assert.equal("the body", raw.body)
    assert.equal(17, raw.retry_after)
    assert.is_true(raw.sent_boot >= before and raw.sent_boot <= clock:boot())
    assert.near(clock:wall(), raw.received_wall, 2)
    local seen = server:requests()[1]
    assert.equal("POST", seen.method)
  end)

  it("is used again and again, cancelled, closed twice", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local exchange = http.exchange(core.clock())
    for _ = 1, 3 do
      exchange:start(request(server))
      assert.equal("ok", run(exchange).body)
    end
    exchange:start(request(server))
    exchange:cancel()
    exchange:cancel()
    assert.is_true(exchange:step(0))
    exchange:start(request(server))
    exchange:start(request(server))
    assert.equal("ok", run(exchange).body)
    exchange:close()
    exchange:close()
    exchange:cancel()
    assert.has_error(function() exchange:start(request(server)) end, "the exchange is closed")
    assert.has_error(function() exchange:step(0) end, "the exchange is closed")
    assert.has_error(function() exchange:finish() end, "the exchange is closed")
  end)

  it("fails with a code of the documented list", function()
    local exchange <close> = http.exchange(core.clock())
    exchange:start(request({ url = "https://127.0.0.1:1/" }))
    local raw, message, code, proxy_status = run(exchange)
    assert.is_nil(raw)
    assert.is_string(message)
    assert.equal("connect", code)
    assert.equal(0, proxy_status)
  end)

  it("keeps what it borrowed alive while a request is under way", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    local exchange <close> = http.exchange(core.clock())
    exchange:start(request(server, { body = core.form { "long", ("x"):rep(100000) } }))
    collectgarbage()
    collectgarbage()
    assert.equal("ok", run(exchange).body)
  end)

  it("is collected while under way", function()
    local server <close> = rude.start { replies = rude.reply(200, nil, "ok") }
    for _ = 1, 10 do
      http.exchange(core.clock()):start(request(server))
    end
    collectgarbage()
    collectgarbage()
  end)

  it("raises on requests that are none", function()
    local exchange <close> = http.exchange(core.clock())
    local server = { url = "https://127.0.0.1:1/" }
    assert.has_error(function() exchange:start() end)
    assert.has_error(function() exchange:start {} end)
    assert.has_error(function() exchange:start(request(server, { url = 1 })) end, "url: a string expected")
    assert.has_error(function() exchange:start(request(server, { body = "text" })) end)
    assert.has_error(function() exchange:start(request(server, { timeout = "soon" })) end)
    assert.has_error(function() http.exchange {} end)
  end)
end)

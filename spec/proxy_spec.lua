-- The way through an HTTP proxy: Debian's tinyproxy, with and without a password, and proxies that misbehave.
-- SPDX-License-Identifier: MIT

local ask = require "spec.support.ask"
local child = require "spec.support.child"
local localhost = require "spec.support.localhost"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local tinyproxy = require "spec.support.tinyproxy"

local PASSWORD = "Dampfschiff-4712"

local here, server

local function start_proxy(further)
  return tinyproxy.start(here.folder, further)
end

-- Asks the server by way of a proxy; no password of a proxy in what comes out.
local function token_by(proxy_url, timeout)
  local got = ask.token(server, { ca_file = here.ca_file, proxy = proxy_url, timeout = timeout or 5 })
  local shown = (got.message or "") .. tostring(got.status)
  for _, event in ipairs(got.events) do
    shown = shown .. (event.message or "")
  end
  assert.is_nil(shown:find(PASSWORD, 1, true))
  return got
end

setup(function()
  here = localhost.new()
  server = rude.start { leaf = here.leaf, replies = rude.reply(200, nil, ask.grant()) }
end)

teardown(function()
  server:close()
  here:remove()
end)

describe("a proxy", function()
  it("is gone through", function()
    local proxy <close> = start_proxy()
    assert.equal(ask.access_token, token_by("http://" .. proxy.address).token)
    assert.is_truthy(proxy:output():find("CONNECT 127.0.0.1:" .. server.port, 1, true))
  end)

  it("stands in no way of another try", function()
    local breaks <close> = rude.start {
      leaf = here.leaf, data = { bytes = rude.reply(200, nil, ask.grant()) },
      handler = function(conn, _, n)
        if n > 1 then -- the first connection just ends
          conn:write(conn.data.bytes)
        end
      end,
    }
    local proxy <close> = start_proxy()
    local got = ask.token(breaks, { ca_file = here.ca_file, proxy = "http://" .. proxy.address, timeout = 5 })
    assert.equal(ask.access_token, got.token, got.message)
  end)

  it("that wants a password gets the one in the option", function()
    local proxy <close> = start_proxy("BasicAuth user " .. PASSWORD)
    local got = token_by(("http://user:%s@%s"):format(PASSWORD, proxy.address))
    assert.equal(ask.access_token, got.token)
  end)

  it("that wants another password: connect, at once, and the password stays secret", function()
    local proxy <close> = start_proxy("BasicAuth user other")
    for _, credentials in ipairs { "user:" .. PASSWORD .. "@", "" } do
      local got = token_by("http://" .. credentials .. proxy.address)
      assert.equal("connect", got.code)
      assert.is_true(got.detail.proxy_status == 407 or got.detail.proxy_status == 401)
      assert.is_true(got.seconds < 1)
    end
  end)

  it("that is not there: connect", function()
    local url = ("http://user:%s@127.0.0.1:%d"):format(PASSWORD, process.free_port())
    assert.equal("connect", token_by(url, 1).code)
  end)

  it("of the option is passed over for the hosts of no_proxy", function()
    local code = ([[print(require("central.auth").new { client_id = "x", client_secret = "y", cache = false,
      timeout = 2, token_url = "https://127.0.0.1:%d/", ca_file = %q,
      proxy = "http://127.0.0.1:1" }:token())]]):format(server.port, here.ca_file)
    local ask_directly = "lua5.4 -e " .. process.quote(code)
    assert.matches("\tconnect\t", (process.run(ask_directly)))
    assert.matches("^%S+\n$", (process.run("no_proxy=127.0.0.1 " .. ask_directly)))
  end)

  it("of the environment is named where a request fails, and its password is not", function()
    local plain <close> = rude.start { replies = rude.reply(200, nil, ask.grant()) }
    local output = child.run(([[
      local auth = require "central.auth"
      local function client(token_url)
        return auth.new { client_id = "id", client_secret = "a-long-enough-secret", cache = false, timeout = 3,
          token_url = token_url, base_url = "https://api.example" }
      end
      print((select(2, client("https://token.example/x"):token())))
      print((select(2, client(%q):get("/sites", { timeout = 3 }))))
    ]]):format(plain.url), { https_proxy = ("http://user:%s@127.0.0.1:1"):format(PASSWORD),
      ALL_PROXY = "http://127.0.0.1:2" })
    local named = "; proxy from the environment variable https_proxy%)"
    assert.matches("^[^\n]*%(asking token.example.-" .. named .. ".*\n[^\n]*%(asking api.example.-" .. named, output)
    assert.is_nil(output:find(PASSWORD, 1, true))
    assert.is_nil(output:find("ALL_PROXY", 1, true))
  end)

  it("whose name has no address: resolve", function()
    assert.equal("resolve", token_by(("http://user:%s@%s.example:3128"):format(PASSWORD, ("x"):rep(64)), 1).code)
  end)
end)

describe("a proxy that misbehaves", function()
  local cases = {
    ["says nothing: timeout #slow"] = { code = "timeout", seconds = 1, handler = function(conn) conn:sleep(10) end },
    ["resets: network"] = { code = "network", handler = function(conn) conn:reset() end },
    ["refuses with HTML: connect"] = { code = "connect", replies = rude.reply(403, nil, "<html>\27[31m</html>") },
    ["sends endless headers: reply"] = {
      code = "reply",
      handler = function(conn)
        conn:write("HTTP/1.1 200 OK\r\n")
        conn:flood("X-Filler: " .. ("x"):rep(500) .. "\r\n")
      end,
    },
    ["sends one endless header: network"] = {
      code = "network",
      handler = function(conn)
        conn:write("HTTP/1.1 200 OK\r\nX-Filler: ")
        conn:flood("x")
      end,
    },
    ["sends an endless refusal: connect"] = {
      code = "connect",
      handler = function(conn)
        conn:write("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 67108864\r\n\r\n")
        conn:flood("x")
      end,
    },
    ["talks nonsense: network"] = { code = "network", replies = "nonsense\r\n\r\n" },
    ["answers in the server's place: tls"] = {
      code = "tls",
      data = { bytes = rude.reply(200, nil, ask.grant()) },
      handler = function(conn) conn:write("HTTP/1.1 200 OK\r\n\r\n", conn.data.bytes) end,
    },
  }
  for name, spec in pairs(cases) do
    it(name, function()
      local proxy <close> = rude.start(spec)
      local got = token_by(("http://user:%s@127.0.0.1:%d"):format(PASSWORD, proxy.port), spec.seconds or 5)
      assert.equal(spec.code, got.code, got.message)
      for _, request in ipairs(proxy:requests()) do
        assert.equal("CONNECT 127.0.0.1:" .. server.port, request.method .. " " .. request.path)
        assert.is_nil(request.head:find(ask.form_encoded(ask.secret), 1, true))
      end
    end)
  end
end)

-- central-auth before a person: colours, a sign that something is going on, the picture of a token's life, the live
-- view of the sandbox; and none of it where nobody looks. Played on a pseudo-terminal.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local life = require "central.auth.cli.token_bar"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local function plain(_, text)
  return text
end

describe("the picture of a token's life", function()
  local function bar(expires_in, renews_in, lifetime)
    local drawn = life.draw({ state = "fresh", expires_in = expires_in, renews_in = renews_in, expires_at = 0,
      lifetime = lifetime }, 41, plain, false)
    return drawn:match "^[^\n]+"
  end

  it("shows what is over, what is left, the window and the end", function()
    assert.equal("O" .. ("="):rep(29) .. ("~"):rep(9) .. "!", bar(7200, 5400, 7200))
    assert.equal(("-"):rep(10) .. "O" .. ("="):rep(19) .. ("~"):rep(9) .. "!", bar(5400, 3600, 7200))
    assert.equal(("-"):rep(35) .. "O" .. ("~"):rep(3) .. "!", bar(900, 0, 7200))
    assert.equal(("-"):rep(39) .. "O", bar(0, 0, 7200))
    assert.equal(("-"):rep(20) .. "O" .. ("="):rep(9) .. ("~"):rep(6) .. ("!"):rep(4), bar(5, 2.5, 10))
  end)

  it("says it in words too", function()
    local drawn = life.draw({ state = "stale", expires_in = 61, renews_in = 0, expires_at = 0, lifetime = 7200 }, 80,
      plain, true)
    assert.matches("\nstale, renews at the next call, expires in 1 min 1 s %(%d%d:00:00%)$", drawn)
  end)

  it("fits any terminal, and is none without a token", function()
    local status = { state = "fresh", expires_in = 1, renews_in = 1, expires_at = 0, lifetime = 1 }
    for _, width in ipairs { 2, 10, 80, 500 } do
      local drawn = life.draw(status, width, plain, false)
      assert.is_true(#drawn:match "^[^\n]*" <= math.min(width, 72))
    end
    assert.is_nil(life.draw({ state = "none" }, 80, plain, false))
  end)
end)

describe("on a terminal, central-auth", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function()
    server:latency(0)
    home:remove()
  end)

  it("status draws the token's life in colours", function()
    home:run "token"
    local shown, status = home:play("status", { { "token_url", "" } })
    assert.equal(0, status, shown)
    assert.truthy(shown:find("\27[1m●\27[0m\27[32m━", 1, true), shown)
    assert.truthy(shown:find("\27[33m╍", 1, true))
    assert.truthy(shown:find("\27[31m┄", 1, true))
    assert.matches("fresh, renews in 1 h %d+ min, expires in 1 h 59 min", shown)
    shown = home:play("status", { { "token_url", "" } }, { NO_COLOR = "1", LANG = "C" })
    assert.is_nil(shown:find("\27", 1, true))
    assert.matches("O=+~+!+\r\n", shown)
    assert.is_nil((home:run "status"):find("●", 1, true))
  end)

  it("shows that something is going on while the server takes its time, and wipes it away #slow", function()
    server:latency(1)
    local shown, status = home:play("token", { { "⠙", "" }, { "⠹", "" } })
    assert.equal(0, status, shown)
    assert.matches("waiting for the server …\27%[K", shown)
    assert.matches("\r\27%[K[%w_-]+%.[%w_-]+%.[%w_-]+\r\n$", shown)
    server:latency(0.5)
    for _, quiet in ipairs { { "renew -q" }, { "renew", { TERM = "dumb" } } } do
      shown = home:play(quiet[1], {}, quiet[2])
      assert.is_nil(shown:find("\27", 1, true), shown)
    end
    shown = home:play("renew", {}, { NO_COLOR = "1" })
    assert.is_nil(shown:find("\27[36m", 1, true))
  end)

  it("ends on Ctrl-C while it waits, its sign wiped away #slow", function()
    server:latency(20)
    local shown, status = home:play("token", { { "⠙", "\3" } })
    assert.equal(130, status, shown)
    assert.matches("\r\27%[K$", shown)
  end)

  it("says in colour that it failed", function()
    local shown, status = home:play("token", {}, { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" })
    assert.equal(1, status)
    assert.truthy(shown:find("\27[1;31mcentral-auth:\27[0m the server answered", 1, true), shown)
  end)

  it("sandbox shows each request as it comes #slow", function()
    local url = home.folder .. "/url"
    local person = process.start { log = home.folder .. "/log", command = { "sh", "-c", ([[
      until grep -q GREENLAKE_URL %s 2>/dev/null; do sleep 0.05; done
      eval "$(cat %s)"
      lua5.4 lua/central-auth token >/dev/null]]):format(url, url) } }
    local shown, status = home:play("sandbox --fail 503x1 >" .. url, {
      { "503", "" }, { "POST /as/token.oauth2", "" }, { "200", "" }, { "POST /as/token.oauth2", "\3" },
    })
    person:stop()
    assert.equal(0, status, shown .. person:output())
    assert.matches("\27%[31m503\27%[0m  POST /as/token.oauth2  %d+ ms", shown)
    assert.matches("\27%[32m200\27%[0m  POST /as/token.oauth2  %d+ ms", shown)
  end)
end)

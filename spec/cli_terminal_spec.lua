-- central-auth before a person: colours, a sign that something is going on, the picture of a token's life, the live
-- view of the sandbox; and none of it where nobody looks. Played on a pseudo-terminal.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local json_text = require "central.auth.cli.json_text"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

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
    assert.matches("fresh, renews in 1 h %d+ min, expires in 1 h 59 min %(%d%d:%d%d:%d%d", shown)
    shown = home:play("status", { { "token_url", "" } }, { NO_COLOR = "1", LANG = "C", TZ = "<+0330>-3:30" })
    local hours, minutes = shown:match "%((%d%d):(%d%d):%d%d %+03:30%)\r\n"
    local at = os.date("!*t", os.time() + 7199 + 12600)
    assert.is_true((hours * 60 + minutes - at.hour * 60 - at.min + 1) % 1440 <= 2)
    assert.matches("%d%d:%d%d:%d%d UTC%)\r\n", (home:play("status", {}, { TZ = "UTC0" })))
    assert.is_nil(shown:find("\27", 1, true))
    assert.matches("O=+~+!+\r\n", shown)
    assert.matches("\nO now  = left  ~ window for renewal  ! end\r\n", shown)
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

  it("indents JSON, which is one line in a pipe; names are sorted and slashes plain", function()
    local more = { CENTRAL_BASE_URL = server.base_url, CENTRAL_GREENLAKE_URL = server.base_url }
    home:run "login -q -p lab"
    for _, line in ipairs { "token --json", "status --json", "doctor --offline --json", "profiles --json",
      "api-clients list --json", "api /network-config/v1/sites" } do
      local piped, said, status = home:run(line, more)
      assert.equal("0 ", status .. " " .. said)
      assert.equal(json_text.line(json_text.read(piped)) .. "\n", piped)
      assert.is_nil(piped:find("\\/", 1, true))
      local shown = home:play(line, {}, more):gsub("[^\r]*\27%[K", ""):gsub("\r", "")
      assert.equal(json_text.write(json_text.read(shown)) .. "\n", shown)
      assert.matches("^[%[{]\n  ", shown)
    end
    assert.matches('^{\r\n  "deviceName"', (home:play("api /network-monitoring/v1/aps --pages -q", {}, more)))
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
    }, { TZ = "UTC0" })
    person:stop()
    assert.equal(0, status, shown .. person:output())
    assert.matches("%d%d:%d%d:%d%d UTC  \27%[31m503\27%[0m  POST /as/token.oauth2  %d+ ms", shown)
    assert.matches("\27%[32m200\27%[0m  POST /as/token.oauth2  %d+ ms", shown)
  end)
end)

-- central-auth token: what it prints, for scripts, curl and people, and how soon; in processes of their own against the
-- sandbox.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

local TOKEN = "^[%w_-]+%.[%w_-]+%.[%w_-]+\n$"

describe("central-auth token", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("prints a token, one for all processes", function()
    local before = server:requests().token
    local token, errors, status = home:run "token"
    assert.matches(TOKEN, token)
    assert.equal("", errors)
    assert.equal(0, status)
    assert.equal(token, (home:run "token"))
    assert.equal("Bearer " .. token, (home:run "token --header"))
    assert.equal(token, (home:run "-q token --min-valid 60"))
    assert.equal(before + 1, server:requests().token)
  end)

  it("prints it as JSON and as a curl configuration, which curl takes", function()
    local token = home:run("token"):match "%S+"
    local json = cjson.decode((home:run "token --json"))
    assert.equal(token, json.access_token)
    assert.equal("Bearer", json.token_type)
    assert.near(7199, json.expires_in, 10)
    assert.near(os.time() + 7199, json.expires_at, 10)
    local answer = home:run(("token --curl | curl -sS --cacert %s -K - %s/network-monitoring/v1/gateways"):format(
      server.ca_file, server.base_url))
    assert.equal(2, cjson.decode(answer).count)
  end)

  it("writes a token of any characters so that curl reads it", function()
    local other <close> = rude.start { replies = rude.reply(200, nil,
      '{"access_token":"a\\"b\\\\c","token_type":"Bearer","expires_in":3600}') }
    local own <close> = command.home(server, { CENTRAL_TOKEN_URL = other.url })
    own:run(("token --curl | curl -sS -K - %s"):format(other.url:gsub("/as/.*", "/x")))
    assert.equal('Bearer a"b\\c', other:requests()[2].headers.authorization)
  end)

  it("renews a token in its window before it ends, after it gave the old one away #slow #timing", function()
    local short <close> = sandbox.start { lifetime = 6 }
    local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
    local first = own:run "token"
    require("cqueues").sleep(3.1)
    assert.equal(first, (own:run "token"))
    local second = own:run "token"
    assert.not_equal(first, second)
    assert.equal(2, short:requests().token)
  end)

  it("gives a token in its window away at once, although the server is silent #slow #timing", function()
    local short <close> = sandbox.start { lifetime = 6 }
    local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
    local first = own:run "token"
    require("cqueues").sleep(3.1)
    short:latency(60)
    local log = process.write(own.folder .. "/log", "")
    local started = process.start { command = { "sh", "-c", "exec " .. own:words "token" }, log = log }
    process.wait_until(function() return process.read(log) == first end, 2, "the token")
    started:stop()
  end)

  it("says how long a token is good for that falls short of --min-valid", function()
    local token, said, status = home:run "token --min-valid 99999"
    assert.matches(TOKEN, token)
    assert.equal("0 central-auth: this token is valid for 1 h 59 min, less than --min-valid\n",
      status .. " " .. said)
    assert.equal("", (select(2, home:run "token --min-valid 99999 -q")))
    assert.equal("", (select(2, home:run "token --min-valid 7000")))
    assert.equal("", (select(2, home:run "token --min-valid 116m")))
    assert.matches("less than %-%-min%-valid", (select(2, home:run "token --min-valid 28h")))
    assert.matches("less than %-%-min%-valid", (select(2, home:run "exec --min-valid 99999 -- true")))
  end)

  it("takes the profile it is told to, and names the one that was meant", function()
    home:run "login"
    local plain = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false, CENTRAL_TOKEN_URL = false,
      CENTRAL_CA_FILE = false }
    assert.matches(TOKEN, (home:run("token", plain)))
    assert.matches(TOKEN, (home:run("--profile default token", plain)))
    assert.matches('overrides the profile "default"', (select(2, home:run "--profile default token")))
    local _, errors, status = home:run("token -p defualt", plain)
    assert.equal(1, status)
    assert.matches('did you mean "default"', errors)
  end)
end)

-- central-auth sandbox: what it prints, signals, options; and programs that use it.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local command = require "spec.support.command"
local cqueues = require "cqueues"
local curl = require "spec.support.curl"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth sandbox", function()
  local home, running, out

  before_each(function() home = command.home() end)
  after_each(function()
    running:stop()
    home:remove()
  end)

  local function start(options)
    out = process.write(home.folder .. "/out", "")
    running = process.start { command = { "sh", "-c", "exec " .. home:words("sandbox " .. options) .. " >" .. out },
      log = home.folder .. "/log" }
    process.wait_until(function() return process.read(out):find "GREENLAKE_URL.-\n" end, 30, "its lines")
    local server = {}
    for name, value in process.read(out):gmatch "CENTRAL_([%w_]+)='(.-)'" do
      server[name:lower()] = value
    end
    return server
  end

  it("prints the four lines that make programs use it, and nothing else where nobody looks", function()
    local server = start "--lifetime 77s --fail 503x1 --latency 20"
    local lines, count = process.read(out), 0
    for line in lines:gmatch "[^\n]+" do
      count = count + 1
      assert.matches("^export[+]+$", (line:gsub(" CENTRAL_[%u_]+='[^' ]+'", "+")))
    end
    assert.equal(4, count)
    local other <close> = sandbox.start()
    for name, value in pairs(other:options()) do
      assert.equal(type(value) == "string", server[name] ~= nil, name)
    end
    local used = process.run(("eval \"$(cat %s)\"; %s"):format(out, "CENTRAL_CACHE=off lua5.4 -e '"
      .. "local auth = require \"central.auth\" print(auth.token() and auth.status().lifetime)'"))
    assert.equal("77\n", (used:gsub("%.0", "")))
    assert.equal(2, select(2, curl(server, "/sandbox")).requests.token)
    assert.is_nil(running:output():find("POST /as", 1, true))
  end)

  it("obeys signals, and ends without leaving a file", function()
    local server = start "--quiet"
    local options = { client_id = server.client_id, client_secret = server.client_secret,
      token_url = server.token_url, ca_file = server.ca_file, cache = false, timeout = 2 }
    local client <close> = assert(auth.new(options))
    local header = "-H 'Authorization: " .. assert(client:header()) .. "'"
    local function signal(name)
      process.run(("kill -%s %d"):format(name, running.pid))
    end
    local function answers(path, status)
      process.wait_until(function() return curl(server, path, header) == status end, 30, path .. ": " .. status)
    end
    answers("/network-monitoring/v1/aps", 200)
    signal "USR1"
    answers("/network-monitoring/v1/aps", 401)
    signal "USR2"
    local function failure()
      return select(2, curl(server, "/sandbox")).fail.token
    end
    process.wait_until(function() return failure().status == 503 end, 30, "an outage")
    assert.equal(503, (select(4, client:renew())).status)
    signal "USR2"
    process.wait_until(function() return failure().times == 0 end, 30, "its end")
    signal "TERM"
    process.wait_until(function() return not running:alive() end, 30, "its end")
    assert.is_nil(io.open(server.ca_file))
    assert.equal("", running:output())
  end)

  it("takes port, latency and rate limit #slow", function()
    local port = process.free_port()
    local server = start(("--port %d --latency 0.3s --rate-limit 2"):format(port))
    assert.equal(("https://127.0.0.1:%d"):format(port), server.base_url)
    local clock = cqueues.monotime
    local started = clock()
    assert.equal(200, (curl(server, "/as/token.oauth2", ("-d grant_type=client_credentials -d client_id=%s"
      .. " -d client_secret=%s"):format(server.client_id, server.client_secret))))
    assert.is_true(clock() - started >= 0.3)
    assert.equal(401, (curl(server, "/x")))
    assert.equal(429, (curl(server, "/x")))
  end)

  it("says what is wrong with its options", function()
    running = { stop = function() end }
    local other <close> = sandbox.start()
    local _, said, status = home:run("sandbox --port " .. other.base_url:match "%d+$")
    assert.equal(1, status)
    assert.matches("can't start: .*in use", said)
  end)
end)

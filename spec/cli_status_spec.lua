-- central-auth status: the state of the token by exit status, as text and as JSON, without a request.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth status", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("tells the state by its exit status, and asks nobody", function()
    local before = server:requests().token
    local output, _, status = home:run "status"
    assert.matches("^state +none\n", output)
    assert.equal(4, status)
    home:run "token"
    output, _, status = home:run "status"
    assert.matches("^state +fresh\n", output)
    assert.equal(0, status)
    output, _, status = home:run "status --quiet"
    assert.equal("0 ", status .. " " .. output)
    assert.equal(before + 1, server:requests().token)
  end)

  it("distinguishes an expired token from none #clocks", function()
    home:run "token"
    local clocks = process.write(home.folder .. "/clocks", ("i8i8"):pack(3 * 3600, 3 * 3600))
    local later = { LD_PRELOAD = os.getenv "BUILD" .. "/spec_clocks.so", CLOCKS_FILE = clocks }
    local output, _, status = home:run("status --json", later)
    local json = cjson.decode(output)
    assert.equal("expired", json.state)
    assert.equal(0, json.expires_in)
    assert.near(os.time() + 7200, json.expires_at, 30)
    assert.equal(3, status)
    assert.equal(3, select(3, home:run("status --quiet", later)))
    home:run("token", later)
    assert.equal(0, select(3, home:run("status --quiet", later)))
  end)

  it("shows the same time of renewal at each start", function()
    local seen = {}
    for i = 1, 4 do
      home:run "token"
      for _ = 1, 3 do
        local json = cjson.decode((home:run "status --json"))
        local window = ("%.2f"):format(json.expires_in - json.renews_in)
        assert.equal(window, seen[i] or window)
        seen[i] = window
      end
      home:run "renew"
    end
    assert.is_false(seen[1] == seen[2] and seen[2] == seen[3] and seen[3] == seen[4], "each token has its own time")
  end)

  it("prints JSON, with the failure other processes remember", function()
    local wrong = { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" }
    home:run("token", wrong)
    local output, _, status = home:run("status --json", wrong)
    local json = cjson.decode(output)
    assert.equal(4, status)
    assert.equal("none", json.state)
    assert.matches("invalid_client", json.last_error)
    assert.is_nil(output:find("certainly-not-the-secret", 1, true))
  end)

  it("fails where there are no credentials", function()
    local _, errors, status = home:run("status", { CENTRAL_CLIENT_ID = false })
    assert.equal(1, status)
    assert.matches("no client id", errors)
  end)
end)

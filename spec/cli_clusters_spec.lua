-- central-auth clusters: the list of clusters, as text and as JSON.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local clusters = require "central.auth.config.clusters"
local command = require "spec.support.command"

describe("central-auth clusters", function()
  local home

  setup(function() home = command.home() end)
  teardown(function() home:remove() end)

  it("lists names that the option cluster takes, with their hosts", function()
    local output, said, status = home:run "clusters"
    assert.equal("0 ", status .. " " .. said)
    assert.matches("\nEU%-1         de1.api.central.arubanetworks.com\n", output)
    assert.matches("\nChina        cn1.api.central.arubanetworks.com.cn\n", output)
    local count = 0
    for name, host in output:gmatch "(%S+) +(%S+)\n" do
      count = count + 1
      assert.equal("https://" .. host, clusters.base_url(name))
    end
    assert.equal(16, count)
  end)

  it("lists them as JSON", function()
    local output, said, status = home:run "clusters --json"
    assert.equal("0 ", status .. " " .. said)
    local list = cjson.decode(output)
    assert.equal(16, #list)
    assert.same({ name = "US-1", base_url = "https://us1.api.central.arubanetworks.com" }, list[1])
  end)
end)

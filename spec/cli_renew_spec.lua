-- central-auth renew: gets a new token now.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local sandbox = require "central.auth.sandbox"

describe("central-auth renew", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("gets a new token now", function()
    local first = home:run "token"
    local output, errors, status = home:run "renew"
    assert.equal("0 ", status .. " " .. output)
    assert.matches("A new token, valid for 1 h 59 min", errors)
    local second = home:run "token"
    assert.not_equal(first, second)
    assert.equal("", select(2, home:run "renew --quiet"))
    assert.not_equal(second, (home:run "token"))
  end)
end)

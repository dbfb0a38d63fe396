-- central-auth invalidate: forgets a token that an API refused.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local sandbox = require "central.auth.sandbox"

describe("central-auth invalidate", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("forgets a token that the API refused, unless another has taken its place", function()
    local first = home:run "token"
    local function refuse(token)
      return (select(2, home:run("invalidate -", nil, token)))
    end
    home:run "renew"
    assert.matches("Nothing to forget", refuse(first))
    local second = home:run "token"
    assert.matches("forgotten", refuse(second))
    assert.not_equal(second, (home:run "token"))
    assert.matches("forgotten", (select(2, home:run "invalidate")))
    assert.matches("there is no token on standard input", home:fails "invalidate -")
    assert.equal(4, select(3, home:run "status -q"))
  end)
end)

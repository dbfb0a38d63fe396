-- central-auth logout: what it removes, and what it asks before.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth logout", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function()
    home = command.home(server)
    home:run "login -q -p lab"
    home:run "login -q -p site"
  end)
  after_each(function() home:remove() end)

  it("removes the shared token", function()
    home:run "token"
    local _, said, status = home:run "logout"
    assert.equal(0, status)
    assert.matches("The shared token is removed", said)
    assert.equal(4, select(3, home:run "status -q"))
    assert.matches("There was no shared token", (select(2, home:run "logout")))
  end)

  it("removes the profile too where one is named, after a question", function()
    local function exists(name)
      return select(2, process.run("test -e " .. home:profile(name))) == 0
    end
    home:run "token -p lab"
    local _, said, status = home:run "logout -p lab"
    assert.equal(1, status)
    assert.matches("^central%-auth: the profile \"lab\" was not removed: [^\n]*; %-%-yes removes it\n$", said)
    local shown = home:play("logout -p lab", { { 'Remove the profile "lab" and the secret in it? [y/N]: ', "n\r" } })
    assert.matches('"lab" was not removed', shown)
    assert.is_true(exists "lab")
    assert.equal(0, select(3, home:run "status -q -p lab")) -- the token is untouched
    assert.equal(0, select(2, home:play("logout -p lab", { { "Remove the profile", "y\r" } })))
    assert.is_false(exists "lab")
    assert.is_true(exists "site")
    _, said, status = home:run "logout -p site --yes"
    assert.equal(0, status)
    assert.matches('The profile "site" is removed.\n$', said)
    assert.is_false(exists "site")
    _, said, status = home:run "logout -p site --yes"
    assert.equal(1, status)
    assert.matches('^central%-auth: there is no profile "site" in ', said)
    assert.equal(2, select(3, home:run "logout -p ../x --yes"))
  end)

  it("removes a profile that can't be used, and of a link only the link", function()
    home:write_profile("return {", "broken")
    local _, said, status = home:run "logout -p broken --yes"
    assert.equal(0, status, said)
    assert.matches("not valid Lua\n", said)
    process.run(("ln -s lab.lua %s"):format(home:profile()))
    assert.equal(0, select(3, home:run "logout -p default --yes"))
    assert.same({ "lab.lua\nsite.lua\n", 0 }, { process.run(("ls -A %s/config/central-auth"):format(home.folder)) })
  end)
end)

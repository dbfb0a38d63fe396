-- central-auth profiles: the list of profiles, as text and as JSON.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"

describe("central-auth profiles", function()
  local home

  before_each(function() home = command.home() end)
  after_each(function() home:remove() end)

  it("lists them, a line each, and marks the one in use", function()
    local output, said, status = home:run "profiles"
    assert.equal("0 ", status .. " " .. output)
    assert.equal(("There is no profile in %s/config/central-auth; central-auth login creates one.\n"):format(
      home.folder), said)
    for _, name in ipairs { "site", "default", "lab", ".hidden", "no name" } do
      home:write_profile("return {", name) -- none is loaded
    end
    process.write(home.folder .. "/config/central-auth/lab.lua.new-0123456789abcdef", "a temporary")
    assert.same({ "* default\n  lab\n  site\n", "", 0 }, { home:run "profiles" })
    assert.same({ "  default\n* lab\n  site\n", "", 0 }, { home:run("profiles", { CENTRAL_PROFILE = "lab" }) })
    assert.same({ "  default\n  lab\n  site\n", "", 0 }, { home:run("profiles", { CENTRAL_PROFILE = "off" }) })
    assert.same({ "  default\n  lab\n* site\n", "", 0 }, { home:run("profiles -p site", { CENTRAL_PROFILE = "lab" }) })
  end)

  it("lists them as JSON", function()
    assert.equal("[]\n", (home:run "profiles --json"))
    home:write_profile("return {}", "lab")
    home:write_profile("return {}")
    assert.same({ { name = "default", path = home:profile(), in_use = true },
      { name = "lab", path = home:profile "lab", in_use = false } }, cjson.decode((home:run "profiles --json")))
  end)

  it("fails where there can be none, or the chosen name can't be one", function()
    local more = { HOME = false, XDG_CONFIG_HOME = false }
    assert.matches("neither XDG_CONFIG_HOME nor HOME is set", home:fails("profiles", more))
    assert.matches("CENTRAL_PROFILE%): only letters", home:fails("profiles", { CENTRAL_PROFILE = "a/b" }))
  end)
end)

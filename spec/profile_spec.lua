-- The profile file: what a person may have got wrong in it, and that none of it is repeated.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local process = require "spec.support.process"

local LOAD = [[
local profile = require "central.auth.config.profile"
local found, message, code = profile.load(%s)
print(found and found.name or "nothing", message, code)
for name, value in pairs(found and found.options or {}) do print(name, value) end
]]

local folder, path

local function load_profile(text, mode, wanted)
  os.remove(path) -- it may be read-only
  process.write(path, text, mode or "600")
  return (child.run(LOAD:format(wanted and ("%q"):format(wanted) or ""), { XDG_CONFIG_HOME = folder }))
end

describe("profile", function()
  setup(function()
    folder = process.scratch()
    path = folder .. "/central-auth/config.lua"
    process.run("mkdir " .. folder .. "/central-auth")
  end)
  teardown(function() process.remove(folder) end)

  it("is the one called default, or the one asked for", function()
    local text = 'return { default = { client_id = "d" }, lab = { client_id = "l" } }'
    assert.equal("default\tnil\tnil\nclient_id\td\n", load_profile(text))
    assert.equal("lab\tnil\tnil\nclient_id\tl\n", load_profile(text, nil, "lab"))
  end)

  it("need not be there, unless it was asked for", function()
    os.remove(path)
    assert.equal("nothing\tnil\tnil\n", (child.run(LOAD:format "", { XDG_CONFIG_HOME = folder })))
    assert.matches("No such file.*config", (child.run(LOAD:format '"lab"', { XDG_CONFIG_HOME = folder })))
    assert.equal('nothing\tit has no profile "default", only lab, site\tnil\n',
      load_profile "return { site = {}, lab = {} }")
  end)

  it("is loaded as text in an empty environment", function()
    assert.matches("line 2: it fails when run: it must only return a table",
      load_profile 'return {\n default = { client_id = os.getenv "HOME" } }')
    local bytecode = string.dump(load "return {}")
    assert.matches("not valid Lua", load_profile(bytecode))
  end)

  it("tells the line of a syntax error, not its text", function()
    local shown = load_profile 'return {\n  default = { client_secret = "hush" "hush" }\n}'
    assert.matches("config.lua: line 2: not valid Lua\tconfig", shown)
    assert.is_nil(shown:find("hush", 1, true))
    shown = load_profile 'error("hush")'
    assert.matches("it fails when run", shown)
    assert.is_nil(shown:find("hush", 1, true))
  end)

  it("must return a table of tables", function()
    for _, text in ipairs { "", "return 1", 'return "x"' } do
      assert.matches("it must return a table", load_profile(text))
    end
    assert.matches('no profile "default", only lab', load_profile "return { default = 1, lab = {} }")
    assert.matches("named profiles", load_profile 'return { client_id = "x" }')
    assert.matches('no profile "lba", only lab; did you mean "lab"', load_profile("return { lab = {} }", nil, "lba"))
  end)

  it("is refused when it holds a secret and others may read it, with the chmod to run", function()
    local secret = 'return { default = {}, lab = { client_secret = "hush" } }'
    for _, mode in ipairs { "640", "604", "620", "666" } do
      assert.is_truthy(load_profile(secret, mode):find(("mode 0%s): run chmod 600 %s"):format(mode, path), 1, true))
    end
    assert.matches("^default", load_profile(secret, "400"))
    assert.matches("^default", load_profile('return { default = { client_id = "x" } }', "644"))
    assert.matches("open to others", load_profile('return { default = { proxy = "http://u:p@h" } }', "644"))
  end)

  it("is refused when it holds a command and others may read it, or others may write it", function()
    local command = 'return { default = { client_id = "x", %s = "true" } }'
    for _, name in ipairs { "client_secret_command", "client_assertion_command" } do
      assert.is_truthy(load_profile(command:format(name), "644"):find(
        "it contains a command and is open to others (mode 0644): run chmod 600 " .. path, 1, true))
    end
    for _, mode in ipairs { "620", "602", "664", "666" } do
      assert.is_truthy(load_profile('return { default = { client_id = "x" } }', mode):find(
        ("config.lua: is open to others (mode 0%s): run chmod 600 %s\tconfig"):format(mode, path), 1, true), mode)
    end
  end)

  it("may begin with a byte-order mark", function()
    local text = '\xEF\xBB\xBFreturn { default = { client_id = "d" } }'
    assert.equal("default\tnil\tnil\nclient_id\td\n", load_profile(text))
  end)

  it("says what stands in its way", function()
    os.remove(path)
    process.run("mkdir " .. path)
    assert.matches("config.lua: is a folder\tconfig", (child.run(LOAD:format "", { XDG_CONFIG_HOME = folder })))
    process.run("rmdir " .. path)
    assert.matches("is larger than 64 KiB", load_profile(("-"):rep(70000)))
  end)
end)

-- Profiles: what a person may have got wrong in the file of one, and that none of it is repeated.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local process = require "spec.support.process"

local LOAD = [[
local profile = require "central.auth.config.profile"
local found, message, code = require("central.auth.errors").catch(profile.load%s)
print(found and found.name or "nothing", message, code)
for name, value in pairs(found and found.options or {}) do print(name, value) end
]]

local folder, path

local function load_profile(text, mode, wanted)
  local file = ("%s/central-auth/%s.lua"):format(folder, wanted or "default")
  os.remove(file) -- it may be read-only
  process.write(file, text, mode or "600")
  return (child.run(LOAD:format(wanted and (", %q"):format(wanted) or ""), { XDG_CONFIG_HOME = folder }))
end

describe("profile", function()
  before_each(function()
    folder = process.scratch()
    path = folder .. "/central-auth/default.lua"
    process.run("mkdir " .. folder .. "/central-auth")
  end)
  after_each(function() process.remove(folder) end)

  it("is the one called default, or the one asked for", function()
    assert.equal("default\tnil\tnil\nclient_id\td\n", load_profile 'return { client_id = "d" }')
    assert.equal("lab\tnil\tnil\nclient_id\tl\n", load_profile('return { client_id = "l" }', nil, "lab"))
  end)

  it("need not be there, unless it was asked for", function()
    local function load_absent(wanted)
      return (child.run(LOAD:format(wanted or ""), { XDG_CONFIG_HOME = folder }))
    end
    assert.equal("nothing\tnil\tnil\n", load_absent())
    local advice = ('nothing\tthere is no profile "lab" in %s/central-auth: run "central-auth login --profile lab"'
      .. "\tconfig\n"):format(folder)
    assert.equal(advice, load_absent ', "lab"')
    for _, name in ipairs { "site", "lab", ".hidden", "not a name" } do
      process.write(("%s/central-auth/%s.lua"):format(folder, name), "return {}")
    end
    process.write(folder .. "/central-auth/secret", "no profile")
    assert.equal("nothing\tnil\tnil\n", load_absent())
    assert.matches('there is no profile "lba" in [^\n]*; existing profiles: lab, site; did you mean "lab"%?\tconfig\n',
      load_absent ', "lba"')
    process.run("rm -r " .. folder .. "/central-auth")
    assert.equal(advice, load_absent ', "lab"')
    assert.equal("nothing\tnil\tnil\n", load_absent())
  end)

  it("is loaded as text in an empty environment", function()
    assert.matches("line 2: the code fails; it must only return a table",
      load_profile 'return {\n client_id = os.getenv "HOME" }')
    local bytecode = string.dump(load "return {}")
    assert.matches("not valid Lua", load_profile(bytecode))
  end)

  it("tells the line of a syntax error, not its text", function()
    local shown = load_profile 'return {\n  client_secret = "hush" "hush"\n}'
    assert.matches("default.lua: line 2: not valid Lua\tconfig", shown)
    assert.is_nil(shown:find("hush", 1, true))
    shown = load_profile 'error("hush")'
    assert.matches("the code fails", shown)
    assert.is_nil(shown:find("hush", 1, true))
  end)

  it("must return a table of options", function()
    for _, text in ipairs { "", "return 1", 'return "x"' } do
      assert.matches(
        'default.lua: the file must return a table of options: return { client_id = "…", cluster = "…" }\tconfig',
        load_profile(text))
    end
    assert.matches('office %(from the profile "default" in [^\n]*/default.lua%): unknown option\tconfig',
      load_profile 'return { office = { client_id = "x" } }')
    assert.matches("1 %(from [^\n]*/default.lua%): unknown option", load_profile 'return { "x" }')
  end)

  it("is refused when it holds a secret and others may read it, with the chmod to run", function()
    local secret = 'return { client_secret = "hush" }'
    for _, mode in ipairs { "640", "604", "620", "666" } do
      assert.is_truthy(load_profile(secret, mode):find(("mode 0%s): run chmod 600 %s"):format(mode, path), 1, true))
    end
    assert.matches("^default", load_profile(secret, "400"))
    assert.matches("^default", load_profile('return { client_id = "x" }', "644"))
    assert.matches("open to others", load_profile('return { proxy = "http://u:p@h" }', "644"))
  end)

  it("is refused when it holds a command and others may read it, or others may write it", function()
    local command = 'return { client_id = "x", %s = "true" }'
    for _, name in ipairs { "client_secret_command", "client_assertion_command" } do
      assert.is_truthy(load_profile(command:format(name), "644"):find(
        "the file contains a command and is open to others (mode 0644): run chmod 600 " .. path, 1, true))
    end
    for _, mode in ipairs { "620", "602", "664", "666" } do
      assert.is_truthy(load_profile('return { client_id = "x" }', mode):find(
        ("default.lua: is open to others (mode 0%s): run chmod 600 %s\tconfig"):format(mode, path), 1, true), mode)
    end
  end)

  it("may begin with a byte-order mark", function()
    local text = '\xEF\xBB\xBFreturn { client_id = "d" }'
    assert.equal("default\tnil\tnil\nclient_id\td\n", load_profile(text))
  end)

  it("says what stands in its way", function()
    process.run("mkdir " .. path)
    assert.matches("default.lua: is a folder\tconfig", (child.run(LOAD:format "", { XDG_CONFIG_HOME = folder })))
    process.run("rmdir " .. path)
    assert.matches("is larger than 64 KiB", load_profile(("-"):rep(70000)))
  end)
end)

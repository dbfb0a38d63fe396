-- A profile that is written: its text, its mode, and what it keeps of the former one.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local process = require "spec.support.process"

local folder, path

describe("a profile that is written", function()
  local WRITE = [[
    local source = { values = load(%q)(), from = "a spec" }
    local put = require("central.auth.config.profile_store").put
    print(require("central.auth.errors").catch(put, "lab", source, "a spec"))
  ]]

  local function write(values, environment)
    environment = environment or {}
    environment.XDG_CONFIG_HOME = folder
    return child.run(WRITE:format(values), environment)
  end

  before_each(function()
    folder = process.scratch()
    path = folder .. "/central-auth/lab.lua"
  end)
  after_each(function() process.remove(folder) end)

  it("has a comment that says by which command, one option per line, and mode 0600", function()
    assert.equal(path .. "\n", (write [[return { scope = "a b", client_id = "x", cache = false }]]))
    assert.equal("-- Written by a spec. Comments are lost when this file is written again.\n"
      .. 'return {\n  cache = false,\n  client_id = "x",\n  scope = "a b",\n}\n', process.read(path))
    assert.equal("600\n700\n", (process.run(("stat -c %%a %s %s/central-auth"):format(path, folder))))
  end)

  it("has all bytes of a secret", function()
    local bytes = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte, byte)
    end
    local secret = table.concat(bytes) .. "\\\n\r\n\0001\\n]]\"'"
    write(("return { client_secret = %q }"):format(secret))
    assert.equal(secret, dofile(path).client_secret)
    assert.equal(4, select(2, process.read(path):gsub("\n", "")))
  end)

  it("keeps the options that it had, but for those that set the same thing", function()
    process.run("mkdir " .. folder .. "/central-auth")
    process.write(path, [[
      -- by hand
      local hosts = { "a.example", "b.example" }
      return { client_id = "old", client_secret_command = "pass x", token_url = "https://t.example", timeout = 7.5,
        connect_timeout = 2, hosts = hosts, cache = false, params = { ["two words"] = "1", x = { "2", "3" } } }
    ]], "600")
    write [[return { client_id = "new", client_secret = "hush", workspace_id = "w" }]]
    assert.same({ client_id = "new", client_secret = "hush", workspace_id = "w", timeout = 7.5, connect_timeout = 2,
      hosts = { "a.example", "b.example" }, cache = false, params = { ["two words"] = "1", x = { "2", "3" } } },
      dofile(path))
  end)

  it("is not written over a file with errors", function()
    process.run("mkdir " .. folder .. "/central-auth")
    for text, said in pairs {
      ["return {"] = "lab.lua: line 1: not valid Lua",
      ["return 1"] = "lab.lua: the file must return a table of options",
      ['return { nonsense = "x" }'] = 'nonsense %(from the profile "lab" in .*lab.lua%): unknown option',
      ["return { timeout = -1 }"] = 'timeout %(from the profile "lab" in .*lab.lua%): a number of seconds above 0',
    } do
      process.write(path, text, "600")
      assert.matches("^nil\t.*" .. said .. ".*\tconfig", (write [[return { client_id = "x" }]]))
      assert.equal(text, process.read(path))
    end
  end)
end)

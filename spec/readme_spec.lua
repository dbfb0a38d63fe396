-- What the README says, done: its Lua blocks run, its tables name every function, option and error code there is.

local auth = require "central.auth"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local process = require "spec.support.process"

local readme = process.read "README.md"

local function blocks(language)
  local list = {}
  for block in readme:gmatch("\n```" .. language .. "\n(.-)\n```") do
    list[#list + 1] = block
  end
  return list
end

describe("the README", function()
  it("has Lua blocks that run, each in a process of its own", function()
    local server <close> = require("central.auth.sandbox").start()
    local scratch = process.scratch()
    local credentials = process.credentials(server, scratch .. "/cache")
    credentials.CENTRAL_BASE_URL = server.base_url
    local environment = process.assignments(credentials)
    local list = blocks "lua"
    assert.is_true(#list >= 4)
    for i, block in ipairs(list) do
      local path = process.write(("%s/block%d.lua"):format(scratch, i), block)
      -- The first takes its credentials from the environment, the others bring the sandbox or are a profile.
      local output, status = process.run((i == 1 and environment or "") .. " lua5.4 " .. path)
      assert.equal(0, status, ("block %d:\n%s\n%s"):format(i, block, output))
    end
    process.remove(scratch)
  end)

  it("shows a profile that loads", function()
    local found
    for _, block in ipairs(blocks "lua") do
      if block:find("^return") then
        found = load(block)()
      end
    end
    for name in pairs(found) do
      assert.truthy(options.get(name), name)
    end
  end)

  it("names every function", function()
    for name in pairs(auth) do
      if type(auth[name]) == "function" then
        assert.truthy(readme:find("`auth." .. name .. "(", 1, true), name)
      end
    end
    for name in pairs(require("central.auth.api.api_clients").methods) do
      assert.truthy(readme:find("`" .. name .. "(", 1, true), name)
    end
    for name in pairs(require("central.auth.api.request").options) do
      assert.truthy(readme:match("\n## API calls\n(.-)\n## "):find("`" .. name .. "`", 1, true), name)
    end
  end)

  it("names every option, and no other", function()
    local table_of_options = readme:match("\n## Options\n(.-)\n## ")
    for _, name in ipairs(options.names) do
      assert.truthy(table_of_options:find("`" .. name .. "`", 1, true), name)
    end
    for row in table_of_options:gmatch("\n| (`[^|]*)|") do
      for name in row:gmatch("`([%w_]+)`") do
        assert.truthy(options.get(name), name)
      end
    end
  end)

  it("names every error code, and no other", function()
    local known, told = {}, {}
    for _, code in ipairs(errors.codes) do
      known[code] = true
    end
    for code in readme:match("\n## Errors\n(.-)\n## "):gmatch("\n| `([%w_]+)` |") do
      assert.is_true(known[code], code)
      told[code] = true
    end
    assert.same(known, told)
  end)

  it("is of the version there is", function()
    local version = require("central.auth.config.resolve").VERSION
    assert.equal(version, readme:match "\n## Changelog\n\n### (%S+)")
    assert.truthy(readme:find(("`central-auth/%s (Lua 5.4)`"):format(version), 1, true))
    for named in readme:gmatch "central%-auth%-(%d[%d.]*%d)" do
      assert.equal(version, named)
    end
  end)

  it("leads to files that are there, every example among them", function()
    local led = {}
    for path in readme:gmatch "%]%(([%w_/.-]+)%)" do
      assert(io.open(path)):close()
      led[path] = true
    end
    for path in process.run("find lua/examples -type f"):gmatch "[^\n]+" do
      assert.is_true(led[path] or path:find "demo" ~= nil or path:find "%.timer$" ~= nil, path)
    end
  end)

  it("gives commands that make knows", function()
    for _, block in ipairs(blocks "sh") do
      for target in block:gmatch("make ([a-z][a-z-]*)") do
        local _, status = process.run("make -n " .. target .. " >/dev/null")
        assert.equal(0, status, target)
      end
    end
  end)
end)

describe("the demo", function()
  it("#slow shows a token's life from first to last", function()
    local output, status = process.run("NO_COLOR=1 lua5.4 lua/examples/demo.lua")
    assert.equal(0, status, output)
    for _, part in ipairs { "HTTP 200: 12 access points", "renewed: ", "HTTP 401", "after one HTTP 503" } do
      assert.truthy(output:find(part, 1, true), output)
    end
  end)
end)

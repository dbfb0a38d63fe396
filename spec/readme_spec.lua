-- What the README files say, done: their Lua and shell blocks run, their tables are those of the code, and the README
-- names every function, option and error code there is by way of the manual, lua/README.md.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local process = require "spec.support.process"
local reader = require "spec.support.reader"
local redis = require "spec.support.redis"
local sandbox = require "central.auth.sandbox"

local FILES = { "README.md", "lua/README.md", "csrc/README.md", "spec/README.md" }
local LINE_MAX, README_WORDS_MAX = 100, 1600

local text_of = {}
for _, path in ipairs(FILES) do
  text_of[path] = process.read(path)
end
local readme, manual = text_of["README.md"], text_of["lua/README.md"]

local function blocks(path, language)
  local list = {}
  for block in text_of[path]:gmatch("\n```" .. language .. "\n(.-)\n```") do
    list[#list + 1] = block
  end
  return list
end

for _, path in ipairs(FILES) do
  describe(path, function()
    local server, home -- of all blocks of the file

    setup(function()
      server = sandbox.start()
      home = reader.new(server)
    end)
    teardown(function()
      home:remove()
      server:close()
    end)

    it("has Lua blocks that run, each in a process of its own", function()
      for i, block in ipairs(blocks(path, "lua")) do
        local script = process.write(("%s/block%d.lua"):format(home.folder, i), block)
        local output, status = process.run(("env -i %slua5.4 %s 2>&1"):format(process.assignments(home.environment),
          script))
        assert.equal(0, status, ("block %d:\n%s\n%s"):format(i, block, output))
      end
    end)

    it("has shell blocks that run", function()
      for _, block in ipairs(blocks(path, "sh")) do
        local output, status = reader.run(home, block)
        assert.equal(0, status, block .. "\n" .. output)
      end
    end)

    it("has the tables that the code makes; `make tables` writes them", function()
      assert.equal(text_of[path], (process.run("lua5.4 .ci/tables.lua " .. path)))
    end)

    it("has lines that fit on a page, but for rows of tables and what a terminal shows", function()
      local fence
      for line in text_of[path]:gmatch "[^\n]+" do
        local mark = line:match "^```(%a*)"
        fence = mark and not fence and mark or not mark and fence or nil
        assert.is_true(utf8.len(line) <= LINE_MAX or line:find "^|" ~= nil or fence == "", line)
      end
    end)

    it("leads to files and sections that are there", function()
      for target in text_of[path]:gmatch "%]%(([^)%s]+)%)" do
        local file, place = target:match "^([^#]*)#?(.*)$"
        if not file:find "^https:" then
          local full = (file == "" and path or (path:match "^.*/" or "") .. file):gsub("[^/]+/%.%./", "")
          local text = process.read(full)
          local found = place == ""
          for heading in text:gmatch "\n#+ ([^\n]+)" do
            found = found or heading:lower():gsub("[^%w -]", ""):gsub(" ", "-") == place
          end
          assert.is_true(found, target)
        end
      end
    end)
  end)
end

describe("the README", function()
  it("is short", function()
    assert.is_true(select(2, readme:gsub("%S+", "")) <= README_WORDS_MAX)
  end)

  it("shows a profile that loads", function()
    local found
    for _, block in ipairs(blocks("README.md", "lua")) do
      if block:find("^return") then
        found = load(block)()
      end
    end
    for name in pairs(found) do
      assert.truthy(options.get(name), name)
    end
  end)

  it("quotes messages that are shown", function()
    local server <close> = sandbox.start { fail = { status = 429, times = 1, retry_after = 60 } }
    local other <close> = sandbox.start()
    local function message_of(options_of_client)
      local client, message = auth.new(options_of_client)
      return client and select(2, client:token()) or message
    end
    local function changed(name, value)
      local given = server:options()
      given[name] = value
      return message_of(given)
    end
    local messages = table.concat({
      message_of(server:options()), changed("client_secret", "not the secret of this client"), changed("ca_file", nil),
      changed("ca_file", other.ca_file),
      changed("base_url", "https://app1-apigw.central.arubanetworks.com"), message_of { profile = false },
    }, "\n")
    local count = 0
    for quoted in readme:match("\n## Troubleshooting\n(.-)\n## "):gmatch "\n%- `([^`]+)`:" do
      assert.truthy(messages:find(quoted:gsub("%s+", " "), 1, true), quoted .. "\n" .. messages)
      count = count + 1
    end
    assert.equal(6, count)
  end)

  it("names the version there is, and so do the manual and the changelog", function()
    local version = require("central.auth.config.resolve").VERSION
    assert.equal(version, process.read("lua/README.md"):match "\n## Changes\n\n### (%S+)")
    assert.truthy(manual:find(("`central-auth/%s`"):format(version), 1, true))
    for named in (readme .. manual):gmatch "central%-auth%-(%d[%d.]*%d)" do
      assert.equal(version, named)
    end
  end)
end)

describe("the manual", function()
  it("names every function", function()
    for name in pairs(auth) do
      if type(auth[name]) == "function" then
        assert.truthy(manual:find("`auth." .. name .. "(", 1, true), name)
      end
    end
    for name in pairs(require("central.auth.api.api_clients").methods) do
      assert.truthy(manual:find("`auth.credentials." .. name .. "(", 1, true), name)
    end
    for name in pairs(require("central.auth.api.call").options) do
      assert.truthy(manual:match("\n## API calls\n(.-)\n## "):find("`" .. name .. "`", 1, true), name)
    end
  end)

  it("names every option, and no other", function()
    local table_of_options = manual:match("\n## Options\n(.-)\n## ")
    for _, name in ipairs(options.names()) do
      assert.truthy(table_of_options:find("\n| `" .. name .. "` |", 1, true), name)
    end
    for name in table_of_options:gmatch "\n| `([%w_]+)` |" do
      assert.truthy(options.get(name), name)
    end
  end)

  it("names every error code, and no other", function()
    local known, told = {}, {}
    for _, code in ipairs(errors.codes) do
      known[code] = true
    end
    for code in manual:match("<!%-%- table: names code Code %-%->(.-)<!"):gmatch "\n| `([%w_]+)` |" do
      told[code] = true
    end
    assert.same(known, told)
  end)

  it("names the rights of a Redis user with which the specs run", function()
    local function words(text)
      local list = {}
      for word in text:gmatch "%S+" do
        list[#list + 1] = word
      end
      table.sort(list)
      return list
    end
    assert.same(words(redis.rules), words((manual:match "\n```\nuser auth (on [^\n]*)\n```"
      :gsub(">password", ">%%s"))))
  end)

  it("leads to every example", function()
    local led = {}
    for path in manual:gmatch "%]%(([%w_/.-]+)%)" do
      led["lua/" .. path] = true
    end
    for path in process.run("find lua/examples -type f"):gmatch "[^\n]+" do
      assert.is_true(led[path] or path:find "demo" ~= nil or path:find "%.timer$" ~= nil, path)
    end
  end)
end)

describe("the documents of csrc/ and spec/", function()
  it("name files that are there", function()
    for _, path in ipairs { "csrc/README.md", "spec/README.md" } do
      for name in text_of[path]:gmatch "`([%l_]+/[%w_/]+%.%l+)`" do
        local found
        for _, folder in ipairs { "", "csrc/", "lua/central/auth/" } do
          found = found or io.open(folder .. name)
        end
        assert(found, name):close()
      end
    end
  end)

  it("name the modules that get a token, all and no others", function()
    local listed, named = text_of["csrc/README.md"]:match "\nIn `token/`[^\n]*\n\n(.-)\n\n", {}
    for name in listed:gmatch "`([%l_]+)`" do
      named[#named + 1] = name .. ".lua"
    end
    table.sort(named)
    assert.equal((process.run "cd lua/central/auth/token && LC_ALL=C ls"), table.concat(named, "\n") .. "\n")
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

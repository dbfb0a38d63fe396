-- central-auth get: an API call as a script and a person see it, in processes of their own against the sandbox.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

describe("central-auth get", function()
  local APS, SITES, ECHO = "/network-monitoring/v1/aps", "/network-config/v1/sites", "/sandbox/v1/echo"
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server, { CENTRAL_BASE_URL = server.base_url }) end)
  after_each(function()
    server:recover()
    home:remove()
  end)

  local function fails(line, more)
    return home:fails("get " .. line, more)
  end

  it("prints the answer as JSON, whole numbers without a point", function()
    local output, errors, status = home:run("get " .. APS .. " --query limit=2")
    assert.equal("0 ", status .. " " .. errors)
    assert.matches('^{\n  "count": 2,\n  "items": %[\n    {\n      "deviceName": "lobby%-01",\n', output)
    assert.equal(12, cjson.decode(output).total)
  end)

  it("prints no byte that is no character, which a terminal might obey", function()
    local granted = '{"access_token":"a-token","token_type":"Bearer","expires_in":3600}'
    local answer = rude.reply(200, nil, '["a\x9B31mb"]')
    local other <close> = rude.start { replies = { rude.reply(200, nil, granted), answer } }
    local output, errors, status = home:run("get /x --pages", { CENTRAL_TOKEN_URL = other.url, CENTRAL_CACHE = "off",
      CENTRAL_BASE_URL = other.url:match "^http://[^/]+" })
    assert.equal("0 ", status .. " " .. errors)
    assert.equal('[\n  "a\u{FFFD}31mb"\n]\n', output)
  end)

  it("encodes the query, and repeats what is given again", function()
    local output = home:run(("get %s --query 'filter=a eq 1&2' --query x=1 --query x=2 --query x=3"):format(ECHO))
    local query = cjson.decode(output).query
    assert.truthy(query:find("filter=a%20eq%201%262", 1, true), query)
    assert.truthy(query:find("x=1&x=2&x=3", 1, true), query)
  end)

  it("follows pages by cursor and by offset, and prints one list", function()
    for path, count in pairs { [APS] = 12, [SITES] = 25 } do
      local output, errors, status = home:run(("get %s --pages --query limit=5"):format(path))
      assert.equal("0 ", status .. " " .. errors)
      assert.matches("^%[\n  {\n", output)
      local items = cjson.decode(output)
      assert.equal(count, #items)
      assert.is_nil(items[1].total)
    end
    assert.equal(25, #cjson.decode((home:run(("get %s --pages --items items"):format(SITES)))))
    assert.equal("[]\n", (home:run(("get %s --pages --query offset=25"):format(SITES))))
  end)

  it("prints nothing of a collection one page of which fails", function()
    assert.matches("page 1 of " .. ECHO .. ": it has no list of items", fails(ECHO .. " --pages"))
    assert.matches('no list "aps"', fails(APS .. " --pages --items aps"))
  end)

  it("says which options do not go together", function()
    for line, said in pairs {
      ["'" .. SITES .. "?offset=5' --pages"] = "by %-%-query", [APS .. " --items items"] = "needs %-%-pages",
    } do
      local output, errors, status = home:run("get " .. line)
      assert.equal("2 ", status .. " " .. output)
      assert.matches(said, errors)
    end
  end)

  it("says on standard error what the API says, and that there is no base URL", function()
    assert.matches("404.*There is no such resource", fails "/no/such/thing")
    assert.matches("base_url", fails(APS, { CENTRAL_BASE_URL = false }))
    server:fail { status = 500, times = math.huge, of = "api" }
    assert.matches("500", fails(APS .. " --timeout 1"))
    fails("https://example.net/")
  end)

  it("takes another token after a 401", function()
    home:run "token"
    server:revoke()
    assert.equal(0, select(3, home:run("get " .. APS)))
  end)

  it("ends on Ctrl-C while the API is silent #slow", function()
    local shown, status = home:play(("get '%s?wait=20'"):format(ECHO), { { "⠙", "\3" } })
    assert.equal(130, status, shown)
  end)

  it("ends on Ctrl-C between pages, too", function()
    local shown, status = home:play(("get '%s?wait=20' --pages"):format(ECHO), { { "⠙", "\3" } })
    assert.equal(130, status, shown)
  end)
end)

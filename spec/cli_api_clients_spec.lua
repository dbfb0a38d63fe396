-- central-auth api-clients: what happens to a personal API client, where its secret ends up, and that it is nowhere
-- else; against the sandbox.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth api-clients", function()
  local server, home

  before_each(function()
    server = sandbox.start()
    home = command.home(server, { CENTRAL_GREENLAKE_URL = server.base_url })
  end)
  after_each(function()
    server:close()
    home:remove()
  end)

  local function fails(line, more)
    return home:fails("api-clients " .. line, more)
  end

  local function succeeds(line, more)
    local output, errors, status = home:run("api-clients " .. line, more)
    assert.equal(0, status, errors)
    return output, errors
  end

  local function all()
    return cjson.decode((succeeds "list --json"))
  end

  local function mode(path)
    return process.run("stat -c %a " .. path)
  end

  it("list shows them, a line each or as JSON, without secrets, and marks the one in use", function()
    local other = cjson.decode((succeeds "create x --show"))
    local shown = succeeds "list"
    assert.matches(("^%%* %s  2026%%-01%%-22 15:18:59 UTC  sandbox\n  %s  "):format(server.client_id, other.client_id),
      shown)
    assert.matches("\n  %x+  %d+%-%d%d%-%d%d %d%d:%d%d:%d%d UTC  x\n$", shown)
    local list = all()
    assert.same({ "sandbox", true, "x", false }, { list[1].name, list[1].in_use, list[2].name, list[2].in_use })
    assert.is_nil(list[1].client_secret)
    assert.is_nil(list[2].client_secret)
    home:run "login -q -p lab"
    assert.equal(shown, (succeeds("list -p lab", { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false })))
  end)

  it("list shows the zone that the server writes", function()
    local rude = require "spec.support.rude"
    local items = '{"items":[{"id":"a","createdAt":"2026-01-22T15:18:59Z"},{"id":"b","createdAt":"2026-01-22T15:18:59'
      .. '.5+01:00"},{"id":"c","createdAt":"soon"},{"id":"d"}],"count":4}'
    local granted = '{"access_token":"a-token","token_type":"Bearer","expires_in":3600}'
    local other <close> = rude.start { replies = { rude.reply(200, nil, granted), rude.reply(200, nil, items) } }
    local shown = succeeds("list", { CENTRAL_TOKEN_URL = other.url, CENTRAL_CACHE = "off",
      CENTRAL_GREENLAKE_URL = other.url:match "^http://[^/]+" })
    assert.equal(("  a  2026-01-22 15:18:59 UTC  ?\n  b  2026-01-22 15:18:59 +01:00  ?\n  c  %-23s  ?\n  d  %-23s  ?\n")
      :format("soon", "-"), shown)
  end)

  it("create does nothing before it knows where the secret is to go", function()
    local output, errors, status = home:run "api-clients create x"
    assert.equal("2 ", status .. " " .. output)
    assert.matches("no place for the new secret: set %-%-save%-to FILE", errors)
    assert.equal(2, select(3, home:run "api-clients create x --show --save-to y"))
    assert.equal(1, #all())
  end)

  it("create puts the secret into a file of mode 0600 and shows it nowhere", function()
    local path = home.folder .. "/secret"
    local output, said = succeeds("create 'night jobs' --service 5a-1 --workspace w --save-to " .. path)
    local secret, made = process.read(path):match "%S+", cjson.decode(output)
    assert.equal("600\n", mode(path))
    assert.equal(path, made.saved_to)
    assert.equal("night jobs", made.name)
    assert.truthy(output:find("/service-manager-provisions/5a-1\"", 1, true), output)
    assert.is_nil((output .. said):find(secret, 1, true))
    assert.equal(0, select(3, home:run("token", {
      CENTRAL_CLIENT_ID = server.client_id, CENTRAL_CLIENT_SECRET = server.client_secret,
    })))
  end)

  it("create takes a path from where it was started", function()
    process.run(("mkdir %s/here"):format(home.folder))
    local line = ("cd %s/here && %s"):format(home.folder, home:words "api-clients create x --save-to secret")
    local output = process.run((line:gsub("lua/central%-auth", process.run "pwd":gsub("\n", "/") .. "%0")))
    assert.equal("600\n", mode(home.folder .. "/here/secret"))
    assert.truthy(output:find('"saved_to":"secret"', 1, true), output)
    assert.matches("The secret is in secret.", output)
  end)

  it("create puts id and secret into a profile, or prints them for another program", function()
    local made = cjson.decode((succeeds "create x --save-profile nights"))
    assert.is_nil(made.client_secret)
    assert.equal(made.client_id, dofile(home:profile "nights").client_id)
    assert.equal(32, #dofile(home:profile "nights").client_secret)
    local shown = cjson.decode((succeeds "create y --show"))
    assert.equal(32, #shown.client_secret)
    local login = home:words "login -p piped --no-check --from-file -"
    process.run(("%s 2>/dev/null | %s"):format(home:words "api-clients create z --show", login))
    assert.equal("z", all()[4].name)
    assert.equal(all()[4].client_id, dofile(home:profile "piped").client_id)
  end)

  it("create replaces neither a file nor a profile of another client without a word", function()
    local path = process.write(home.folder .. "/secret", "precious")
    assert.matches("was not replaced: there is no terminal for the question; %-%-yes replaces it",
      fails("create x --save-to " .. path))
    assert.equal("precious", process.read(path))
    home:run "login -q -p lab"
    assert.matches("has other credentials and was not changed: .*; %-%-yes", fails "create x --save-profile lab")
    assert.equal(1, #all())
    succeeds("create x --yes --save-to " .. path)
    assert.equal(33, #process.read(path))
    local shown, status = home:play("api-clients create x --save-profile lab", { { "Replace it? [y/N]: ", "y\r" } })
    assert.equal(0, status, shown)
    assert.equal(32, #dofile(home:profile "lab").client_secret)
    assert.is_nil(shown:find(dofile(home:profile "lab").client_secret, 1, true))
  end)

  it("create fails before it creates where nothing can be saved", function()
    assert.matches("%-%-save%-to: /dev/null/x: Not a directory", fails "create x --save-to /dev/null/x")
    assert.matches("%-%-save%-to: no/such/secret: there is no folder no/such; create it first: mkdir %-p no/such\n",
      fails "create x --save-to no/such/secret")
    assert.is_nil(io.open "no")
    assert.equal(1, #all())
  end)

  it("reset asks, and then what used the profile goes on", function()
    home:run "login -q -p lab"
    local former, id = dofile(home:profile "lab").client_secret, server.client_id
    local line = ("reset %s -p lab --save-profile lab"):format(id)
    assert.matches("was not changed: .*; %-%-yes resets it", fails(line))
    local shown, status = home:play("api-clients " .. line, { { "Its secret and all its tokens end at once. "
      .. "central-auth itself uses this client. [y/N]: ", "n\r" } })
    assert.equal(1, status, shown)
    assert.equal(former, dofile(home:profile "lab").client_secret)
    shown, status = home:play("api-clients " .. line, { { "[y/N]: ", "y\r" } })
    assert.equal(0, status, shown)
    assert.not_equal(former, dofile(home:profile "lab").client_secret)
    local plain = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false }
    assert.equal(0, select(3, home:run("token -p lab", plain)))
    succeeds(line .. " --yes", plain)
    assert.equal(0, select(3, home:run("token -p lab", plain)))
  end)

  it("reset is noticed by a program that goes on with the profile", function()
    home:run "login -q -p lab"
    local plain = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false }
    local program = process.write(home.folder .. "/program.lua", [[
      local auth = require "central.auth"
      assert(auth.configure { profile = "lab" })
      assert(auth.renew())
      assert(os.execute(os.getenv "RESET"))
      assert(auth.renew())
      print "a token with the new secret"
    ]])
    plain.RESET = home:words(("api-clients reset %s -p lab --save-profile lab --yes"):format(server.client_id), plain)
    local output = process.run((home:words("", plain):gsub("lua/central%-auth", program)))
    assert.matches("\na token with the new secret\n$", output)
  end)

  it("reset prints a secret that can't be saved after all, and fails", function()
    local id = cjson.decode((succeeds "create x --show")).client_id
    local program = process.write(home.folder .. "/program.lua", ([[
      require("central.auth.config.save").put = function()
        return require("central.auth.errors").fail("config", "save_to: the disk is full")
      end
      local words = { "api-clients", "reset", %q, "--yes", "--save-to", %q }
      os.exit(require("central.auth.cli.main").main(words))]]):format(id, home.folder .. "/secret"))
    local output, status = process.run(home:words "":gsub("lua/central%-auth", program))
    assert.equal(1, status, output)
    assert.equal(32, #output:match '"client_secret":"(%x+)"')
    assert.matches("the disk is full; the secret was printed, as there is no other copy", output)
  end)

  it("create prints a secret whose profile can't be written after all #slow", function()
    server:latency(1.5) -- of the token, which is got after the first look at the profile
    local output, said, status = home:run(("api-clients create x --save-profile nights & pid=$!; sleep 0.7;"
      .. " mkdir -p %s; wait $pid"):format(home:profile "nights"))
    assert.equal(1, status, said)
    assert.equal(32, #output:match '"client_secret":"(%x+)"')
    assert.matches("nights.lua: is a folder; the secret was printed", said)
  end)

  it("create keeps what the profile has, and takes no path for its name", function()
    home:write_profile('-- mine\nreturn { client_secret_command = "pass x", timeout = 7 }\n', "nights")
    local made = cjson.decode((succeeds "create x --save-profile nights"))
    local found = dofile(home:profile "nights")
    assert.equal(32, #found.client_secret)
    found.client_secret = nil
    assert.same({ client_id = made.client_id, timeout = 7 }, found)
    assert.matches("^%-%- Written by central%-auth api%-clients, or", process.read(home:profile "nights"))
    local _, said, status = home:run "api-clients create y --save-profile ../nights"
    assert.equal(2, status)
    assert.matches("%-%-save%-profile: only letters, digits", said)
    assert.equal(2, #all())
  end)

  it("delete asks, and deletes", function()
    local id = cjson.decode((succeeds "create x --show")).client_id
    assert.matches("was not changed: .*; %-%-yes deletes it", fails("delete " .. id))
    local shown, status = home:play("api-clients delete " .. id, { { "Delete " .. id, "n\r" } })
    assert.equal(1, status, shown)
    assert.is_nil(shown:find("in use here", 1, true))
    assert.equal(2, #all())
    assert.matches("is deleted", (select(2, succeeds("delete --yes " .. id))))
    assert.equal(1, #all())
    assert.matches("404", fails("delete --yes " .. id))
    for _, line in ipairs { "delete --yes ../x", "reset --yes --show 'a b'" } do
      local _, said, ended = home:run("api-clients " .. line)
      assert.equal(2, ended)
      assert.matches("ID: only letters", said)
    end
  end)

  it("wants an action", function()
    local _, said, status = home:run "api-clients"
    assert.equal(2, status)
    assert.matches("See central%-auth api%-clients %-%-help", said)
  end)
end)

-- central-auth token: what it prints, for scripts, curl and people, and how soon; in processes of their own against the
-- sandbox.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

local TOKEN = "^[%w_-]+%.[%w_-]+%.[%w_-]+\n$"

describe("central-auth token", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("prints a token, one for all processes", function()
    local before = server:requests().token
    local token, errors, status = home:run "token"
    assert.matches(TOKEN, token)
    assert.equal("", errors)
    assert.equal(0, status)
    assert.equal(token, (home:run "token"))
    assert.equal("Bearer " .. token, (home:run "token --header"))
    assert.equal(token, (home:run "-q token --min-valid 60"))
    assert.equal(before + 1, server:requests().token)
  end)

  it("prints it as JSON and as a curl configuration, which curl takes", function()
    local token = home:run("token"):match "%S+"
    local json = cjson.decode((home:run "token --json"))
    assert.equal(token, json.access_token)
    assert.equal("Bearer", json.token_type)
    assert.near(7199, json.expires_in, 10)
    assert.near(os.time() + 7199, json.expires_at, 10)
    local answer = home:run(("token --curl | curl -sS --cacert %s -K - %s/network-monitoring/v1/gateways"):format(
      server.ca_file, server.base_url))
    assert.equal(2, cjson.decode(answer).count)
  end)

  it("writes a token of any characters so that curl reads it", function()
    local other <close> = rude.start { replies = rude.reply(200, nil,
      '{"access_token":"a\\"b\\\\c","token_type":"Bearer","expires_in":3600}') }
    local own <close> = command.home(server, { CENTRAL_TOKEN_URL = other.url })
    own:run(("token --curl | curl -sS -K - %s"):format(other.url:gsub("/as/.*", "/x")))
    assert.equal('Bearer a"b\\c', other:requests()[2].headers.authorization)
  end)

  it("renews a token in its window before it ends, after it gave the old one away #slow #timing", function()
    local short <close> = sandbox.start { lifetime = 6 }
    local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
    local first = own:run "token"
    require("cqueues").sleep(3.1)
    assert.equal(first, (own:run "token"))
    local second = own:run "token"
    assert.not_equal(first, second)
    assert.equal(2, short:requests().token)
  end)

  it("gives a token in its window away at once, although the server is silent #slow #timing", function()
    local short <close> = sandbox.start { lifetime = 6 }
    local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
    local first = own:run "token"
    require("cqueues").sleep(3.1)
    short:latency(60)
    local log = process.write(own.folder .. "/log", "")
    local started = process.start { command = { "sh", "-c", "exec " .. own:words "token" }, log = log }
    process.wait_until(function() return process.read(log) == first end, 2, "the token")
    started:stop()
  end)

  it("says how long a token is good for that falls short of --min-valid", function()
    local token, said, status = home:run "token --min-valid 99999"
    assert.matches(TOKEN, token)
    assert.equal("0 central-auth: this token is valid for 1 h 59 min, less than --min-valid\n",
      status .. " " .. said)
    assert.equal("", (select(2, home:run "token --min-valid 99999 -q")))
    assert.equal("", (select(2, home:run "token --min-valid 7000")))
    assert.equal("", (select(2, home:run "token --min-valid 116m")))
    assert.matches("less than %-%-min%-valid", (select(2, home:run "token --min-valid 28h")))
    assert.matches("less than %-%-min%-valid", (select(2, home:run "exec --min-valid 99999 -- true")))
  end)

  describe("with --output", function()
    local file

    before_each(function() file = home.folder .. "/header" end)

    local function shown(format)
      return (process.run(("stat -c '%s' %s"):format(format, file)))
    end

    it("writes what it would print to a file of mode 0600, and prints nothing", function()
      local token = home:run "token"
      for option, text in pairs { [""] = token, ["--header "] = "Bearer " .. token,
        ["--curl "] = ('header = "Authorization: Bearer %s"\n'):format(token:match "%S+") } do
        assert.same({ "", "", 0 }, { home:run(("token %s--output %s"):format(option, file)) })
        assert.equal(text, process.read(file))
        assert.equal("600\n", shown "%a")
      end
      assert.same({ "", "", 0 }, { home:run("token --json --output " .. file) })
      assert.equal(token:match "%S+", cjson.decode(process.read(file)).access_token)
    end)

    it("leaves a file with this token as it is, and replaces any other as a whole", function()
      home:run("token --output " .. file)
      process.run(("touch -d 2001-02-03 %s"):format(file))
      local before = shown "%i %Y"
      assert.same({ "", "", 0 }, { home:run("token --output " .. file) })
      assert.equal(before, shown "%i %Y")
      process.run(("chmod 644 %s"):format(file)) -- open to others
      home:run("token --output " .. file)
      assert.equal("600\n", shown "%a")
      local old <close> = io.open(file)
      home:run "renew"
      local token = home:run "token"
      assert.same({ "", "", 0 }, { home:run("token --output " .. file) })
      assert.equal(token, process.read(file))
      assert.not_equal(token, old:read "a")
      assert.equal("header\nstderr\nstdin\n", (process.run(("ls -p %s | grep -v /"):format(home.folder))))
    end)

    it("takes a path below the working folder, and follows links of one's own", function()
      local token = home:run "token"
      process.run(("ln -s %s %s/link"):format(file, home.folder))
      home:run(("token --output %s/link"):format(home.folder))
      assert.equal(token, process.read(file))
      local tree = process.run("pwd"):gsub("\n", "")
      local line = ("cd %s && %s"):format(home.folder, home:words "token --output here"):gsub("lua/central%-auth",
        tree .. "/%0")
      assert.same({ "", 0 }, { process.run(line) })
      assert.equal(token, process.read(home.folder .. "/here"))
      if process.run "id -u" == "0\n" then
        process.run(("chown -h nobody %s/link"):format(home.folder))
        assert.matches("link: is reached by a link of another user\n$", home:fails(("token --output %s/link"):format(
          home.folder)))
      end
    end)

    it("names the file and the reason where it can't write, and leaves the file", function()
      local function fails(path, problem)
        local said = home:fails("token --output " .. path)
        assert.equal(("central-auth: --output: %s: %s\n"):format(path, problem), said)
      end
      fails(home.folder .. "/none/header", ("there is no folder %s/none; create it first: mkdir -p %s/none"):format(
        home.folder, home.folder))
      fails(home.folder, "is a folder")
      fails("/dev/stdout", "is not a regular file")
      process.write(file, "former")
      assert.matches("invalid_client", home:fails("token --output " .. file,
        { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" }))
      assert.equal("former", process.read(file))
      local _, said, status = home:run "token --output ''"
      assert.equal(2, status)
      assert.matches("%-%-output: the value is empty", said)
    end)

    it("has the new token in the file where a renewal is due #slow #timing", function()
      local short <close> = sandbox.start { lifetime = 6 }
      local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
      local first = own:run "token"
      require("cqueues").sleep(3.1)
      own:run("token --json --output " .. file)
      local json = cjson.decode(process.read(file))
      assert.not_equal(first:match "%S+", json.access_token)
      assert.is_true(json.expires_in > 4)
      assert.equal(2, short:requests().token)
    end)
  end)

  it("takes the profile it is told to, and names the one that was meant", function()
    home:run "login"
    local plain = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false, CENTRAL_TOKEN_URL = false,
      CENTRAL_CA_FILE = false }
    assert.matches(TOKEN, (home:run("token", plain)))
    assert.matches(TOKEN, (home:run("--profile default token", plain)))
    assert.matches('overrides the profile "default"', (select(2, home:run "--profile default token")))
    local _, errors, status = home:run("token -p defualt", plain)
    assert.equal(1, status)
    assert.matches('did you mean "default"', errors)
  end)
end)

-- The command with a ready-made token in place of a client's credentials.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local basexx = require "basexx"
local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth with a ready-made token", function()
  local server, home, token

  setup(function()
    server = sandbox.start()
    local client <close> = assert(auth.new(server:options()))
    token = assert(client:token())
  end)
  teardown(function() server:close() end)
  before_each(function()
    home = command.home(nil, { CENTRAL_ACCESS_TOKEN = token, CENTRAL_BASE_URL = server.base_url,
      CENTRAL_CA_FILE = server.ca_file })
  end)
  after_each(function() home:remove() end)

  local function jwt(seconds)
    local now = os.time()
    return ("e30.%s.c2ln"):format(basexx.to_url64(('{"iat":%d,"exp":%d}'):format(now - 3600, now + seconds)))
  end

  it("prints it, shows its state, gives it to a program and to an API, and asks no token endpoint", function()
    local before = server:requests().token
    assert.equal(token .. "\n", (home:run "token"))
    assert.equal("Bearer " .. token .. "\n", (home:run "token --header"))
    assert.same({ access_token = token, token_type = "Bearer" }, cjson.decode((home:run "token --json")))
    local shown, errors, status = home:run "status"
    assert.equal("0 ", status .. " " .. errors)
    assert.matches("^state +fresh\nsource +ready%-made\n", shown)
    assert.equal("0\n" .. token .. "\n", (home:run "exec -- sh -c 'env | grep -c CENTRAL_A; echo $CENTRAL_TOKEN'"))
    local reply, log = home:run("api /network-monitoring/v1/gateways", { CENTRAL_LOG = "debug" })
    assert.equal(2, cjson.decode(reply).count)
    assert.matches("/network%-monitoring/v1/gateways", log)
    assert.is_nil(log:find(token, 1, true), log)
    assert.equal("The token was read.\n", (select(2, home:run "renew")))
    assert.equal(before, server:requests().token)
    assert.is_nil(process.run("ls -A " .. home.folder):find "central%-auth")
  end)

  it("says how long it is good for, and exits with 3 once it is over", function()
    local long, over = { CENTRAL_ACCESS_TOKEN = jwt(600) }, { CENTRAL_ACCESS_TOKEN = jwt(-5) }
    local json = cjson.decode((home:run("token --json", long)))
    assert.near(600, json.expires_in, 5)
    assert.near(os.time() + 600, json.expires_at, 5)
    assert.matches("less than %-%-min%-valid", (select(2, home:run("token --min-valid 700", long))))
    assert.matches("^The token was read, valid for 9 min", (select(2, home:run("renew", long))))
    local shown, _, status = home:run("status", over)
    assert.equal(3, status)
    assert.matches("^state +expired\n", shown)
    local errors = home:fails("token", over)
    assert.matches("^central%-auth: access_token %(from the environment variable CENTRAL_ACCESS_TOKEN%): the token"
      .. " expired at [%d: -]+ UTC by this machine's clock; set a new token", errors)
    assert.is_nil((errors .. shown):find(over.CENTRAL_ACCESS_TOKEN, 1, true))
  end)

  it("takes a file, a command and a profile, and says what overrides a profile", function()
    local file = process.write(home.folder .. "/token", token .. "\n", "600")
    local none = { CENTRAL_ACCESS_TOKEN = false }
    assert.equal(token .. "\n", (home:run("token", { CENTRAL_ACCESS_TOKEN = false, CENTRAL_ACCESS_TOKEN_FILE = file })))
    home:write_profile(("return { access_token_command = 'cat %s' }"):format(file), "lab")
    assert.equal(token .. "\n", (home:run("-p lab token", none)))
    assert.matches('^state +fresh\n', (home:run("-p lab status", none)))
    local printed, said = home:run "-p lab token"
    assert.equal(token .. "\n", printed)
    assert.equal('central-auth: the environment variable CENTRAL_ACCESS_TOKEN overrides the profile "lab"; unset it to'
      .. " use the profile\n", said)
    process.run("chmod 644 " .. file)
    assert.matches("is open to others %(mode 0644%): run chmod 600 ",
      home:fails("token", { CENTRAL_ACCESS_TOKEN = false, CENTRAL_ACCESS_TOKEN_FILE = file }))
  end)

  it("forgets none, as no process shares it", function()
    for _, line in ipairs { "invalidate", "logout" } do
      assert.matches("the token is ready%-made, and no process shares it", home:fails(line))
    end
    home:write_profile(("return { access_token = %q }"):format(token), "lab")
    local _, _, status = home:run("logout -y -p lab", { CENTRAL_ACCESS_TOKEN = false })
    assert.equal(0, status)
    assert.equal(1, select(2, process.run("test -e " .. home:profile "lab")))
  end)

  it("logs in as ever, which replaces a token in the profile", function()
    home:write_profile(("return { access_token = %q }"):format(token))
    local asked = home:fails("login", process.credentials(server, ""))
    assert.matches('the profile "default" has other credentials and was not changed: .*; %-%-yes replaces them', asked)
    local _, errors, status = home:run("login -y", process.credentials(server, ""))
    assert.equal(0, status, errors)
    assert.matches('\ncentral%-auth: the environment variable CENTRAL_ACCESS_TOKEN overrides the profile "default";'
      .. " unset it to use the profile\nNext: ", errors)
    local rest = process.credentials(server, "")
    rest.CENTRAL_ACCESS_TOKEN = false
    assert.is_nil(select(2, home:run("login", rest)):find "overrides") -- CENTRAL_CLIENT_ID is the one in the profile
    assert.matches("client_id = ", process.read(home:profile()))
    assert.is_nil(process.read(home:profile()):find "access_token")
  end)

  describe("has a doctor that", function()
    local function findings(more, options)
      local output, errors, status = home:run("doctor --json " .. (options or ""), more)
      assert.equal("", errors)
      local found = {}
      for _, finding in ipairs(cjson.decode(output)) do
        found[finding.check] = finding
      end
      assert.is_nil(output:find(token, 1, true))
      return found, status
    end

    it("finds nothing wrong, misses no client id and asks no token endpoint", function()
      local before = server:requests().token
      local found, status = findings()
      assert.equal(0, status)
      for check, finding in pairs(found) do
        assert.equal("ok", finding.result, check .. ": " .. finding.message)
      end
      assert.equal("a ready-made token (access_token from the environment variable CENTRAL_ACCESS_TOKEN)",
        found.credentials.message)
      assert.equal("it does not say when it expires", found.token.message)
      assert.matches("replies", found.base_url.message)
      assert.matches("of the server's", found.clock.message)
      assert.is_nil(found.token_url or found.secret or found["shared token"])
      assert.equal(before, server:requests().token)
      found, status = findings({ CENTRAL_BASE_URL = false, CENTRAL_ACCESS_TOKEN = jwt(600) })
      assert.equal("0 valid for 9 min", status .. " " .. found.token.message:sub(1, 15))
    end)

    it("names a token that is over, cannot be read, or is one credential too many", function()
      local found, status = findings({ CENTRAL_ACCESS_TOKEN = jwt(-5) }, "--offline")
      assert.equal("1 bad", status .. " " .. found.token.result)
      assert.matches("the token expired at", found.token.message)
      assert.is_nil(found.token.advice) -- the message has it
      found, status = findings { CENTRAL_ACCESS_TOKEN = false, CENTRAL_ACCESS_TOKEN_FILE = "/no/such" }
      assert.equal("1 bad", status .. " " .. found.token.result)
      assert.matches("No such file", found.token.message)
      assert.equal("see access_token_file in the manual", found.token.advice)
      found, status = findings { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRET = "s" }
      assert.equal("1 bad", status .. " " .. found.credentials.result)
      assert.matches("^client_secret .*conflicts with access_token", found.credentials.message)
    end)
  end)
end)

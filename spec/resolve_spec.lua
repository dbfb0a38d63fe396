-- Options from arguments, environment and profile: who wins, and how each mistake is named.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local config = require "central.auth.config.resolve"
local process = require "spec.support.process"

-- What config.resolve says in a process with this environment: its fields as lines, or the failure.
local SHOW = [[
local values, message, code, detail = require("central.auth.config.resolve").resolve(%s)
if not values then
  print(code, message, detail.option)
  return
end
for _, name in ipairs { "client_id", "token_url", "scope", "timeout", "profile" } do
  print(name, values[name], values.from[name])
end
print("secret", values.secret and values.secret.name, values.secret and values.secret.from)
]]

local folder

local function show(environment, arguments)
  return (child.run(SHOW:format(arguments or "{}"), environment))
end

-- A home with this profile, by default the default one; the environment that leads there.
local function home(profile, name)
  process.run("mkdir -p " .. folder .. "/central-auth")
  process.write(("%s/central-auth/%s.lua"):format(folder, name or "default"), profile, "600")
  return { XDG_CONFIG_HOME = folder }
end

local function with(environment, more)
  for name, value in pairs(more) do
    environment[name] = value
  end
  return environment
end

describe("config", function()
  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  it("fills in what nobody gave #valgrind", function()
    local values = assert(config.resolve { client_id = "id", client_secret = "hush", timeout = 5 })
    assert.equal("https://sso.common.cloud.hpe.com/as/token.oauth2", values.token_url)
    assert.equal("post", values.auth_style)
    assert.equal(5, values.connect_timeout)
    assert.matches("^central%-auth/%d", values.user_agent)
    assert.equal("the argument client_id", values.from.client_id)
  end)

  it("leads to the workspace's own endpoint #valgrind", function()
    local values = assert(config.resolve { client_id = "id", client_secret = "hush", workspace_id = "w-1" })
    assert.equal("https://global.api.greenlake.hpe.com/authorization/v2/oauth2/w-1/token", values.token_url)
  end)

  it("holds the secret in native memory alone #valgrind", function()
    local values = assert(config.resolve { client_id = "id", client_secret = "hush" })
    assert.is_nil(values.client_secret)
    assert.equal("secret (hidden)", tostring(values.secret.value))
  end)

  it("prefers arguments to the environment and that to the profile", function()
    local environment = with(home [[return {
        client_id = "from-profile", client_secret = "hush", scope = "profile", timeout = 7 }]],
      { CENTRAL_SCOPE = "environment", CENTRAL_TIMEOUT = "8" })
    local shown = show(environment, '{ timeout = 9 }')
    assert.matches("timeout\t9\tthe argument timeout", shown)
    assert.matches("scope\tenvironment\tthe environment variable CENTRAL_SCOPE", shown)
    assert.matches('client_id\tfrom%-profile\tthe profile "default" in /[^\n]+default.lua', shown)
    assert.matches('secret\tclient_secret\tthe profile "default"', shown)
  end)

  it("takes durations with a unit from the environment", function()
    local environment = { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRET = "hush", CENTRAL_TIMEOUT = "1500ms" }
    assert.matches("timeout\t1.5\tthe environment variable CENTRAL_TIMEOUT", show(environment))
    for value, problem in pairs { soon = "not a duration, like 30, 500ms, 2m or 1h", ["2h"] = "a number of seconds" } do
      environment.CENTRAL_TIMEOUT = value
      assert.matches("^config\ttimeout %(from the environment variable CENTRAL_TIMEOUT%): " .. problem,
        show(environment))
    end
  end)

  it("takes a secret in any form over those of lower places", function()
    local environment = with(home [[return { client_id = "i", client_secret = "hush" }]],
      { CENTRAL_CLIENT_SECRET_COMMAND = "pass central" })
    assert.matches("secret\tclient_secret_command\tthe environment", show(environment))
    assert.matches("secret\tclient_secret_file\tthe argument", show(environment, '{ client_secret_file = "/x" }'))
  end)

  it("refuses two forms of a secret, or two endpoints, in one place", function()
    local shown = show { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRET = "a", CENTRAL_CLIENT_SECRET_FILE = "/b" }
    assert.matches("^config\tclient_secret_file %(from the environment variable CENTRAL_CLIENT_SECRET_FILE%): "
      .. "conflicts with client_secret", shown)
    local _, message = config.resolve { client_id = "i", client_secret = "s", token_url = "https://h",
      workspace_id = "w" }
    assert.matches("workspace_id .*conflicts with token_url", message)
  end)

  it("chooses a profile by argument or variable", function()
    home([[return { client_id = "prod", client_secret = "y" }]], "prod")
    local environment = home([[return { client_id = "lab", client_secret = "x" }]], "lab")
    assert.matches("client_id\tlab", show(environment, '{ profile = "lab" }'))
    assert.matches("client_id\tprod", show(with(environment, { CENTRAL_PROFILE = "prod" })))
    home([[return { client_id = "usual", client_secret = "z" }]], "default")
    assert.matches("client_id\tusual", show(with(environment, { CENTRAL_PROFILE = "" })))
    assert.matches("^config\tno credentials", show(with(environment, { CENTRAL_PROFILE = "off" })))
    assert.matches('there is no profile "labb" in [^\n]*; existing profiles: default, lab, prod; did you mean "lab"',
      show(environment, '{ profile = "labb" }'))
  end)

  it("refuses the name of a profile that is a path, or hidden", function()
    local environment = home 'return { client_id = "x", client_secret = "y" }'
    process.run(("cd %s/central-auth && mkdir sub && for at in .hidden.lua ../default.lua sub/default.lua; do"
      .. " cp default.lua $at; done"):format(folder))
    for _, name in ipairs { "sub/default", "../default", ".hidden", "./default", "..", ".", "", "default\n", "a b",
      "d\u{E9}faut", folder .. "/central-auth/default" } do
      assert.matches("^config\tprofile %(from the argument profile%): only letters, digits, %-, _ and %. are allowed"
        .. " in a profile's name, and no %. at its start", show(environment, ("{ profile = %q }"):format(name)))
    end
    assert.matches("^client_id\tx\t", show(environment))
  end)

  it("reads HOME where XDG_CONFIG_HOME is not set, and works without either", function()
    process.run(("mkdir -p %s/.config/central-auth"):format(folder))
    process.write(folder .. "/.config/central-auth/default.lua",
      'return { client_id = "from-home", client_secret = "x" }', "600")
    assert.matches("client_id\tfrom%-home", show { HOME = folder })
    assert.matches("client_id\tfrom%-home", show { HOME = folder, XDG_CONFIG_HOME = "relative" })
    assert.matches("client_id\targ", show({}, '{ client_id = "arg", client_secret = "x" }'))
    assert.matches("neither XDG_CONFIG_HOME nor HOME", show({}, '{ profile = "lab" }'))
  end)

  it("names a variable that is wrong and does not repeat it", function()
    local good = { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRET = "hush" }
    for name, value in pairs { TIMEOUT = "soon", TOKEN_URL = "http://hush.example", AUTH_STYLE = "digest",
      CA_FILE = "/no/such", PARAMS = "hush", PROXY = "htp://hush", CLIENT_ID = "a\nhush", SCOPE = 'hush"' } do
      local rest = name == "CLIENT_ID" and { CENTRAL_CLIENT_SECRET = "x" } or good
      local shown = show(with({ ["CENTRAL_" .. name] = value }, rest))
      local expected = ("config\t%s (from the environment variable CENTRAL_%s): "):format(name:lower(), name)
      assert.is_truthy(shown:find(expected, 1, true), shown)
      assert.is_nil(shown:find("hush", 1, true), shown)
    end
  end)

  it("takes an empty variable as not set", function()
    assert.matches("client_id\targ\t", show({ CENTRAL_CLIENT_ID = "", CENTRAL_TIMEOUT = "" },
      '{ client_id = "arg", client_secret = "x" }'))
  end)

  it("names misspelt and empty variables where credentials are missing, and never their values", function()
    local message = show { CENTRAL_CLIENTID = "i", CENTRAL_SECRET = "hush", CENTRAL_TOKEN = "t",
      CENTRAL_FOOBAR = "hush" }
    assert.equal('config\tno credentials: run "central-auth login", or set CENTRAL_CLIENT_ID and CENTRAL_CLIENT_SECRET',
      message:match "^[^\n]*")
    local second, after = message:match "^[^\n]*\n(.-)\t(.*)$"
    assert.equal("client_id\n", after)
    assert.matches("^Profile: [^\n]*default.lua[^\n]*$", second)
    for _, said in ipairs { "CENTRAL_CLIENTID is not a variable of central-auth, and is ignored; did you mean "
      .. "CENTRAL_CLIENT_ID?", "CENTRAL_SECRET is not a variable of central-auth, and is ignored; did you mean "
      .. "CENTRAL_CLIENT_SECRET?", "CENTRAL_FOOBAR is not a variable of central-auth, and is ignored." } do
      assert.truthy(second:find(said, 1, true), second)
    end
    assert.is_nil(message:find("CENTRAL_TOKEN is", 1, true))
    assert.is_nil(message:find("hush", 1, true))
    message = show { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRET = "", CENTRAL_TOKEN = "" }
    assert.matches("^config\tno client secret: [^\n]*\n[^\n]*default.lua%. CENTRAL_CLIENT_SECRET is empty, and is"
      .. " ignored%.\tclient_secret\n$", message)
    message = show { CENTRAL_CLIENT_ID = "i", CENTRAL_CLIENT_SECRT = "hush" }
    assert.matches("^config\tno client secret: [^\n]*\n[^\n]*did you mean CENTRAL_CLIENT_SECRET%?\tclient_secret\n$",
      message)
  end)

  it("says what is missing, all three places, and how to get one", function()
    local shown = show(home "return {}")
    assert.matches("^config\tno credentials: run .central%-auth login.*CENTRAL_CLIENT_ID.*/central%-auth/default.lua%. "
      .. ".*Create Personal API client", shown)
    os.remove(folder .. "/central-auth/default.lua")
    assert.matches("default.lua: no such file; other profiles: lab%. ", show(home("return {}", "lab")))
    assert.matches("lab.lua%. ", show(home("return {}", "lab"), '{ profile = "lab" }'))
    assert.matches("default.lua: turned off by the environment variable CENTRAL_PROFILE%. ",
      show(with(home "return {}", { CENTRAL_PROFILE = "off" })))
    assert.matches("default.lua: turned off by the argument profile%. ", show(home "return {}", "{ profile = false }"))
    assert.matches("^config\tno client secret: .*CENTRAL_CLIENT_SECRET", show { CENTRAL_CLIENT_ID = "i" })
    local _, message = config.resolve { client_id = "i", client_secret = "s", key_file = "/etc/passwd" }
    assert.matches("key_file .*cert_file is not set", message)
  end)

  it("raises mistakes in the argument table, with the nearest name", function()
    assert.has_error(function() config.resolve "id" end, "a table of options expected, got string")
    local _, unknown = pcall(config.resolve, { clientid = "x" })
    assert.matches('unknown option "clientid"; did you mean "client_id"', unknown)
    local _, kind = pcall(config.resolve, { timeout = "30" })
    assert.matches("option timeout: number expected, got string", kind)
    local _, secret = pcall(config.resolve, { client_secret = 12345 })
    assert.matches("option client_secret: string or function expected, got number", secret)
  end)

  it("names a wrong option of a profile and where it stands", function()
    for text, expected in pairs {
      ['{ client_idd = "x" }'] = 'client_idd .*default.lua%): unknown option; did you mean "client_id"',
      ['{ timeout = "30" }'] = "timeout .*number expected, got string",
      ["{ client_secret = function() end }"] = "client_secret .*string expected, got function",
      ['{ on_event = "x" }'] = "on_event .*unknown option",
      ['{ profile = "x" }'] = "profile .*unknown option",
      ["{ timeout = -1 }"] = "timeout .*above 0",
    } do
      assert.matches(expected, show(home("return " .. text)))
    end
  end)
end)

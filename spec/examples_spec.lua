-- The examples that stand for a place where the library runs, each run as it would be there; those of event loops are
-- in event_loops_spec.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local inspection = require "spec.support.inspection"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local EXAMPLES = process.run("pwd"):gsub("\n", "") .. "/lua/examples/"

local folder, server

-- Exactly this environment, but for what an installed library would not need.
local function run(environment, command)
  local all = { LUA_PATH = package.path, LUA_CPATH = package.cpath, PATH = os.getenv "PATH" }
  for name, value in pairs(environment) do
    all[name] = value
  end
  return process.run("env -i " .. process.assignments(all) .. command)
end

local function lua(environment, words)
  return run(environment, "lua5.4 " .. EXAMPLES .. words)
end

-- A home with these profiles, the text of each by its name, and with a shell as cron gives it.
local function home(profiles)
  process.run(("mkdir -p %s/home/.config/central-auth"):format(folder))
  for name, text in pairs(profiles) do
    process.write(("%s/home/.config/central-auth/%s.lua"):format(folder, name), text, "600")
  end
  return { HOME = folder .. "/home", LOGNAME = "somebody", SHELL = "/bin/sh" }
end

local function profile(options)
  local fields = {}
  for name, value in pairs(options) do
    fields[#fields + 1] = ("%s = %q"):format(name, value)
  end
  return "return { " .. table.concat(fields, ", ") .. " }"
end

local function credentials()
  local options = server:options()
  options.cache = folder .. "/cache"
  return options
end

-- Whether a file holds the sandbox's access points.
local function is_list(path)
  return select(2, process.read(path):gsub('"serialNumber"', "")) == 12
end

before_each(function()
  folder, server = process.scratch(), sandbox.start()
  process.run("chmod 711 " .. folder) -- some examples run as somebody else
end)
after_each(function()
  server:close()
  process.remove(folder)
end)

describe("the example for cron", function()
  local environment, file

  before_each(function()
    file = folder .. "/aps.jsonl"
    environment = home { default = profile(credentials()) }
  end)

  it("keeps a list, is silent, and asks for one token in all its runs", function()
    for _ = 1, 3 do
      assert.same({ "", 0 }, { lua(environment, "cron.lua " .. file) })
    end
    assert.is_true(is_list(file))
    assert.same({ token = 1, api = 3 }, server:requests())
  end)

  it("gets another token where the API refuses the shared one", function()
    lua(environment, "cron.lua " .. file)
    server:revoke()
    assert.same({ "", 0 }, { lua(environment, "cron.lua " .. file) })
    assert.is_true(is_list(file))
    assert.same({ token = 2, api = 3 }, server:requests())
  end)

  it("says what is wrong and fails, and the old list stays", function()
    process.write(file, "the old list")
    environment.CENTRAL_CLIENT_ID = "nobody"
    local output, status = lua(environment, "cron.lua " .. file)
    assert.equal(1, status)
    assert.matches("^%S*lua5.4: page 1 of [^\n]*invalid_client[^\n]*\n$", output)
    environment.CENTRAL_CLIENT_ID = nil
    server:fail { status = 403, of = "api" }
    output, status = lua(environment, "cron.lua " .. file)
    assert.equal(1, status)
    assert.matches("^%S*lua5.4: page 1 of [^\n]*403[^\n]*\n$", output)
    assert.equal("the old list", process.read(file))
  end)
end)

describe("the example of several accounts", function()
  it("has a client for each, and one that fails does not stop the others", function()
    local good, bad = credentials(), credentials()
    bad.client_secret = "another secret, as long"
    local environment = home { lisbon = profile(bad), berlin = profile(good) }
    local output, status = lua(environment, "accounts.lua lisbon porto berlin")
    assert.equal(1, status)
    assert.matches("^lisbon\t[^\n]*invalid_client[^\n]*\nporto\t[^\n]*porto[^\n]*\nberlin\t12 access points\n$", output)
    assert.same({ "berlin\t12 access points\n", 0 }, { lua(environment, "accounts.lua berlin") })
  end)
end)

describe("the example of an MSP", function()
  local A, B = "1b2c3d4e0000111122223333444455aa", "1b2c3d4e0000111122223333444455bb"

  it("lists the gateways of each tenant, by one token each in all its runs", function()
    local environment = home { default = profile(credentials()) }
    for _ = 1, 2 do
      local output, status = lua(environment, ("msp.lua %s %s"):format(A, B))
      assert.equal(0, status, output)
      assert.matches(("^%s\tcore%%-01\tONLINE\n%s\tcore%%-02\tONLINE\n%s\tcore%%-01"):format(A, A, B), output)
    end
    assert.same({ token = 3, api = 4 }, server:requests())
  end)

  it("says which tenant failed, and goes on", function()
    local environment = home { default = profile(credentials()) }
    local output, status = lua(environment, "msp.lua no/workspace " .. B)
    assert.equal(1, status)
    assert.matches("no/workspace: .*none of 7 tenants has the name no/workspace", output)
    assert.matches(B .. "\tcore%-02", output)
  end)

  it("lists those of all tenants, or of one by its name", function()
    local environment = home { default = profile(credentials()) }
    local output, status = lua(environment, "msp.lua")
    assert.equal(0, status, output)
    assert.equal(14, select(2, output:gsub("\tONLINE\n", "")))
    output, status = lua(environment, "msp.lua tenant-03")
    assert.equal(0, status, output)
    assert.equal("tenant-03\tcore-01\tONLINE\ntenant-03\tcore-02\tONLINE\n", output)
  end)
end)

describe("the example of a poller", function()
  local environment

  before_each(function() environment = home { default = profile(credentials()) } end)

  it("ends after so many looks", function()
    local output, status = lua(environment, "poller.lua 0.01 3")
    assert.equal(0, status, output)
    assert.equal(3, select(2, output:gsub("\t12 access points\n", "")))
    assert.same({ token = 1, api = 3 }, server:requests())
  end)

  it("ends at once where waiting does not help", function()
    environment.CENTRAL_BASE_URL = "http://nowhere" -- in the clear
    local output, status = lua(environment, "poller.lua 0.01")
    assert.equal(1, status)
    assert.matches("base_url", output)
  end)

  it("goes on through renewals and an outage, which it tells once, and ends at a signal #slow", function()
    server:lifetime(2)
    environment.LUA_PATH, environment.LUA_CPATH = package.path, package.cpath
    local poller <close> = process.start { env = environment, log = folder .. "/log", command = {
      "lua5.4", EXAMPLES .. "poller.lua", "0.1",
    } }
    local function count(words)
      return select(2, poller:output():gsub(words, ""))
    end
    process.wait_until(function() return server:requests().token >= 3 end, 30, "renewals")
    assert.equal(0, count "HTTP status") -- nobody noticed
    server:fail { status = 500, times = math.huge, of = "api" }
    -- A call may take the 30 s of its timeout.
    process.wait_until(function() return count "HTTP status 500" > 0 end, 60, "the outage")
    local before = count "12 access points"
    server:recover()
    process.wait_until(function() return count "12 access points" > before + 1 end, 30, "the end of the outage")
    assert.equal(1, count "HTTP status 500")
    os.execute("kill " .. poller.pid)
    process.wait_until(function() return count "stopped" == 1 and not poller:alive() end, 30, "the end")
  end)
end)

describe("the example of metrics", function()
  it("writes what Prometheus reads, as a whole, and counts on", function()
    local environment, file = home { default = profile(credentials()) }, folder .. "/central.prom"
    server:fail { status = 503, times = 1, of = "api" }
    local before = os.time()
    assert.same({ "", 0 }, { lua(environment, ("metrics.lua %s 0.01 2"):format(file)) })
    assert.equal("central.prom\n", (process.run("cd " .. folder .. " && ls *.prom*")))
    local text, values, kind = process.read(file), {}, nil
    for line in text:gmatch "([^\n]*)\n" do -- as its format for text says
      local name, labels, value = line:match '^([%l_]+)(%b{}) ([%d.e+-]+)$'
      if not name then
        name, value = line:match "^([%l_]+) ([%d.e+-]+)$"
      end
      kind = line:match "^# TYPE ([%l_]+) %l+$" or kind
      assert.truthy(line:find "^# HELP [%l_]+ [%w ]" or line:find "^# TYPE " or name and name == kind, line)
      for label in (labels or ""):gsub("[{}]", ","):gmatch "[^,]+" do
        assert.matches('^%l+="[^"\\]*"$', label)
      end
      values[#values + 1] = name and { name .. (labels or ""), tonumber(value) } or nil
    end
    local host = server.base_url:match "//(.*)"
    local of, seconds = {}, 0
    for _, pair in ipairs(values) do
      seconds = seconds + (pair[1]:find "^central_request_seconds_total" and pair[2] or 0)
      of[pair[1]] = pair[2]
    end
    assert.equal(1, of[('central_requests_total{host="%s",method="POST",result="200"}'):format(host)])
    assert.equal(1, of[('central_requests_total{host="%s",method="GET",result="503"}'):format(host)])
    assert.equal(2, of[('central_requests_total{host="%s",method="GET",result="200"}'):format(host)])
    assert.equal(1, of['central_events_total{event="fetched",code=""}'])
    assert.equal(1, of['central_events_total{event="retry",code="http"}'])
    assert.is_true(seconds > 0 and seconds < 60)
    assert.is_true(math.abs(of.central_token_expiry_timestamp_seconds - before - 7199) < 60)
  end)

  it("counts failures too, and ends where waiting does not help", function()
    local environment, file = home { default = profile(credentials()) }, folder .. "/central.prom"
    server:fail { status = 400, times = math.huge, of = "api" }
    assert.same({ "", 0 }, { lua(environment, ("metrics.lua %s 0.01 2"):format(file)) })
    assert.matches('\ncentral_requests_total{[^\n]*,method="GET",result="400"} 2\n', process.read(file))
    environment.CENTRAL_BASE_URL = "http://nowhere"
    local output, status = lua(environment, ("metrics.lua %s 0.01"):format(file))
    assert.equal(1, status)
    assert.matches("base_url", output)
  end)
end)

describe("the example of TLS inspection #hosts #slow", function()
  local ASK = "lua5.4 -l auth=central.auth -e 'print(auth.token())'"
  local proxy

  before_each(function() proxy = inspection.start(folder .. "/proxy", server.ca_file) end)
  after_each(function() proxy:stop() end)

  -- The example with what is here in the place of its stand-ins.
  local function filled_in(ca_file)
    local secret = process.write(folder .. "/secret", server.client_secret, "600")
    local text, places = process.read(EXAMPLES .. "tls_inspection.lua"):gsub('([%w_]+) = "[^"]*"', {
      client_id = ("client_id = %q, token_url = %q, cache = false"):format(server.client_id,
        (server.token_url:gsub("127.0.0.1", "localhost"))),
      client_secret_file = ("client_secret_file = %q"):format(secret),
      proxy = ("proxy = %q"):format("http://" .. proxy.address),
      ca_file = ("ca_file = %q"):format(ca_file),
    })
    assert.equal(4, places)
    return text
  end

  it("trusts the company, and gets a token through it", function()
    local output, status = run(home { default = filled_in(proxy.ca_file) }, ASK)
    assert.equal(0, status, output)
    assert.matches("^%S+\n$", output)
    process.wait_until(function() -- squid writes it down a moment later
      return proxy.seen():find "POST https://localhost:%d+/as/token.oauth2"
    end, 30, "the request in what the proxy saw inside")
  end)

  it("without that trust is refused, and no secret goes out", function()
    local output = run(home { default = filled_in(server.ca_file) }, ASK)
    assert.matches("^nil\t.*\ttls\t", output)
    assert.is_nil(proxy.seen():find("POST", 1, true))
    assert.equal(0, server:requests().token)
  end)
end)

describe("the example for systemd", function()
  local UNIT = EXAMPLES .. "systemd/central-aps.service"

  it("is a unit that systemd takes", function()
    if not os.execute "command -v systemd-analyze >/dev/null" then
      return pending "systemd-analyze is not here"
    end
    local timer = UNIT:gsub("service$", "timer")
    assert.same({ "", 0 }, { process.run(("systemd-analyze --man=no verify %s %s"):format(UNIT, timer)) })
  end)

  it("works with what LoadCredential and the folders of a unit give", function()
    local text = process.read(UNIT):gsub("/usr/share/doc/lua%-central%-auth/examples/", EXAMPLES)
      :gsub("%%d", folder .. "/credentials"):gsub("%%[CS]", folder)
    local environment = { SSL_CERT_FILE = server.ca_file, CREDENTIALS_DIRECTORY = folder .. "/credentials" }
    for name, value in text:gmatch "\nEnvironment=([%w_]+)=([^\n]*)" do
      environment[name] = value
    end
    environment.CENTRAL_CLIENT_ID, environment.CENTRAL_BASE_URL = server.client_id, server.base_url
    environment.CENTRAL_TOKEN_URL, environment.CENTRAL_CLUSTER = server.token_url, nil
    -- As for a dynamic user: its folders are links.
    process.run(("cd %s && mkdir -m 700 -p credentials private/central-aps && ln -s private/* ."):format(folder))
    local name = text:match "\nLoadCredential=(%w+):"
    process.write(folder .. "/credentials/" .. name, server.client_secret .. "\n", "440") -- as systemd does
    for _ = 1, 2 do
      assert.same({ "", 0 }, { run(environment, text:match "\nExecStart=/usr/bin/([^\n]*)") })
    end
    assert.is_true(is_list(folder .. "/central-aps/aps.jsonl"))
    assert.equal(1, server:requests().token)
  end)
end)

describe("the example of a container", function()
  local flags = apart.flags "m"

  apart.only(_ENV, flags, "no mount namespace of one's own")(
    "takes the secret from where engines put it, and keeps the token on the volume", function()
    local environment, copy = process.copy_for_others(folder)
    local text = process.read(EXAMPLES .. "container/Containerfile"):gsub("/data", folder .. "/data")
      :gsub("/opt/", copy .. "/lua/examples/")
    process.run(("cp %s %s/ca.pem"):format(server.ca_file, folder))
    environment.SSL_CERT_FILE, environment.CENTRAL_CLIENT_ID = folder .. "/ca.pem", server.client_id
    environment.CENTRAL_BASE_URL, environment.CENTRAL_TOKEN_URL = server.base_url, server.token_url
    for name, value in text:match "\nENV ([^\n]*)":gmatch "([%w_]+)=(%S+)" do
      environment[name] = value
    end
    local words = text:match "\nCMD %[([^\n]*)%]":gsub(",", " ")
    process.write(folder .. "/secret", server.client_secret, "444") -- as engines do, root's
    local as_nobody = process.run "id -u" == "0\n" and "setpriv --reuid=nobody --regid=nogroup --clear-groups " or ""
    local script = process.write(folder .. "/container", ([[
      mkdir -p /run/secrets && mount -t tmpfs tmpfs /run/secrets && cp %s/secret /run/secrets/central &&
      install -d -m 700 %s %s/data && cd / && %s%s && %s%s]]):format(
      folder, as_nobody ~= "" and "-o nobody" or "", folder, as_nobody, words, as_nobody, words))
    assert.same({ "", 0 }, { run(environment, ("unshare %s sh %s"):format(flags, script)) })
    assert.is_true(is_list(folder .. "/data/aps.jsonl"))
    assert.same({ token = 1, api = 2 }, server:requests())
  end)
end)

describe("the example of embedding in C #hosts #foreign", function()
  it("has 40 lines, builds, and prints a header, or why there is none", function()
    assert.is_true(select(2, process.read(EXAMPLES .. "embed.c"):gsub("\n", "")) <= 40)
    local output, status = process.run(("cc -Wall -Werror %sembed.c -o %s/embed $(pkg-config --cflags --libs lua5.4)")
      :format(EXAMPLES, folder))
    assert.equal(0, status, output)
    output, status = run(process.credentials(server, "off"), folder .. "/embed")
    assert.equal(0, status)
    assert.matches("^Authorization: Bearer %S+\n$", output)
    output, status = run({ HOME = folder }, folder .. "/embed")
    assert.equal(1, status)
    assert.matches("^no credentials", output)
  end)
end)

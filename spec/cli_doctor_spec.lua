-- central-auth doctor: a line for each thing a token depends on, what to do where one is wrong, and no secret in it.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config.resolve").VERSION
local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local socket = require "socket"
local tinyproxy = require "spec.support.tinyproxy"

describe("central-auth doctor", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  -- What it found: check -> { result, message, advice }, and its exit status.
  local function findings(more)
    local output, errors, status = home:run("doctor --json", more)
    assert.equal("", errors)
    local found = {}
    for _, finding in ipairs(cjson.decode(output)) do
      found[finding.check] = finding
    end
    assert.is_nil(output:find(server.client_secret, 1, true))
    assert.is_nil(output:find(server.client_id, 1, true))
    return found, status
  end

  local function assert_finds(check, result, message, advice, more)
    local found, status = findings(more)
    local finding = assert(found[check], check)
    assert.equal(result, finding.result, finding.message)
    assert.equal(result == "bad" and 1 or 0, status)
    assert.matches(message, finding.message)
    assert.matches(advice, finding.advice or "")
  end

  it("goes on where libcurl can't be loaded", function()
    local without = 'package.preload["central.auth.http"] = function() error "central.auth.http: no libcurl" end'
    local found, status = findings { LUA_INIT_5_4 = without }
    assert.equal(1, status)
    assert.equal("bad", found.versions.result)
    assert.matches("install libcurl4", found.versions.advice)
    assert.truthy(found["shared token"])
  end)

  it("logs once that records can't be kept, though it has several clients", function()
    local open = home.folder .. "/open"
    process.run(("mkdir -p -m 777 %s/central-auth %s/.cache/central-auth"):format(open, open))
    local _, log = home:run("doctor", { XDG_RUNTIME_DIR = open, XDG_CACHE_HOME = open, HOME = open,
      CENTRAL_LOG = "info" })
    assert.equal(1, select(2, log:gsub("cache_error", "")), log)
  end)

  it("finds nothing wrong where all is well, in a line each", function()
    local output, errors, status = home:run "doctor"
    assert.equal("0 ", status .. " " .. errors)
    for _, check in ipairs { "versions", "tls keys", "profile file", "credentials", "secret", "proxy", "dns", "tcp",
      "tls", "http", "clock", "token", "shared token" } do
      assert.truthy(("\n" .. output):find("\nok   " .. check .. " ", 1, true), check .. "\n" .. output)
    end
    assert.is_nil(output:find("->", 1, true))
    assert.is_nil(output:find(server.client_secret, 1, true))
    assert.equal("", (home:run "doctor --quiet"))
  end)

  it("tells versions, and of SSLKEYLOGFILE", function()
    assert_finds("versions", "ok", "central%-auth " .. VERSION
      .. ", Lua 5.4, lua%-cjson [%d.]+, libcurl/[%d.]+ OpenSSL/", "")
    assert_finds("tls keys", "note", "/tmp/keys", "unset SSLKEYLOGFILE", { SSLKEYLOGFILE = "/tmp/keys" })
  end)

  it("tells of missing and refused credentials", function()
    assert_finds("credentials", "bad", "no client id", "central%-auth login", { CENTRAL_CLIENT_ID = "" })
    assert_finds("token", "bad", "invalid_client", "central%-auth login", { CENTRAL_CLIENT_SECRET = "not the secret" })
    assert_finds("credentials", "bad", "No such file", "^$", { CENTRAL_CA_FILE = "/nowhere" }) -- login is no help there
    local found = findings { CENTRAL_CLIENT_SECRET = "short" }
    assert.matches("5 bytes", found.secret.message)
    assert.matches("cannot encrypt a shared token", found.secret.advice)
  end)

  it("tells of files that others may read, with the chmod to run", function()
    local path = process.write(home.folder .. "/secret", server.client_secret, 644)
    assert_finds("secret", "bad", "mode 0644", "", { CENTRAL_CLIENT_SECRET = false, CENTRAL_CLIENT_SECRET_FILE = path })
    home:write_profile("return {}", "default", 644)
    assert_finds("profile file", "note", "mode 0644", "^chmod 600 " .. home:profile():gsub("%-", "%%-"))
    assert_finds("profile file", "ok", "CENTRAL_PROFILE is off", "^$", { CENTRAL_PROFILE = "off" })
    local found = findings { CENTRAL_PROFILE = "lab" }
    assert.matches("there is no file .*/lab.lua", found["profile file"].message)
    assert.matches('there is no profile "lab"', found.credentials.message)
    assert.is_nil(found.credentials.advice)
  end)

  it("tells how far the way to the server goes", function()
    local nobody = ("https://127.0.0.1:%d/"):format(process.free_port())
    assert_finds("dns", "bad", "resolve host", "look up the name", { CENTRAL_TOKEN_URL = "https://no.invalid/" })
    local found = findings { CENTRAL_TOKEN_URL = nobody }
    assert.equal("ok", found.dns.result)
    assert.equal("bad", found.tcp.result)
    assert.is_nil(found.tls)
    found = findings { CENTRAL_CA_FILE = "" }
    assert.equal("ok", found.tcp.result)
    assert.equal("bad", found.tls.result)
    assert.matches("checked by the system's trust store: .* to ca_file", found.tls.advice)
    local other_ca <close> = sandbox.start()
    assert_finds("tls", "bad", "certificate", "checked by ca_file " .. other_ca.ca_file:gsub("%p", "%%%0") .. ":",
      { CENTRAL_CA_FILE = other_ca.ca_file })
    local elsewhere = server.base_url .. "/sandbox/elsewhere"
    assert_finds("token_url", "bad", "404", "not a token endpoint", { CENTRAL_TOKEN_URL = elsewhere })
  end)

  -- A listener that accepts so many connections and says nothing; `full`: none any more.
  local function silent(full)
    local listener = assert(socket.bind("127.0.0.1", 0, full and 0 or 8))
    local address, port = listener:getsockname()
    local callers = setmetatable({}, { __close = function(callers)
      for _, each in ipairs(callers) do
        each:close()
      end
    end })
    for i = 1, full and 3 or 0 do
      callers[i] = socket.tcp()
      callers[i]:settimeout(0)
      callers[i]:connect(address, port)
    end
    callers[#callers + 1], callers.address = listener, address .. ":" .. port
    return callers
  end

  it("tells where the way falls silent: TCP, TLS, the proxy or the server #slow", function()
    local full <close> = silent(true)
    local deaf <close> = silent()
    local mute <close> = sandbox.start()
    mute:latency(60)
    for _, case in ipairs {
      { "tcp", "missing proxy", { CENTRAL_TOKEN_URL = "https://" .. full.address } },
      { "tls", "the server does not use TLS", { CENTRAL_TOKEN_URL = "https://" .. deaf.address } },
      { "tcp", "the proxy's address", { CENTRAL_PROXY = "http://" .. full.address } },
      { "tunnel", "the proxy does not reply", { CENTRAL_PROXY = "http://" .. deaf.address } },
      { "http", "the server does not reply", { CENTRAL_TOKEN_URL = mute.token_url, CENTRAL_CA_FILE = mute.ca_file } },
    } do
      local check, advice, more = table.unpack(case)
      more.CENTRAL_CONNECT_TIMEOUT, more.CENTRAL_TIMEOUT = "0.6", "1.2"
      local found, status = findings(more)
      assert.equal("1 bad", status .. " " .. (found[check] or { result = "no " .. check }).result)
      assert.matches("timed? ?out", found[check].message:lower())
      assert.matches(advice, found[check].advice)
      local before = { tcp = "dns", tls = "tcp", tunnel = "tcp", http = "tls" }
      assert.equal("ok", found[before[check]].result)
    end
  end)

  it("tells of a resolver that is silent", function()
    local way, told = require "central.auth.cli.doctor.connection", {}
    local outcome = { took = 10, code = "timeout", message = "Resolving timed out", detail = {} }
    way({ token_url = "https://token.example:8443/x" }, nil, outcome, function(...) told[#told + 1] = { ... } end)
    assert.same({ { "bad", "dns", "Resolving timed out",
      "look up the name (getent hosts token.example); check /etc/resolv.conf, or set a proxy" } }, told)
  end)

  it("tells of the proxy, and not its password", function()
    local remote = { CENTRAL_TOKEN_URL = "https://token.example/x", https_proxy = "http://somebody:hush@127.0.0.1:1" }
    local found = findings(remote)
    assert.equal("http://127.0.0.1:1 (from the environment variable https_proxy)", found.proxy.message)
    assert.equal("127.0.0.1 is an address", found.dns.message) -- the server's name is for the proxy to look up
    assert.equal("bad", found.tcp.result)
    assert.is_nil(cjson.encode(found):find("hush", 1, true))
    remote.no_proxy = "other.example, .Example"
    found = findings(remote)
    assert.matches("^none: no_proxy excludes token.example", found.proxy.message)
    assert.matches("token.example", found.dns.message)
    remote.CENTRAL_TOKEN_URL, remote.no_proxy = "https://192.0.2.7/x", "10.0.0.0/8 192.0.2.0/24"
    assert.matches("^none: no_proxy excludes 192.0.2.7", findings(remote).proxy.message)
    remote.no_proxy = "192.0.2.8/31, 192.0.2.7/33"
    assert.matches("^http://127.0.0.1:1 ", findings(remote).proxy.message)
    found = findings { CENTRAL_PROXY = "http://somebody:hush@127.0.0.1:1" }
    assert.matches("^http://127.0.0.1:1 ", found.proxy.message)
    assert.is_nil(cjson.encode(found):find("hush", 1, true))
    assert.equal("bad", found.tcp.result)
    found = findings { https_proxy = "http://127.0.0.1:1" } -- the core asks it nothing about this machine
    assert.matches("^none: 127.0.0.1 is on this machine", found.proxy.message)
    assert.equal("ok", found.token.result)
  end)

  it("tells of the way through a proxy, and of one that refuses", function()
    local proxy <close> = tinyproxy.start(home.folder)
    local found, status = findings { CENTRAL_PROXY = "http://" .. proxy.address }
    assert.equal(0, status)
    assert.equal(("the proxy http://%s accepts connections"):format(proxy.address), found.tcp.message)
    assert.equal("the proxy connects to " .. server.base_url:match "[%d.:]+$", found.tunnel.message)
    assert.equal("ok", found.http.result)
    for answer, advice in pairs { [403] = "ask the proxy's administrator to allow 127.0.0.1:%d+",
      [407] = "needs a user and a password" } do
      local refusing <close> = rude.start { replies = rude.reply(answer) }
      assert_finds("tunnel", "bad", tostring(answer), advice, { CENTRAL_PROXY = "http://127.0.0.1:" .. refusing.port })
    end
    local spoken <close> = sandbox.start() -- TLS, by an authority that is not that of `server`
    assert_finds("tunnel", "bad", "certificate", "the proxy's own", { CENTRAL_PROXY = spoken.base_url })
  end)

  it("notes variables that are misspelt, with the nearest, and none that are not", function()
    assert_finds("variables", "note", "^CENTRAL_CLINET_ID is not a variable of central%-auth.*; did you mean "
      .. "CENTRAL_CLIENT_ID%?$", "", { CENTRAL_CLINET_ID = "hush" })
    assert_finds("variables", "note", "did you mean CENTRAL_PROFILE", "", { central_profile = "x" })
    local output = home:run("doctor --offline", { CENTRAL_TIMEOUT = "5", CENTRAL_TOKEN = "x", CENTRAL_CACHE = "on" })
    assert.is_nil(output:find("variables", 1, true))
  end)

  it("tells of a clock that is wrong, and of a redirect", function()
    local old <close> = rude.start { replies = rude.reply(400, { Date = "Tue, 01 Jan 2019 00:00:00 GMT" }) }
    local found = findings { CENTRAL_TOKEN_URL = old.url }
    assert.equal("bad", found.clock.result)
    assert.matches("^this clock is %d+ s fast$", found.clock.message)
    assert.matches("timedatectl", found.clock.advice)
    local other <close> = rude.start { replies = rude.reply(302, { Location = "https://login.example/x?y" }) }
    found = findings { CENTRAL_TOKEN_URL = other.url }
    assert.equal("bad", found.token_url.result)
    assert.matches("redirects %(HTTP 302%) to login.example$", found.token_url.message)
  end)

  it("names a clock that is years behind where TLS fails #clocks", function()
    local library = process.run("ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null"):match "%S+"
    local found, status = findings { LD_PRELOAD = library, FAKETIME = "@1970-01-02 00:00:00", DONT_FAKE_MONOTONIC = "1",
      FAKETIME_DONT_FAKE_MONOTONIC = "1" }
    assert.equal(1, status)
    assert.equal("bad", found.tls.result)
    assert.matches("^set the clock first", found.tls.advice)
    assert.equal("bad", found.clock.result)
    assert.matches("^this clock shows 1970%-01%-02 ", found.clock.message)
    assert.matches("timedatectl", found.clock.advice)
  end)

  it("names files of trust in the environment that are not there", function()
    local own = { CENTRAL_CA_FILE = false, SSL_CERT_FILE = "/nowhere/ca.pem" }
    assert_finds("trust", "bad", "^SSL_CERT_FILE names /nowhere/ca.pem: No such file", "^unset SSL_CERT_FILE", own)
    own.SSL_CERT_FILE, own.SSL_CERT_DIR = server.ca_file, "/tmp:/nowhere/certs"
    assert_finds("trust", "note", "^SSL_CERT_DIR names /nowhere/certs: No such file", "^unset SSL_CERT_DIR", own)
    assert.is_nil(findings({ SSL_CERT_FILE = "/nowhere/ca.pem" }).trust) -- ca_file counts
  end)

  it("tries base_url, too", function()
    assert.is_nil(findings().base_url)
    assert_finds("base_url", "ok", "^" .. server.base_url:gsub("%p", "%%%0") .. " replies %(HTTP %d+%)$", "",
      { CENTRAL_BASE_URL = server.base_url })
    assert_finds("base_url", "bad", "^https://no.invalid: .*resolve host", "look up the name %(getent hosts no.invalid",
      { CENTRAL_BASE_URL = "https://no.invalid" })
    local plain <close> = rude.start { handler = function() end }
    local mute = ("https://127.0.0.1:%d"):format(plain.port)
    local found = findings { CENTRAL_BASE_URL = mute }
    assert.equal("bad", found.base_url.result)
    assert.matches("check the port in base_url", found.base_url.advice)
    assert.equal("ok", found.token.result)
    local refused = findings { CENTRAL_BASE_URL = server.base_url, CENTRAL_TOKEN_URL = "https://no.invalid/" }
    assert.equal("ok", refused.base_url.result)
    assert.is_nil(home:run("doctor --offline", { CENTRAL_BASE_URL = server.base_url }):find("base_url", 1, true))
  end)

  it("names each source of a proxy", function()
    local remote = { CENTRAL_TOKEN_URL = "https://token.example/x", CENTRAL_PROXY = "http://127.0.0.1:1",
      https_proxy = "http://somebody:hush@127.0.0.1:2", ALL_PROXY = "http://127.0.0.1:3" }
    local found = findings(remote)
    assert.equal("http://127.0.0.1:1 (from the environment variable CENTRAL_PROXY); not used: the environment variable "
      .. "https_proxy, the environment variable ALL_PROXY", found.proxy.message)
    remote.CENTRAL_PROXY, remote.https_proxy = false, "foo://somebody:hush@127.0.0.1:2"
    found = findings(remote)
    assert.equal("bad", found.proxy.result)
    assert.matches("%(from the environment variable https_proxy%)$", found.proxy.message)
    assert.is_nil(cjson.encode(found):find("hush", 1, true))
    remote.no_proxy = "*"
    assert.matches("%(the proxy from the environment variable https_proxy, the environment variable ALL_PROXY is not"
      .. " used%)$", findings(remote).proxy.message)
  end)

  it("notes that Redis is out of reach, also where a token lies in the folder", function()
    local url = ("redis://127.0.0.1:%d"):format(process.free_port())
    home:run "token"
    assert_finds("shared token", "note", "^" .. url .. ": Connection refused", "each machine gets a token",
      { CENTRAL_CACHE = url })
    assert.is_nil(home:run("doctor --offline", { CENTRAL_CACHE = url }):find("listens", 1, true))
  end)

  it("tells why nothing is shared", function()
    assert_finds("shared token", "note", "switched off", "CENTRAL_CACHE", { CENTRAL_CACHE = "off" })
    process.run(("mkdir -m 755 %s/open"):format(home.folder))
    assert_finds("shared token", "note", "open to others", "chmod 700", { CENTRAL_CACHE = home.folder .. "/open" })
  end)

  it("asks nobody with --offline", function()
    local before = server:requests()
    local output = home:run "doctor --offline"
    assert.same(before, server:requests())
    assert.is_nil(output:find("dns", 1, true))
  end)
end)

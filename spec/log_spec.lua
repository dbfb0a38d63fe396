-- What the option `log`, CENTRAL_LOG and --verbose write, and what they never write: events and requests, as a person
-- sees them on standard error, and every secret in each form that a wire may bring back.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local child = require "spec.support.child"
local command = require "spec.support.command"
local localhost = require "spec.support.localhost"
local mime = require "mime"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local tinyproxy = require "spec.support.tinyproxy"
local with = require "spec.support.with"

local APS = "/network-monitoring/v1/aps"

describe("the log", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function()
    home = command.home(server, { CENTRAL_BASE_URL = server.base_url })
    server:recover()
  end)
  after_each(function() home:remove() end)

  local function assert_line(pattern, text)
    for line in text:gmatch "[^\n]+" do
      if line:find("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ central%-auth: " .. pattern .. "$") then
        return
      end
    end
    error(("no line %s in\n%s"):format(pattern, text), 2)
  end

  local REQUEST = "request method=%s host=127%%.0%%.0%%.1:%%d+ path=%s %s seconds=%%d+%%.%%d%%d%%d attempt=%d"
  local TOKEN = REQUEST:format("POST", "/as/token%.oauth2", "status=200", 1)

  it("has a line for each request and event, on standard error", function()
    server:fail { status = 503, times = 1, of = "api" }
    local output, errors, status = home:run(("api -v '%s?limit=1' --raw"):format(APS))
    assert.equal(0, status)
    assert.matches("^{.*}$", output)
    assert_line(TOKEN, errors)
    assert_line("fetched expires_in=%d+%.%d%d%d", errors)
    assert_line(REQUEST:format("GET", APS:gsub("%-", "%%-"), "status=503", 1), errors)
    assert_line('retry code=http message="GET /network%-monitoring/v1/aps: HTTP status 503"', errors)
    assert_line(REQUEST:format("GET", APS:gsub("%-", "%%-"), "status=200", 2), errors)
    assert.equal(5, select(2, errors:gsub("\n", "")))
    assert.is_nil(errors:find("limit", 1, true)) -- part of a query
    output, errors = home:run "token --verbose"
    assert.matches("^%S+\n$", output)
    assert_line("shared expires_in=%d+%.%d%d%d", errors)
    assert.equal(1, select(2, errors:gsub("\n", "")))
  end)

  it("names a failure that has no status", function()
    local errors = select(2, home:run("token -v",
      { CENTRAL_TOKEN_URL = "http://127.0.0.1:1/x", CENTRAL_TIMEOUT = "0.2" }))
    assert_line(REQUEST:format("POST", "/x", "code=connect", 1), errors)
    assert_line('failed code=connect message=".+"', errors)
  end)

  it("is switched on by an argument, a variable or a profile, in this order; and is off", function()
    assert.equal("", (select(2, home:run "token")))
    assert_line("shared .*", (select(2, home:run("token", { CENTRAL_LOG = "info" }))))
    home:write_profile 'return { log = "info" }'
    assert_line("shared .*", (select(2, home:run "token")))
    local debug = select(2, home:run("renew -q", { CENTRAL_LOG = "debug" }))
    assert.matches("\n  > POST ", debug)
    assert.is_nil(select(2, home:run("renew -q -v", { CENTRAL_LOG = "debug" })):find("\n  > ", 1, true))
    assert.matches('CENTRAL_LOG%): "trace" is not one of info, debug', home:fails("token", { CENTRAL_LOG = "trace" }))
    assert.matches("\n  > POST ", (select(2, home:run "renew -vvv")))
  end)

  it("is in every subcommand that makes requests", function()
    for _, line in ipairs { "token", "renew", "status", "invalidate", "exec true", "api-clients list", "doctor",
      "api " .. APS } do
      local errors = select(2, home:run((line:gsub("^%S+", "%0 -v"))))
      assert.matches("Z central%-auth: %l+", errors, 1, false)
    end
    local doctor = select(2, home:run "doctor -v --json")
    assert_line(REQUEST:format("POST", "/as/token%.oauth2", "status=40%d", 1), doctor) -- without credentials
    assert_line(REQUEST:format("GET", "/", "status=401", 1), doctor)
    local login = select(2, home:run("login -v --client-id " .. server.client_id .. " --client-secret-file -", nil,
      server.client_secret))
    assert_line(TOKEN, login)
  end)

  it("with debug has header fields, address, TLS, certificate, and whether the connection was kept", function()
    local errors = select(2, home:run(("api -vv '%s?limit=1'"):format(APS)))
    for _, pattern in ipairs {
      "\n  > POST /as/token%.oauth2 HTTP/1%.1\n", "\n  > Content%-Type: application/x%-www%-form%-urlencoded\n",
      "\n  < HTTP/1%.1 200 OK\n", "\n  < content%-type: application/json\n",
      "\n  > GET /network%-monitoring/v1/aps%?limit=1 HTTP/1%.1\n", "\n  > Authorization: %[hidden%]\n",
      "\n  %* [^\n]*onnect[^\n]* to 127%.0%.0%.1 %(127%.0%.0%.1%)? port %d+",
      "\n  %*  *SSL connection using TLSv1%.3 ", "\n  %*  *issuer: CN=central%-auth throw%-away CA\n",
      "\n  %* Re%-?using existing [^\n]*connection",
    } do
      assert.matches(pattern, errors)
    end
    assert.is_nil(errors:find(server.client_secret, 1, true))
    assert.is_nil(errors:find("grant_type", 1, true))
    assert.is_nil(errors:find((home:run "token"):sub(1, -2), 1, true))
  end)

  it("costs nothing where it is off, and does no harm where standard error is closed", function()
    local code = ([[
      local options = %s
      local client = require("central.auth").new(options)
      assert(client:token())
      assert(client:get "%s")
      for name in pairs(package.loaded) do print(name:match "^central%%.auth%%.token%%.(%%l*log)$"
        or name:match "^central%%.auth%%.token%%.(events)$") end
    ]]):format(rude.literal(server:options()), APS)
    assert.equal("", (child.run(code):gsub("nil\n", "")))
    local output, status = process.run(home:words("token -vv 2>&-"))
    assert.equal(0, status)
    assert.matches("^%S+\n$", output)
  end)

  it("goes to a function after the fact, which may call anything here, and whose errors are its own", function()
    local client, lines
    lines = {}
    client = assert(auth.new(with(server:options(), { log = function(line)
      lines[#lines + 1] = line
      assert(client:token())
      error "oops"
    end })))
    assert(client:get(APS))
    assert.matches("^" .. TOKEN .. "$", lines[1])
    assert.matches("^%* ", lines[2])
    local text = table.concat(lines, "\n")
    assert.matches("\nfetched expires_in=", text)
    assert.matches("\n> GET ", text)
    client:close()
    for _, value in ipairs { true, 1, {} } do
      assert.is_false(pcall(auth.new, with(server:options(), { log = value })))
    end
    assert.matches("log %(from the argument log%)", (select(2, auth.new(with(server:options(), { log = "verbose" })))))
  end)
end)

describe("the event of a request", function()
  it("has method, host, path, status or code, seconds and attempt", function()
    local server <close> = sandbox.start()
    local events = {}
    local client <close> = assert(auth.new(with(server:options(), { on_event = function(event)
      events[#events + 1] = event.event == "request" and event or nil
    end })))
    local host = server.base_url:match "//(.*)"
    server:fail { status = 503, times = 1, of = "token" }
    assert(client:post("/sandbox/v1/echo?secret=1", { json = {} }))
    client:get("http://127.0.0.1:1", { retry = false })
    assert(client:tenant("1b2c3d4e0000111122223333444455aa", { base_url = "http://127.0.0.1:1" }):get("/x",
      { retry = false, timeout = 1 }) == nil)
    assert(client:close { revoke = true })
    local shown = {}
    for i, event in ipairs(events) do
      assert.is_true(event.seconds >= 0 and event.seconds < 30)
      event.seconds, event.event = nil, nil
      shown[i] = event
    end
    local token, tenant = "/as/token.oauth2", "/authorization/v2/oauth2/1b2c3d4e0000111122223333444455aa/token"
    assert.same({
      { method = "POST", host = host, path = token, status = 503, attempt = 1 },
      { method = "POST", host = host, path = token, status = 200, attempt = 2 },
      { method = "POST", host = host, path = "/sandbox/v1/echo", status = 200, attempt = 1 },
      { method = "POST", host = host, path = tenant, status = 200, attempt = 1 },
      { method = "GET", host = "127.0.0.1:1", path = "/x", code = "connect", attempt = 1 },
      { method = "POST", host = host, path = "/as/revoke_token.oauth2", status = 200, attempt = 1 },
    }, shown)
  end)
end)

-- --- secrets ---------------------------------------------------------------------------------------------------------

local function encoded(text)
  return (text:gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

describe("no line of the log has a secret", function()
  local ID = "an-identifier"
  local SECRETS = {
    secret = "S3cret/with+odd %characters", assertion = "eyJhbGci.the-assertion.x", token = "the-token-4711+/=",
    tenant = "the-tenants-token-0815", proxy = "D@mpf/schiff 47", redis = "PassW0rd-of-Redis",
  }
  local forms, server

  -- All forms of these secrets that a hostile server may send back.
  local function forms_of(...)
    local list = {}
    for _, name in ipairs { ... } do
      local secret = SECRETS[name]
      local code = encoded(secret)
      local form_code = code:gsub("%%20", "+")
      for _, form in ipairs { secret, code, code:lower(), form_code, secret:upper() } do
        list[#list + 1] = form
      end
      if name == "secret" then
        list[#list + 1], list[#list + 2] = mime.b64(ID .. ":" .. secret), mime.b64(ID .. ":" .. form_code)
      elseif name == "proxy" then
        list[#list + 1] = mime.b64("user:" .. secret)
      end
    end
    return list
  end

  setup(function()
    forms = { secret = forms_of "secret", assertion = forms_of "assertion", tenant = forms_of "tenant",
      other = forms_of("token", "proxy", "redis") }
    server = rude.start {
      data = { forms = forms, token = SECRETS.token, tenant = SECRETS.tenant },
      handler = function(conn, request) -- it sends what the client knows, too
        local headers = { ["X-Control"] = "a\27[31mb", Location = "https://a.example/x?code=hush",
          Link = "<https://a.example/y#access_token=hush>; rel=next" }
        local is_tenant = request.path:find "/tenant"
        local own = request.path:find "/assertion" and "assertion" or not request.path:find "/made" and "secret"
        for name, list in pairs(conn.data.forms) do
          local is_known = name == "other" or name == "tenant" and is_tenant or name == own
          for i, form in ipairs(is_known and list or {}) do
            headers[("X-Form-%s-%d"):format(name == "tenant" and "t" or "o", i) .. #name] = form
          end
        end
        local token = request.path:find "/tenant/token" and conn.data.tenant or conn.data.token
        local grant = ('{"access_token":"%s","token_type":"Bearer","expires_in":3600}'):format(token)
        conn:write(require("spec.support.rude").reply(200, headers, request.path:find "token" and grant or "{}"))
      end,
    }
  end)
  teardown(function() server:close() end)

  local function assert_clean(text)
    local lower = text:lower()
    for _, list in pairs(forms) do
      for _, form in ipairs(list) do
        assert.is_nil(lower:find(form:lower(), 1, true), form)
      end
    end
    assert.is_nil(text:find("hush", 1, true))
    assert.is_nil(text:find("[^\n\x20-\x7E]"))
  end

  -- All lines of a client with these options, and the number of traces with redacted secrets.
  local function lines_of(options)
    local lines = {}
    local base = server.url:match "^http://[^/]+" .. (options.client_assertion and "/assertion" or "")
    local client <close> = assert(auth.new(with({
      client_id = ID, client_secret = not options.client_assertion and SECRETS.secret or nil,
      token_url = base .. "/token", base_url = base, greenlake_url = base,
      revocation_url = base .. "/revoke", cache = false, cache_password = SECRETS.redis,
      proxy = ("http://user:%s@127.0.0.1:1"):format(encoded(SECRETS.proxy)),
      log = function(line) lines[#lines + 1] = line end,
    }, options)))
    assert(client:get("/x", { query = { q = "v" } }))
    assert(client:renew())
    if not options.client_assertion then
      assert(client:tenant("1b2c3d4e0000111122223333444455aa", { token_url = base .. "/tenant/token",
        base_url = base .. "/tenant" }):get "/y")
    end
    assert(client:close { revoke = true })
    local text = table.concat(lines, "\n")
    assert.matches("\n< X%-Control: a\\u{1B}%[31mb\n", text)
    assert.matches("\n< Location: https://a.example/x%?%.%.%.\n", text)
    assert.matches("\n< Link: <https://a.example/y#%.%.%.>; rel=next\n", text)
    return text, select(2, text:gsub("\n< X%-Form%-o%-15: %[redacted%]", ""))
  end

  it("where the token is ready-made", function()
    local lines, base = {}, server.url:match "^http://[^/]+"
    local client <close> = assert(auth.new { access_token = SECRETS.token, base_url = base .. "/made",
      cache = false, cache_password = SECRETS.redis, log = function(line) lines[#lines + 1] = line end,
      proxy = ("http://user:%s@127.0.0.1:1"):format(encoded(SECRETS.proxy)) })
    assert(client:get "/x")
    local text = table.concat(lines, "\n")
    assert_clean(text)
    assert.matches("\n< X%-Form%-o%-15: %[redacted%]", text)
  end)

  it("in whatever form a server sends it back, however the client authenticates", function()
    for _, style in ipairs { "post", "basic", "basic_raw" } do
      local text, count = lines_of { auth_style = style }
      assert_clean(text)
      assert.equal(6, count) -- two tokens, a call, a tenant's token and call, a revocation
    end
    for _, assertion in ipairs { SECRETS.assertion, function() return SECRETS.assertion end } do
      local text, count = lines_of { client_assertion = assertion }
      assert_clean(text)
      assert.equal(4, count)
    end
  end)
end)

describe("the log of a connection by a proxy", function()
  local PASSWORD = "Dampfschiff-4712"
  local here, server

  setup(function()
    here = localhost.new()
    server = rude.start { leaf = here.leaf, replies = rude.reply(200, nil,
      '{"access_token":"a-token","token_type":"Bearer","expires_in":3600}') }
  end)
  teardown(function()
    server:close()
    here:remove()
  end)

  -- What -vv says of a token through this proxy.
  local function log_by(proxy, more)
    local home <close> = command.home(nil, with({ CENTRAL_CLIENT_ID = "id", CENTRAL_CLIENT_SECRET = "a-long-secret",
      CENTRAL_TOKEN_URL = server.url, CENTRAL_CA_FILE = here.ca_file, CENTRAL_PROXY = proxy, CENTRAL_CACHE = "off",
      CENTRAL_TIMEOUT = "5" }, more))
    local errors = select(2, home:run "token -vv")
    assert.is_nil(errors:find(PASSWORD, 1, true))
    assert.is_nil(errors:find(mime.b64("user:" .. PASSWORD), 1, true))
    assert.matches("\n  > Proxy%-Authorization: %[hidden%]\n", errors .. "\n  > Proxy-Authorization: [hidden]\n")
    return errors
  end

  it("shows the tunnel, and then TLS", function()
    local proxy <close> = tinyproxy.start(here.folder, "BasicAuth user " .. PASSWORD)
    local errors = log_by(("http://user:%s@%s"):format(PASSWORD, proxy.address))
    assert.matches("\n  > CONNECT 127%.0%.0%.1:%d+ HTTP/1.1\n.*\n  > Proxy%-Authorization: %[hidden%]\n.*"
      .. "\n  < HTTP/1%.[01] 200 .*\n  %*  *SSL connection using TLSv1%.3 .*\n  > POST /as/token", errors)
  end)

  it("shows its refusal", function()
    local refuses <close> = rude.start { replies = rude.reply(407, { ["Proxy-Authenticate"] = 'Basic realm="x"',
      ["X-Echo"] = mime.b64("user:" .. PASSWORD) }) }
    local errors = log_by("http://user:" .. PASSWORD .. "@127.0.0.1:" .. refuses.port)
    assert.matches(" code=connect .*\n  < HTTP/1%.1 407 Status\n.*  < Proxy%-Authenticate: Basic realm=\"x\"\n", errors)
    assert.matches("\n  < X%-Echo: %[redacted%]\n", errors)
  end)

  it("shows that the certificate of the server is not trusted, or that of the proxy", function()
    local other <close> = sandbox.start()
    local proxy <close> = tinyproxy.start(here.folder)
    local errors = log_by("http://" .. proxy.address, { CENTRAL_CA_FILE = other.ca_file })
    assert.matches(" code=tls .*\n  < HTTP/1%.[01] 200 .*\n  %* [^\n]*certificate", errors)
    errors = log_by("https://user:" .. PASSWORD .. "@127.0.0.1:" .. other.base_url:match ":(%d+)$")
    assert.matches(" code=tls .*\n  %* [^\n]*certificate", errors)
    assert.is_nil(errors:find("CONNECT 127", 1, true))
  end)
end)

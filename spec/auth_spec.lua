-- The module as people use it, against the sandbox: the default client, independent ones, the command line, Ctrl-C.

local auth = require "central.auth"
local cqueues = require "cqueues"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central.auth", function()
  local server

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)

  before_each(function() assert(auth.configure(server:options())) end)
  after_each(function() auth.close() end)

  it("leaves the host's random numbers alone", function()
    math.randomseed(11)
    local expected = { math.random(), math.random() }
    math.randomseed(11)
    local first = math.random()
    local c <close> = assert(auth.new(server:options()))
    assert(c:token())
    assert(c:renew())
    server:fail { status = 503, times = 1 }
    assert(c:renew())
    assert.same(expected, { first, math.random() })
  end)

  it("gets a token over TLS once and keeps it", function()
    local before = server:requests().token
    local token = assert(auth.token())
    assert.equal(token, auth.token())
    assert.equal("Bearer " .. token, auth.header())
    assert.equal(before + 1, server:requests().token)
    local status = auth.status()
    assert.equal("fresh", status.state)
    assert.near(7199, status.expires_in, 5)
    assert.near(0, status.clock_skew, 2)
  end)

  it("gives nothing beside a header, the first time as ever after", function()
    assert.equal(1, select("#", auth.header()))
    assert.equal(1, select("#", auth.header()))
    local header, remaining = auth.header { min_valid = 9000 }
    assert.matches("^Bearer ", header)
    assert.near(7199, remaining, 5)
  end)

  it("finds this machine without the environment's proxy", function()
    local environment = process.credentials(server, process.scratch())
    environment.https_proxy = "http://127.0.0.1:9"
    local output, status = process.run(("env %s lua5.4 -l auth=central.auth -e 'print(auth.token())'"):format(
      process.assignments(environment)))
    assert.equal(0, status, output)
    process.remove(environment.CENTRAL_CACHE)
  end)

  it("keeps the connection for the next request", function()
    auth.token()
    local fds = process.count()
    assert(auth.renew())
    assert.equal(fds, process.count())
  end)

  it("is followed by functions taken from the module when it is configured anew", function()
    local token, header = auth.token, auth.header
    local first = assert(token())
    assert(auth.configure(server:options()))
    assert.equal("none", auth.status().state)
    local second = assert(token())
    assert.not_equal(first, second)
    assert.equal("Bearer " .. second, header())
  end)

  it("keeps the client that works when configuring fails", function()
    local token = assert(auth.token())
    local made, message, code = auth.configure { client_id = "x", token_url = "http://example.net/" }
    assert.is_nil(made)
    assert.equal("config", code)
    assert.matches("token_url", message)
    assert.equal(token, auth.token())
  end)

  it("makes clients that do not know each other", function()
    local one <close> = assert(auth.new(server:options()))
    local two <close> = assert(auth.new(server:options()))
    local token = assert(one:token())
    assert.not_equal(token, two:token())
    one:close()
    assert.truthy(two:token())
    assert.truthy(auth.token())
  end)

  it("recovers after the API refused the token", function()
    local token = assert(auth.token())
    server:revoke()
    assert.is_true(auth.invalidate(token))
    assert.is_false(auth.invalidate(token))
    assert.not_equal(token, auth.token())
  end)

  it("goes on with the old token through an outage and with a new one after it", function()
    local given = server:options()
    given.timeout = 5
    assert(auth.configure(given))
    local token = assert(auth.token())
    server:fail { status = 503, times = math.huge }
    local none, message, code, detail = auth.renew()
    server:recover()
    assert.is_nil(none)
    assert.matches("^HTTP status 503 %(asking 127%.0%.0%.1:%d+, token_url from the argument token_url%)$", message)
    assert.equal("http", code)
    assert.equal(503, detail.status)
    assert.equal(token, auth.token())
    assert.truthy(auth.renew())
  end)

  it("answers at once while tokens are renewed, whatever time that takes #slow #timing", function()
    local latency, clock = 0.5, require("central.auth.core").clock()
    server:lifetime(3)
    local c <close> = assert(auth.new(server:options()))
    assert(c:token())
    local made, over, longest = server:requests().token, clock:boot() + 7, 0
    server:latency(latency)
    repeat
      local before = clock:boot()
      assert(c:token())
      longest = math.max(longest, clock:boot() - before)
      clock:sleep(0.001)
    until clock:boot() > over
    assert.is_true(server:requests().token - made >= 2)
    assert.is_true(longest < latency / 2, longest)
  end)

  it("raises wrong options of close, and closes nothing", function()
    local c <close> = assert(auth.new(server:options()))
    local many = { revoke = true }
    for n = 1, 20 do
      many["other" .. n] = n
    end
    for part, given in pairs {
      ['unknown option "other"'] = { revoke = true, other = 1 }, ['unknown option "other1"'] = many,
      ["option revoke: boolean expected, got string"] = { revoke = "no" }, ["a table of options expected"] = true,
      ['unknown option "1"'] = { "revoke" }, ['unknown option "any"'] = { revoke = "no", any = 1 },
    } do
      local ok, message = pcall(c.close, c, given)
      assert.is_false(ok)
      assert.truthy(message:find(part, 1, true), message)
    end
    assert.is_string(c:token())
    assert.is_true(c:close { revoke = false })
  end)

  it("says closed after close, and works again once configured", function()
    auth.close()
    auth.close()
    local _, _, code = auth.token()
    assert.equal("closed", code)
    assert(auth.configure(server:options()))
    assert.truthy(auth.token())
  end)

  it("works with assert, which shows the message", function()
    local options = server:options()
    options.client_secret = "certainly-not-the-secret"
    local client <close> = assert(auth.new(options))
    local ok, message = pcall(function() return assert(client:token()) end)
    assert.is_false(ok)
    assert.matches("invalid_client", message)
  end)

  describe("in a process of its own", function()
    local function environment()
      return ("CENTRAL_CLIENT_ID=%s CENTRAL_CLIENT_SECRET=%s CENTRAL_TOKEN_URL=%s CENTRAL_CA_FILE=%s"):format(
        process.quote(server.client_id), process.quote(server.client_secret), server.token_url, server.ca_file)
    end

    it("prints a token with the README's one line", function()
      local output, status = process.run(environment() .. " lua5.4 -l auth=central.auth -e 'print(auth.token())'")
      assert.equal(0, status)
      assert.matches("^[%w_-]+%.[%w_-]+%.[%w_-]+\n$", output)
    end)

    it("names all three places when nothing is configured", function()
      local output, status = process.run("lua5.4 -l auth=central.auth -e 'assert(auth.token())'")
      assert.equal(1, status)
      assert.matches("central%-auth login.*CENTRAL_CLIENT_ID.*central%-auth/default.lua.*Personal API client", output)
    end)

    it("tells of a mistake in the call before of missing credentials", function()
      local output = process.run("lua5.4 -l auth=central.auth -e 'auth.token { min_vaild = 600 }'")
      assert.matches('command line%):1: unknown option "min_vaild"; did you mean "min_valid"', output)
    end)

    it("says which host failed, and where its name came from", function()
      local output = process.run(environment()
        .. " CENTRAL_CACHE=off CENTRAL_CA_FILE= lua5.4 -l auth=central.auth -e 'print(auth.token())'")
      assert.matches("^nil\t.*asking 127.0.0.1:%d+, token_url from the environment variable CENTRAL_TOKEN_URL", output)
      assert.matches("set ca_file to that authority's certificate%)\ttls\t{", output)
    end)

    it("does not load libcurl before a request is made", function()
      local maps = process.run(environment()
        .. " lua5.4 -l auth=central.auth -e 'auth.status() os.execute(\"cat /proc/$PPID/maps\")'")
      assert.matches("central/auth/core.so", maps)
      assert.is_nil(maps:find("libcurl", 1, true))
    end)

    it("ends within a second on Ctrl-C, whatever it waits for #slow", function()
      local folder = process.scratch()
      local silent = require("cqueues.socket").listen { host = "127.0.0.1", port = 0 }
      assert(silent:listen())
      local url = ("https://127.0.0.1:%d/"):format(select(3, silent:localname()))
      local function interrupt(action, more)
        local began = cqueues.monotime()
        -- In the foreground it sends one signal; a second one ends Lua at once.
        local output = process.run(("timeout --foreground -s INT 2 env %s CENTRAL_CACHE=%s/cache CENTRAL_BASE_URL=%s "
          .. "%s lua5.4 -l auth=central.auth -e %s; echo $?"):format(environment(), folder, server.base_url, more or "",
          process.quote(action)))
        assert.matches("interrupted!", output)
        assert.matches("124\n$", output)
        assert.is_true(cqueues.monotime() - began < 10, cqueues.monotime() - began) -- its timeout is 30 s
      end
      interrupt("auth.token()", "CENTRAL_TOKEN_URL=" .. url)
      interrupt("auth.get '/x'", "CENTRAL_TOKEN_URL=" .. url)
      interrupt("auth.token()", "CENTRAL_CLIENT_SECRET= CENTRAL_CLIENT_SECRET_COMMAND='exec sleep 60'")
      server:fail { status = 503, times = 1, retry_after = 20 }
      interrupt "auth.token()" -- in the pause
      process.remove(folder .. "/cache")
      server:latency(3)
      local holder <close> = process.start { log = folder .. "/log", command = { "sh", "-c", environment()
        .. (" CENTRAL_CACHE=%s/cache exec lua5.4 -l auth=central.auth -e 'auth.token()'"):format(folder) } }
      process.wait_until(function() return select(2, process.run("ls " .. folder .. "/cache/*.lock")) == 0 end, 30,
        "the lock of another process")
      interrupt "auth.token()" -- while another process asks
      assert.equal("", holder:output())
      server:latency(0)
      silent:close()
      process.remove(folder)
    end)
  end)
end)

-- Ready-made tokens: how long they live, when their source is read again, what their end and a refusal lead to.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local basexx = require "basexx"
local child = require "spec.support.child"
local clients = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

local NAME = "a-ready-made-token"
local clock

-- A JWT with these claims; `number` makes it another one.
local function jwt(claims, number)
  return ("e30.%s.c2ln%d"):format(basexx.to_url64(claims), number or 0)
end

-- One that was issued and expires so many seconds from now, by the clock of the spec.
local function living(issued, expires, number)
  local now = clock:wall() // 1 | 0
  return jwt(('{"iat":%d,"exp":%d}'):format(now + issued, now + expires), number)
end

local function client_of(options, replies)
  return scripted.new(replies or {}, with({ client_id = scripted.NONE, client_secret = scripted.NONE }, options), clock)
end

local function assert_expired(pattern, token, message, code, detail)
  assert.is_nil(token)
  assert.equal("expired", code, message)
  assert.matches(pattern, message)
  assert.matches("^access_token", detail.option)
  assert.is_truthy(message:find(("%s (from %s): "):format(detail.option, detail.source), 1, true), message)
  assert.is_nil(message:find(NAME, 1, true))
end

before_each(function() clock = core.clock() end)

describe("a ready-made token #valgrind", function()
  it("is returned until shortly before its end, and makes no request", function()
    local token = living(-600, 3000)
    local s = client_of { access_token = token }
    assert.equal(token, s.client:token())
    assert.equal("Bearer " .. token, s.client:header())
    local status = s.client:status()
    assert.equal("fresh ready-made", status.state .. " " .. status.source)
    assert.near(3000, status.expires_in, 2)
    assert.near(3600, status.lifetime, 1)
    assert.near(2970, status.renews_in, 2)
    assert.is_nil(status.client or status.token_url)
    s:wait(2960)
    assert.equal(token, s.client:token())
    assert.equal("fresh", s.client:status().state)
    s:wait(15)
    assert_expired("the token is about to expire, at %d+%-%d+%-%d+ %d+:%d+:%d+ UTC by this machine's clock; set a new"
      .. " token, or use a client id and secret, whose tokens are renewed$", s.client:token())
    s:wait(60)
    assert_expired("the token expired at ", s.client:token())
    assert.equal("expired", s.client:status().state)
    assert.same({ "fetched", "failed", "failed" }, s.events)
  end)

  it("is refused at once if it is over, and its status says so", function()
    for _, token in ipairs { living(-3600, -1), jwt(('{"exp":%d}'):format(clock:wall() // 1 - 5)) } do
      local s = client_of { access_token = token }
      local shown = s.client:status { shared = true }
      assert.equal("expired ready-made", shown.state .. " " .. shown.source)
      assert.matches("the token expired at", shown.last_error)
      assert_expired("the token expired at ", s.client:token())
    end
  end)

  it("lives as long as it says, for weeks, also without the time of its issue, and by a clock that is slow", function()
    for _, case in ipairs { { living(-86400 * 3, 86400 * 20), 86400 * 20 }, { living(300, 4000), 4000 },
      { jwt(('{"exp":%d}'):format(clock:wall() // 1 + 1000)), 1000 } } do
      clock = core.clock()
      local s = client_of { access_token = case[1] }
      assert.equal(case[1], s.client:token())
      assert.near(case[2], s.client:status().expires_in, 2)
      s:wait(case[2] - 100)
      assert.equal(case[1], s.client:token())
      s:wait(400)
      assert_expired("expired at", s.client:token())
    end
  end)

  it("has no end that is known unless it is a JWT with one", function()
    for _, token in ipairs { NAME, jwt '{"iat":1}', jwt '{"exp":"never"}', jwt "no JSON", "a.b.c" } do
      local s = client_of { access_token = token }
      for _ = 1, 3 do
        assert.equal(token, s.client:token())
        assert.is_nil(select(2, s.client:token { min_valid = 86400 }))
        local status = s.client:status()
        assert.equal("fresh", status.state)
        assert.is_nil(status.expires_in or status.expires_at or status.renews_in or status.lifetime)
        assert.is_nil(tostring(status):find "expires")
        s:wait(86400 * 300)
      end
      assert.same({ "fetched" }, s.events)
    end
    local seen
    local client <close> = assert(auth.new { access_token = NAME, profile = false, on_event = function(event)
      seen = event
    end })
    assert(client:token())
    assert.same({ event = "fetched" }, seen)
  end)

  it("counts for min_valid as any other", function()
    local token = living(-600, 3000)
    local s = client_of { access_token = token }
    assert.is_nil(select(2, s.client:token { min_valid = 2900 }))
    local same, remaining = s.client:token { min_valid = 4000 }
    assert.equal(token, same)
    assert.near(3000, remaining, 2)
  end)

  it("is read again for min_valid, once a minute at most", function()
    local reads, token = 0, living(-600, 3000)
    local s = client_of { access_token = function()
      reads = reads + 1
      return token
    end }
    for _ = 1, 3 do
      assert.near(3000, select(2, s.client:token { min_valid = 3500 }), 2)
    end
    assert.equal(1, reads)
    s:wait(61)
    token = living(0, 3600, 1)
    for _ = 1, 3 do
      assert.equal(token, (s.client:token { min_valid = 3500 }))
    end
    assert.equal(2, reads)
  end)

  it("ends by invalidate, until there is another one", function()
    local token = NAME
    local s = client_of { access_token = function() return token end }
    assert.equal(NAME, s.client:token())
    assert.is_false(s.client:invalidate "some other")
    assert.equal(NAME, s.client:token())
    assert.is_true(s.client:invalidate())
    assert_expired("this token was refused or invalidated; the function must return a new token",
      s.client:token())
    assert.equal("none", s.client:status().state)
    token = "another"
    s:wait(2)
    assert.equal("another", s.client:token())
    assert.is_nil(s.client:status().last_error)
    assert.same({ "fetched", "invalidated", "failed", "renewed" }, s.events)
    assert.equal(1, s.client:status().renewals)
  end)

  it("is read again by renew, which fails if it is the same; then it stays in use", function()
    local token, reads = NAME, 0
    local s = client_of { access_token = function()
      reads = reads + 1
      return token
    end }
    assert.equal(NAME, s.client:renew())
    assert_expired("it is still the token in use", s.client:renew())
    assert.equal(NAME, s.client:token())
    assert.equal(2, reads)
    token = "another"
    assert.equal("another", s.client:renew())
    assert.equal("another", s.client:token())
  end)

  it("stays where a call is refused with it and with the one before, which was issued earlier", function()
    local first, second = living(-7000, 3000), living(-6000, 4000, 1)
    local token = first
    local s = client_of({ access_token = function() return token end, base_url = "https://api.example" },
      { scripted.api(200, "{}"), scripted.api(401, "{}"), scripted.api(401, "{}"), scripted.api(200, "{}") })
    assert(s.client:get "/allowed")
    token = second
    assert.equal("api", (select(3, s.client:get "/forbidden")))
    assert(s.client:get "/allowed")
    assert.equal(second, s.client:token())
    assert.equal(4, s.requests)
  end)

  it("is ready at once for pending", function()
    local s = client_of { access_token = NAME }
    local pending <close> = s.client:pending()
    assert.is_true(pending:done())
    assert.equal(NAME, pending:result())
  end)

  it("is wiped and gone after close, and never revoked", function()
    local s = client_of { access_token = NAME, revocation_url = "https://sso.example/revoke" }
    assert.equal(NAME, s.client:token())
    local closed, message, code = s.client:close { revoke = true }
    assert.is_nil(closed)
    assert.equal("config", code)
    assert.matches("is not revoked here", message)
    assert.equal("closed", (select(3, s.client:token())))
    assert.equal(0, s.config.ready_made.value:length())
    assert.equal("closed", s.client:status().state)
    assert.is_true(s.client:close())
    assert.equal(0, s.requests)
  end)

  it("is in no cache: neither is one read, nor written", function()
    local s = client_of { access_token = NAME, cache = "/a/folder" }
    assert.equal(NAME, s.client:token())
    assert.equal("none: a ready-made token is not shared", s.client:status().cache)
    local other = client_of { access_token = "another", cache = "/a/folder" }
    assert.equal("another", other.client:token())
  end)
end)

describe("the source of a ready-made token", function()
  local folder

  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  local function file(text)
    return process.write(folder .. "/token", text, "600")
  end

  it("that is a file is read again once a minute, and no more often", function()
    local s = client_of { access_token_file = file(NAME .. "\n") }
    assert.equal(NAME, s.client:token())
    file "another\n"
    s:wait(59)
    assert.equal(NAME, s.client:token())
    s:wait(2)
    assert.equal("fresh", s.client:status().state)
    assert.equal("another", s.client:token())
    local first, second = living(-3000, 600), living(0, 3600, 1)
    file(first)
    s:wait(61)
    assert.equal(first, s.client:token())
    for _ = 1, 3 do
      s:wait(61)
      assert.equal(first, s.client:token())
      assert.equal("fresh", s.client:status().state)
    end
    file(second)
    s:wait(61)
    assert.equal(second, s.client:token())
    assert.same({ "fetched", "renewed", "renewed", "renewed" }, s.events)
  end)

  it("that is a file is read again at the end of the token, and after invalidate", function()
    local first, second = living(-20, 30), living(-20, 3600, 1)
    local s = client_of { access_token_file = file(first) }
    assert.equal(first, s.client:token())
    s:wait(26)
    assert_expired("about to expire, at .*; write a new token to the file, or use", s.client:token())
    file(second)
    assert.equal(second, s.client:token())
    file(NAME)
    assert.is_true(s.client:invalidate())
    assert.equal(NAME, s.client:token())
  end)

  it("that fails costs no usable token, and says why once there is none", function()
    local s = client_of { access_token_file = file(living(0, 200)) }
    local token = s.client:token()
    os.remove(folder .. "/token")
    s:wait(61)
    for _ = 1, 3 do
      assert.equal(token, s.client:token())
    end
    assert.same({ "fetched", "failed" }, s.events)
    assert.matches("No such file", s.client:status().last_error)
    s:wait(120)
    local _, message, code, detail = s.client:token()
    assert.equal("config access_token_file", code .. " " .. detail.option)
    assert.matches("No such file or directory", message)
  end)

  it("that is a function is called again at the end alone, and after a failure not for a while", function()
    local reads, token = 0, living(0, 1000)
    local s = client_of { access_token = function()
      reads = reads + 1
      return token
    end }
    for _ = 1, 9 do
      assert.equal(token, s.client:token())
      s:wait(100)
    end
    assert.equal(1, reads)
    s:wait(80)
    for _ = 1, 3 do
      assert_expired("about to expire", s.client:token())
    end
    assert.equal(2, reads)
    token = living(0, 1000, 1)
    s:wait(1)
    assert.equal(token, s.client:token())
  end)

  it("that is a function may yield, and may not ask for its own token", function()
    local s = client_of { access_token = function() return coroutine.yield "please" end }
    local dropped = coroutine.create(function() return s.client:token() end)
    local waits = coroutine.create(function() return s.client:token() end)
    for _, thread in ipairs { dropped, waits } do
      assert.equal("please", select(2, coroutine.resume(thread)))
    end
    assert.equal(NAME, select(2, coroutine.resume(waits, NAME)))
    local own
    own = client_of { access_token = function() return (own.client:token()) or "x" end }
    own.client:token()
    local message
    own = client_of { access_token = function()
      message = select(2, own.client:token())
      return NAME
    end }
    assert.equal(NAME, own.client:token())
    assert.matches("a token was asked for by the function", message)
  end)

  it("that is a command is run beside an event loop, again after the end alone", function()
    local count = folder .. "/count"
    local line = ("echo >>%s; sleep 0.02; cat %s"):format(count, file(NAME))
    local client <close> = assert(auth.new { access_token_command = line, wait = loops.cqueues })
    local loop, ticks, ended = cqueues.new(), 0, 0
    for _ = 1, 3 do
      loop:wrap(function()
        assert.equal(NAME, client:token())
        ended = ended + 1
      end)
    end
    loop:wrap(function()
      while ended < 3 do
        ticks = ticks + 1
        cqueues.sleep(0.002)
      end
    end)
    assert(loop:loop())
    assert.is_true(ticks > 0)
    assert.equal("\n", process.read(count)) -- one command for all three
    assert.equal(NAME, client:token())
    assert.is_true(client:invalidate())
    assert_expired("the command must print a new token", client:token())
    assert.equal("\n\n", process.read(count))
    assert_expired("not tried again", client:token())
    assert.equal("\n\n", process.read(count))
    file "another"
    assert.equal("another", client:renew())
  end)

  it("that is a command delays nobody who does not wait for it, and may fail", function()
    local client <close> = assert(auth.new { access_token_command = "sleep 0.02; echo " .. NAME })
    local pending <close> = assert(client:pending())
    assert.is_false(pending:done())
    assert.equal(NAME, pending:result())
    local broken <close> = assert(auth.new { access_token_command = "echo " .. NAME .. "; exit 3" })
    local _, message, code = broken:token()
    assert.equal("config", code)
    assert.matches("^access_token_command %(from the argument access_token_command%): the command ended with status 3",
      message)
    local slow <close> = assert(auth.new { access_token_command = "exec sleep 60", timeout = 0.03 })
    assert.matches("did not end in time", (select(2, slow:token())))
    local closed = assert(auth.new { access_token_command = "exec sleep 60" })
    local cancelled = closed:pending()
    closed:close()
    assert.equal("closed", (select(3, cancelled:result())))
  end)

  it("that is a command is run by the call that waits where no thread can be started", function()
    local s = client_of { access_token_command = "echo " .. NAME }
    s.threadless = true
    assert.equal(NAME, s.client:token())
  end)

  it("that is a profile is read again like a file", function()
    process.run("mkdir -p -m 700 " .. folder .. "/central-auth")
    local path = folder .. "/central-auth/default.lua"
    local printed = child.run(([[
      local client, config, core = require "central.auth.client", require "central.auth.config.resolve",
        require "central.auth.core"
      local clock = core.clock()
      local one = client.new(assert(config.resolve {}), { clock = clock })
      print(one:token())
      assert(io.open(%q, "w")):write('return { access_token = "another" }'):close()
      clock:shift(59, 59)
      print(one:token())
      clock:shift(2, 2)
      print(one:token())
      one:invalidate()
      print(select(2, one:token()))
    ]]):format(process.write(path, ('return { access_token = "%s" }'):format(NAME), "600")),
      { XDG_CONFIG_HOME = folder })
    assert.matches(("^%s\n%s\nanother\naccess_token %%(from the profile \"default\" in "):format(NAME, NAME):gsub("%-",
      "%%-"), printed)
    for what, line in pairs { secret = 'access_token = "x"', command = 'access_token_command = "echo x"' } do
      process.write(path, ("return { %s }"):format(line), "644")
      assert.matches(("contains a %s and is open to others"):format(what), (child.run(
        [[print(require("central.auth").token())]], { XDG_CONFIG_HOME = folder })))
    end
  end)

  it("that is a file leaves no secret in locked memory", function()
    local function locked()
      return tonumber(process.read("/proc/self/status"):match "VmLck:%s*(%d+)")
    end
    local s = client_of { access_token_file = file(NAME) }
    s.client:token()
    collectgarbage()
    collectgarbage "stop"
    local before = locked()
    for _ = 1, 20 do
      s:wait(61)
      s.client:token()
    end
    local after = locked()
    collectgarbage "restart"
    assert.equal(before, after)
  end)

  it("is an option over a variable over a profile; two in one place conflict", function()
    process.run("mkdir -p -m 700 " .. folder .. "/central-auth")
    process.write(folder .. "/central-auth/default.lua", [[return { client_id = "i", client_secret = "profile's" }]],
      "600")
    local show = [[
      local config, message, code = require("central.auth.config.resolve").resolve(%s)
      local origin = config and (config.ready_made or config.secret)
      print(origin and origin.name or code, origin and origin.from or message)]]
    local home = { XDG_CONFIG_HOME = folder }
    assert.matches('^client_secret\tthe profile "default"', (child.run(show:format "{}", home)))
    home.CENTRAL_ACCESS_TOKEN = NAME
    assert.matches("^access_token\tthe environment variable CENTRAL_ACCESS_TOKEN", (child.run(show:format "{}", home)))
    assert.matches("^client_secret_file\tthe argument",
      (child.run(show:format '{ client_id = "i", client_secret_file = "/x" }', home)))
    assert.matches("^access_token_command\tthe argument",
      (child.run(show:format '{ access_token_command = "x" }', home)))
    assert.matches("^access_token\tthe environment",
      (child.run(show:format '{ cert_file = "/etc/passwd" }', home))) -- an API may want a certificate, too
    local mutual = [[
      local config = assert(require("central.auth.config.resolve").resolve(%s))
      print(config.client_id, config.ready_made and config.ready_made.from)]]
    assert.equal("i\tnil\n", (child.run(mutual:format '{ client_id = "i", cert_file = "/etc/passwd" }', home)))
    process.write(folder .. "/central-auth/default.lua", 'return { access_token = "x" }', "600")
    assert.equal("i\tnil\n", (child.run(mutual:format "{}",
      { XDG_CONFIG_HOME = folder, CENTRAL_CLIENT_ID = "i", CENTRAL_CERT_FILE = "/etc/passwd" })))
    assert.equal("nil\tthe argument access_token\n",
      (child.run(mutual:format '{ client_id = "i", cert_file = "/etc/passwd", access_token = "x" }', home)))
    local found = assert(config.resolve { access_token = "x", client_id = "i", token_url = "https://h.example",
      profile = false })
    assert.is_nil(found.client_id or found.token_url)
    assert.is_nil(assert(config.resolve { access_token = "x", workspace_id = "w", profile = false }).token_url)
    home.CENTRAL_CLIENT_ID, home.CENTRAL_CLIENT_SECRET = "i", "hush"
    assert.matches("^config\tclient_secret %(from the environment variable CENTRAL_CLIENT_SECRET%): conflicts with"
      .. " access_token; unset CENTRAL_ACCESS_TOKEN or CENTRAL_CLIENT_SECRET\n$", (child.run(show:format "{}", home)))
  end)

  it("that gives what no header can carry is named, and not repeated", function()
    for text, problem in pairs {
      ["Bearer " .. NAME] = "byte 7 is a character that no bearer token has there; the token must stand alone,"
        .. ' without "Bearer", a name or quotes',
      ['"' .. NAME .. '"'] = "byte 1 is a character", [NAME .. "\u{E9}"] = "byte 19 is a character",
      [NAME .. "\n" .. NAME] = "it has more than one line, but must stand alone",
      ["CENTRAL_ACCESS_TOKEN=" .. NAME] = "byte 22 is a character", [""] = "it is empty",
      ["\n"] = "it is empty", [NAME .. "\0"] = "byte 19 is a control character",
    } do
      for _, options in ipairs { { access_token_file = file(text) }, { access_token = function() return text end },
        text:find "^%C+$" and { access_token = text } or nil } do
        local s = client_of(options)
        local token, message, code, detail = s.client:token()
        assert.is_nil(token)
        if not (options.access_token and text == "\n") then
          assert.equal("config", code)
          assert.is_truthy(message:find(problem, 1, true), message)
          assert.equal(options.access_token and "access_token" or "access_token_file", detail.option)
        end
        assert.is_nil(message:find(NAME, 1, true), message)
      end
    end
    assert.equal(NAME .. "==", client_of({ access_token = NAME .. "==" }).client:token())
  end)
end)

describe("a ready-made token and Central", function()
  local server, base

  before_each(function()
    server = sandbox.start()
    base = { base_url = server.base_url, ca_file = server.ca_file, greenlake_url = server.base_url, cache = false,
      profile = false }
  end)
  after_each(function() server:close() end)

  local function made()
    local client <close> = assert(auth.new(server:options()))
    return assert(client:token())
  end

  local function new(options)
    return assert(auth.new(with(options, base)))
  end

  it("makes API calls, pages and tenants, and no token request of its own", function()
    local client <close> = new { access_token = made() }
    assert(client:get "/network-monitoring/v1/aps")
    local count = 0
    for _ in client:pages("/network-config/v1/sites", { query = { limit = 10, offset = 0 } }) do
      count = count + 1
    end
    assert.is_true(count > 0)
    assert.equal(1, server:requests().token)
    local tenant = assert(client:tenant "1b2c3d4e0000111122223333444455aa")
    assert(tenant:get "/network-monitoring/v1/gateways")
    assert.equal(2, server:requests().token)
    local _, message, code = client:tenant("1b2c3d4e0000111122223333444455aa", { authenticate = true })
    assert.equal("config", code)
    assert.matches("there are no client credentials", message)
  end)

  it("that is refused is read again once, and the call made again", function()
    local token, reads = made(), 0
    local client <close> = new { access_token = function()
      reads = reads + 1
      return token
    end }
    assert(client:get "/network-monitoring/v1/aps")
    server:revoke()
    token = made()
    assert(client:get "/network-monitoring/v1/aps")
    assert.equal(2, reads)
    server:revoke()
    local before = server:requests().api
    local results = table.pack(client:get "/network-monitoring/v1/aps")
    assert.matches("^GET /network%-monitoring/v1/aps: the API refused the token, and getting another failed: ",
      results[2])
    assert_expired("this token was refused or invalidated", table.unpack(results, 1, results.n))
    assert.equal(before + 1, server:requests().api)
  end)

  it("stays where another call was accepted and this one may lack a permission", function()
    local token, reads = made(), 0
    local client <close> = new { access_token = function()
      reads = reads + 1
      return token
    end }
    assert(client:get "/network-monitoring/v1/aps")
    server:fail { status = 401, times = 2, of = "api" }
    for _ = 1, 2 do
      local _, _, code, detail = client:get "/network-monitoring/v1/switches"
      assert.equal("api 401", code .. " " .. detail.status)
      assert.equal(2, reads) -- at the first refusal once more: it may have been replaced
    end
    assert(client:get "/network-monitoring/v1/switches")
    server:fail { status = 401, times = 1, of = "api" }
    assert.equal("expired", (select(3, client:get "/network-monitoring/v1/aps"))) -- it worked before
  end)

  it("stays where one host accepts it and another does not", function()
    local other <close> = sandbox.start()
    local folder = process.scratch()
    local both = process.write(folder .. "/ca.pem", process.read(server.ca_file) .. process.read(other.ca_file), "600")
    local client <close> = assert(auth.new(with(base,
      { access_token = made(), greenlake_url = other.base_url, ca_file = both })))
    assert(client:get "/network-monitoring/v1/aps")
    local _, message, code = client:get("/workspaces/v1/credentials", { app = "greenlake" })
    assert.equal("api", code, message)
    assert.matches("HTTP status 401: 127.0.0.1 refuses this token: it has ended, or is for another workspace, region"
      .. " or service", message)
    assert(client:get "/network-monitoring/v1/aps")
    process.remove(folder)
  end)

  it("that a call refuses which never succeeded is read again once a minute, and the call made again", function()
    local token, reads = made(), 0
    local own = core.clock()
    local one <close> = clients.new(assert(config.resolve(with({ access_token = function()
      reads = reads + 1
      return token
    end }, base))), { clock = own })
    assert(one:get "/network-monitoring/v1/aps")
    own:shift(61, 61)
    server:fail { status = 401, times = 2, of = "api" }
    for _ = 1, 2 do
      assert.equal("api", (select(3, one:get "/network-monitoring/v1/switches")))
      assert.equal(2, reads)
    end
    assert.equal("fresh", one:status().state)
    assert.is_nil(one:status().last_error)
    own:shift(61, 61)
    server:revoke()
    token = made()
    assert(one:get "/network-monitoring/v1/switches")
    assert.equal(3, reads)
    own:shift(61, 61)
    server:fail { status = 401, times = 2, of = "api" }
    token = made()
    assert.equal("api", (select(3, one:get "/network-monitoring/v1/gateways"))) -- forbidden with either
    assert.equal(token, one:token())
  end)

  it("that an exchange refuses is read again, by a command too", function()
    local folder = process.scratch()
    local path = process.write(folder .. "/token", made(), "600")
    local of_file <close> = new { access_token_file = path }
    local of_command <close> = new { access_token_command = "cat " .. path }
    assert(of_file:token() and of_command:token())
    server:revoke()
    process.write(path, made(), "600")
    assert(assert(of_file:tenant "1b2c3d4e0000111122223333444455aa"):token())
    local tenant = assert(of_command:tenant "1b2c3d4e0000111122223333444455aa")
    local _, message, code = tenant:token()
    assert.equal("oauth", code, message)
    process.wait_until(function() return tenant:renew() end, 2, "the new token")
    assert.equal(process.read(path), of_command:token())
    process.remove(folder)
  end)
end)

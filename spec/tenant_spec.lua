-- Tenants by token exchange: over replies from a list, and over the network against the sandbox.
local auth = require "central.auth"
local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"

local token = scripted.token

-- The id of a workspace, of 32 digits.
local function id(digits)
  return (("%32s"):format(digits):gsub(" ", "0"))
end

local function kind(request)
  return request.form:length() > 150 and "exchange" or "client"
end

describe("a tenant's client", function()
  it("exchanges a ready-made token, which is read again after a refusal, and stays if there is no other", function()
    local ready_made, reads = "ready-made", 0
    local s = scripted.new({ scripted.refusal("invalid_request", 400), token("tenant", 900),
      scripted.refusal("invalid_grant", 400), token("tenant2", 900) }, { client_id = scripted.NONE,
      client_secret = scripted.NONE, access_token = function()
        reads = reads + 1
        return ready_made
      end })
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("oauth", (select(3, tenant:token())))
    assert.equal("ready-made", s.client:token())
    assert.equal(2, reads)
    s:wait(5)
    assert.equal("tenant", tenant:token())
    assert.equal("exchange", kind(s.last_request))
    assert.is_nil(s.last_request.client_id)
    s:wait(900)
    ready_made = "another"
    assert.equal("tenant2", tenant:token())
    assert.equal("another", s.client:token())
    assert.equal(3, reads)
    assert.equal(4, s.requests)
  end)

  it("exchanges the parent's token, got first, at the tenant's endpoint", function()
    local s = scripted.new { token("parent", 1000), token("tenant", 900) }
    local tenant = assert(s.client:tenant "1b2c3d4e-0000-1111-2222-333344445555")
    assert.equal("tenant", tenant:token())
    assert.equal("https://global.api.greenlake.hpe.com/authorization/v2/oauth2/1b2c3d4e000011112222333344445555/token",
      s.last_request.url)
    assert.equal("exchange", kind(s.last_request))
    assert.is_nil(s.last_request.client_id)
    assert.equal("parent", s.client:token())
    assert.equal("tenant", tenant:token())
    assert.equal(2, s.requests)
  end)

  it("is the same for the same workspace, until it is closed", function()
    local s = scripted.new { token("parent", 1000) }
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal(tenant, s.client:tenant(id "abc"))
    assert.equal(s.client:tenant "0000000a-000b-000c-000d-00000000000e",
      s.client:tenant "0000000a000b000c000d00000000000e")
    tenant:close()
    assert.not_equal(tenant, s.client:tenant(id "abc"))
    assert.is_true(s.client:token() == "parent") -- the tenant's end is not the parent's
  end)

  it("ends its API calls under way when it is closed, and not its parent's", function()
    local function wait(fd)
      coroutine.yield(fd)
    end
    local s = scripted.new({ token("p1", 1000), token("a1", 1000), scripted.slow(scripted.api(200, "{}"), 5),
      scripted.slow(scripted.api(200, "{}"), 5) }, { cluster = "us1", wait = wait })
    local tenant = assert(s.client:tenant(id "abc"))
    assert(tenant:token())
    local results = {}
    local function begin(caller)
      local thread = coroutine.create(function() results[caller] = table.pack(caller:get "/x") end)
      local _, fd = assert(coroutine.resume(thread))
      return thread, { pollfd = fd, events = "r" }
    end
    local first, awaited = begin(tenant)
    local second = begin(s.client)
    assert.not_equal(awaited, cqueues.poll(awaited, 0))
    tenant:close()
    assert.equal(awaited, cqueues.poll(awaited, 0))
    assert(coroutine.resume(first))
    assert.equal("closed", results[tenant][3])
    assert(coroutine.resume(second))
    assert.is_nil(results[s.client])
    s:wait(5)
    assert(coroutine.resume(second))
    assert.equal(200, results[s.client][1].status)
    s.client:close()
  end)

  it("is another one with options, and does not take the place of the one without", function()
    local s = scripted.new {}
    local plain = assert(s.client:tenant(id "abc"))
    local scoped = assert(s.client:tenant(id "abc", { scope = "read" }))
    assert.not_equal(plain, scoped)
    assert.equal(plain, s.client:tenant(id "abc"))
    assert.equal(plain, s.client:tenant(id "abc", {}))
    assert.not_equal(scoped, s.client:tenant(id "abc", { scope = "write" }))
    assert.not_equal(s.client:tenant(id "0123", { scope = "read" }), s.client:tenant(id "0123"))
  end)

  it("renews by itself, and its parent when it must", function()
    local s = scripted.new {
      token("p1", 7200), token("a1", 900), token("a2", 900), token("p2", 7200), token("a3", 900),
    }
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("a1", tenant:token())
    s:wait(890)
    assert.equal("a2", tenant:token())
    assert.equal(3, s.requests)
    s:wait(7000)
    assert.equal("a3", tenant:token())
    assert.equal("p2", s.client:token())
    assert.equal(5, s.requests)
  end)

  it("keeps its stale token while another process gets the parent's", function()
    local clock = core.clock()
    local s = scripted.new({ token("p1", 100), token("a1", 1000), token("a2", 1000) }, { cache = "/shared" }, clock)
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("a1", tenant:token())
    s:wait(760)
    local slow = token("p2", 1000)
    slow.took = 5
    local other = scripted.new({ slow }, { cache = "/shared" }, clock)
    local pending <close> = other.client:pending()
    assert.equal("a1", tenant:token())
    assert.equal(2, s.requests)
    s:wait(6)
    assert.is_true(pending:done())
    tenant:token()
    s:wait(1)
    assert.equal("a2", tenant:token())
    assert.equal(3, s.requests)
  end)

  it("has the parent's failure where the parent has none to give", function()
    local s = scripted.new { scripted.refusal "invalid_client" }
    local code, detail = select(3, assert(s.client:tenant(id "abc")):token())
    assert.equal("oauth", code)
    assert.equal("invalid_client", detail.oauth_error)
  end)

  it("gives up a parent's token that is dead, once", function()
    for _, refusal in ipairs {
      scripted.refusal "invalid_token", scripted.refusal("invalid_grant", 400), { status = 401, body = "" },
    } do
      local s = scripted.new { token("p1", 7200), refusal, token("p2", 7200), token("a1", 900) }
      assert.equal("a1", assert(s.client:tenant(id "abc")):token())
      assert.equal("p2", s.client:token())
    end
    local s = scripted.new { token("p1", 7200), scripted.refusal "invalid_token", token("p2", 7200),
      scripted.refusal "invalid_token", scripted.refusal "invalid_token" }
    assert.equal("invalid_token", select(4, assert(s.client:tenant(id "abc")):token()).oauth_error)
    -- The next costs no third token of the parent.
    assert.equal("invalid_token", select(4, assert(s.client:tenant(id "def")):token()).oauth_error)
    assert.equal("p2", s.client:token())
    assert.equal(5, s.requests)
  end)

  it("does not wait for a coroutine that gives such a token up and waits for Redis in that", function()
    local s = scripted.new({ token("p1", 7200), scripted.refusal "invalid_token", token("p2", 7200), token("a1", 900) },
      { cache = "redis://127.0.0.1:1", wait = function() coroutine.yield "waiting" end })
    s.took = 1
    local tenant = assert(s.client:tenant(id "abc"))
    local function get() return tenant:token() end
    local first, second = coroutine.wrap(get), coroutine.wrap(get)
    for _ = 1, 2 do
      assert.equal("waiting", first())
      assert.equal("waiting", second())
      s:wait(1)
    end
    s.world.redis.answers = false
    assert.equal("waiting", first())
    for _ = 1, 2 do
      assert.equal("waiting", second())
      s:wait(5)
    end
    assert.equal("a1", second())
    assert.equal("a1", first())
    assert.equal(4, s.requests)
  end)

  it("returns its stale token at once although its exchange was refused and Redis does not answer", function()
    local s = scripted.new({ token("p1", 7200), token("a1", 1000), scripted.refusal "invalid_token", token("p2", 7200),
      token("a2", 1000) }, { cache = "redis://127.0.0.1:1" })
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("a1", tenant:token())
    s:wait(800)
    assert.equal("a1", tenant:token()) -- stale
    s:wait(1)
    s.world.redis.answers = false
    local before = s.clock:boot()
    assert.equal("a1", tenant:token())
    assert.near(before, s.clock:boot(), 0.1)
    s:wait(30)
    tenant:token()
    s:wait(30)
    assert.equal("a2", tenant:token())
    assert.equal("p2", s.client:token())
  end)

  it("returns its stale token without a call of the function that gives its parent's secret", function()
    local calls = 0
    local function give()
      calls = calls + 1
      return ("the-parent's-secret-%d"):format(calls)
    end
    local s = scripted.new({ token("p1", 100), token("a1", 1000), scripted.refusal "invalid_client",
      token("p2", 1000) }, { client_secret = give })
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("a1", tenant:token())
    s:wait(760)
    for _ = 1, 3 do
      assert.equal("a1", tenant:token())
      s:wait(0.5)
    end
    assert.equal(3, s.requests)
    assert.equal(1, calls)
    assert.equal("p2", s.client:token())
    assert.equal(2, calls)
  end)

  it("gets over a parent's token that is dead while they share by a cache, and so do other processes", function()
    local clock = core.clock()
    local function process_of(replies)
      return scripted.new(replies, { cache = "/shared" }, clock)
    end
    local s = process_of { token("p1", 7200), scripted.refusal "invalid_token", token("p2", 7200), token("a1", 900) }
    assert.equal("a1", assert(s.client:tenant(id "abc")):token())
    assert.equal(4, s.requests)
    local other = process_of {}
    assert.equal("a1", assert(other.client:tenant(id "abc")):token())
    assert.equal("p2", other.client:token())
  end)

  it("gets over one that dies later, however often its exchange was refused before", function()
    local clock = core.clock()
    local is_dead = false
    local s = scripted.new(function(n, request)
      return kind(request) == "exchange" and is_dead and scripted.refusal("invalid_grant", 400)
        or token(kind(request) .. n, kind(request) == "client" and 7200 or 900)
    end, { cache = "/shared" }, clock)
    local tenant = assert(s.client:tenant(id "abc"))
    assert.equal("exchange2", tenant:token())
    is_dead = true
    s:wait(1000)
    for _ = 1, 5 do
      assert.equal("invalid_grant", select(4, tenant:token()).oauth_error)
      s:wait(100)
    end
    is_dead = false
    assert.matches("^exchange", tenant:token())
  end)

  it("has the parent's failure as it is, though that may pass, and the parent's tries are all there are", function()
    local s = scripted.new(function() return scripted.broken "connect" end)
    for n = 1, 3 do
      local before = s.clock:boot()
      assert.equal("connect", (select(3, assert(s.client:tenant(id("a" .. n))):token())))
      assert.is_true(s.clock:boot() - before < 4)
      assert.equal(4, s.requests)
    end
  end)

  it("asks again, and nothing is closed, where the parent's token is invalidated while it waits for that", function()
    local s = scripted.new({ token("p1", 7200), token("p2", 7200), token("a1", 900) }, { wait = coroutine.yield })
    s.took = 1
    local tenant = assert(s.client:tenant(id "abc"))
    local waiter = coroutine.wrap(function() return tenant:token() end)
    local got = waiter()
    s:wait(1)
    assert.equal("p1", s.client:token())
    assert.is_true(s.client:invalidate "p1")
    for _ = 1, 5 do
      got = math.type(got) == "integer" and waiter() or got -- a descriptor to wait for
      s:wait(1)
    end
    assert.equal("a1", got)
    assert.equal(3, s.requests)
  end)

  it("has fields and authentication of its own where a server wants them", function()
    local s = scripted.new({ token("parent", 1000), token("tenant", 900) },
      { scope = "hpe-tenant", auth_style = "basic" })
    local tenant = assert(s.client:tenant(id "abc", {
      token_url = "https://as.example/token", authenticate = true, audience = "a", cluster = "us-2",
    }))
    assert.equal("tenant", tenant:token())
    assert.equal("https://as.example/token", s.last_request.url)
    assert.equal("basic", s.last_request.style)
    assert.equal("an-identifier", s.last_request.client_id)
    local expected = core.form { -- the parent's scope is none of its own
      "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "parent",
      "subject_token_type", "urn:ietf:params:oauth:token-type:access_token", "audience", "a",
    }
    assert.is_true(s.last_request.form:equal(expected))
    s.replies[3] = scripted.api(200)
    assert(tenant:get "/x")
    assert.equal("https://us2.api.central.arubanetworks.com/x", s.last_request.url)
  end)

  it("refuses tokens that are none to use", function()
    local s = scripted.new { token("parent", 1000), { status = 200, body = '{"access_token":"x","token_type":"N_A"}' } }
    local message, code = select(2, assert(s.client:tenant(id "abc")):token())
    assert.equal("reply", code)
    assert.truthy(message:find("N_A", 1, true))
  end)

  it("ends with its parent", function()
    local s = scripted.new { token("parent", 1000), token("tenant", 900) }
    local tenant = assert(s.client:tenant(id "abc"))
    tenant:token()
    local other = assert(s.client:tenant(id "abc", { scope = "x" }))
    assert.not_equal(tenant, other)
    s.client:close()
    assert.equal("closed", select(3, tenant:token()))
    assert.equal("closed", select(3, other:token()))
    assert.equal("closed", select(3, s.client:tenant(id "abc")))
  end)

  it("is refused with words where its id or an option is wrong", function()
    local s = scripted.new {}
    assert.equal("config", select(3, s.client:tenant("a/b", { token_url = "https://as.example/token" })))
    assert.equal("config", select(3, s.client:tenant(id "a", { cluster = "nowhere" })))
    for part, call in pairs {
      ["a string, expected"] = function() s.client:tenant() end,
      ["unknown option"] = function() s.client:tenant(id "a", { client_id = "x" }) end,
      ["authenticate: boolean expected"] = function() s.client:tenant(id "a", { authenticate = 1 }) end,
      ["option params: a number does not fit"] = function() s.client:tenant(id "a", { params = 1 }) end,
      ["a table of options"] = function() s.client:tenant(id "a", 1) end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(message:find(part, 1, true), message)
    end
  end)
end)

describe("a tenant's name", function()
  local function tenants(...)
    local items = {}
    for n, name in ipairs { ... } do
      items[n] = ('{"id":"%s","workspaceName":"%s"}'):format(id(n), name)
    end
    return scripted.api(200, ('{"items":[%s],"offset":0,"count":%d,"total":%d}'):format(table.concat(items, ","),
      #items, #items))
  end

  it("is that of one tenant exactly, and the list is read from GreenLake", function()
    local s = scripted.new { token("parent", 1000), tenants("ABB", "ABB AG", "abb"), token("tenant", 900) }
    local tenant = assert(s.client:tenant "ABB AG")
    assert.equal("https://global.api.greenlake.hpe.com/workspaces/v1/msp-tenants?limit=300", s.last_request.url)
    assert.equal("tenant", tenant:token())
    assert.truthy(s.last_request.url:find("/" .. id "2" .. "/token", 1, true))
    assert.equal(3, s.requests)
    s.replies[4] = tenants "ABB AG"
    s.replies[5] = tenants("a", "ABB AG")
    assert.equal(s.client:tenant(id "1"), s.client:tenant "ABB AG")
    assert.equal(tenant, s.client:tenant "ABB AG") -- the name of another one now
  end)

  it("that no tenant has, or several have, is a failure", function()
    local s = scripted.new { token("parent", 1000), tenants("Bakery", "Bakeries"), tenants("A", "B", "A"), tenants() }
    local _, message, code = s.client:tenant "bakery"
    assert.equal('none of 2 tenants has the name bakery; did you mean "Bakery"?', message)
    assert.equal("config", code)
    _, message, code = s.client:tenant "A"
    assert.equal(("2 tenants have the name A; set the id of one of them: %s, %s"):format(id "1", id "3"), message)
    assert.equal("config", code)
    assert.matches("^none of 0 tenants has the name x$", (select(2, s.client:tenant "x")))
  end)

  it("can't be looked up where the API fails, or the client is closed", function()
    local s = scripted.new { token("parent", 1000), scripted.api(403, '{"message":"not an MSP"}'),
      scripted.api(200, '{"items":[{"workspaceName":"A"}]}') }
    local _, message, code, detail = s.client:tenant "A"
    assert.matches("msp%-tenants: HTTP status 403.*not an MSP", message)
    assert.same({ "api", 403 }, { code, detail.status })
    _, message, code = s.client:tenants()
    assert.equal("GreenLake's list of tenants has one without an id", message)
    assert.equal("reply", code)
    s.client:close()
    assert.equal("closed", select(3, s.client:tenant "A"))
    assert.equal("closed", select(3, s.client:tenants()))
  end)
end)

describe("over the network", function()
  local server, folder
  before_each(function() server, folder = sandbox.start(), process.scratch() end)
  after_each(function()
    server:close()
    process.remove(folder)
  end)

  it("a hundred tenants share a parent's token and a few connections", function()
    local c <close> = assert(auth.new(server:options()))
    local before, seen = process.count(), {}
    for n = 1, 100 do
      local tenant = assert(c:tenant(("%032x"):format(n)))
      seen[assert(tenant:token())] = tenant -- and keeps it
      assert(tenant:get "/network-monitoring/v1/gateways")
    end
    assert.equal(101, server:requests().token)
    assert.is_true(process.count() <= before + 16, process.count() - before)
    local distinct = 0
    for _ in pairs(seen) do
      distinct = distinct + 1
    end
    assert.equal(100, distinct)
  end)

  it("tenants' tokens are shared between processes, apart from the parent's and from each other", function()
    local options = server:options()
    options.cache = folder
    local c <close> = assert(auth.new(options))
    local one, other = c:tenant(id "aa"):token(), c:tenant(id "bb"):token()
    local again <close> = assert(auth.new(options))
    assert.equal(one, again:tenant(id "aa"):token())
    assert.equal(other, again:tenant(id "bb"):token())
    assert.not_equal(one, other)
    assert.equal(c:token(), again:token())
    assert.equal(3, server:requests().token)
  end)

  it("what a parent may do, its tenants' tokens may, and no other's", function()
    local tokens = {}
    for n, scope in ipairs { "read", "admin", "read" } do
      local options = server:options()
      options.cache, options.scope = folder, scope
      local c <close> = assert(auth.new(options))
      tokens[n] = c:tenant(id "aa"):token()
    end
    assert.equal(tokens[1], tokens[3])
    assert.not_equal(tokens[1], tokens[2])
  end)

  it("ten at once outlive the parent's token, and again", function()
    local options = server:options()
    options.wait = loops.cqueues
    local clock = core.clock()
    local c <close> = client.new(assert(config.resolve(options)), { clock = clock })
    local tenants = {}
    for n = 1, 10 do
      tenants[n] = assert(c:tenant(("%032x"):format(n)))
    end
    for round = 1, 2 do
      clock:shift(16, 16) -- a parent's token is given up four times a minute at most
      server:revoke()
      server:latency(round * 0.05)
      local loop, good = cqueues.new(), 0
      for n = 1, 10 do
        loop:wrap(function()
          assert(tenants[n]:get "/network-monitoring/v1/gateways")
          good = good + 1
        end)
      end
      assert(loop:loop())
      assert.equal(10, good)
    end
    assert.is_true(server:requests().token <= 11 + 10 + 11 + 10, server:requests().token)
  end)

  it("tenants are listed, page by page, and found by name", function()
    local c <close> = assert(auth.new(server:options()))
    local list = assert(c:tenants())
    assert.equal(7, #list)
    assert.equal("tenant-07", list[7].name)
    assert.equal("MSP_OWNED_INVENTORY", list[7].inventory)
    assert.equal(c:tenant(list[7].id), c:tenant "tenant-07")
    local ids = {}
    for item in c:pages("/workspaces/v1/msp-tenants", { app = "greenlake", query = { limit = 2 } }) do
      ids[#ids + 1] = item.id
    end
    assert.equal(7, #ids)
    assert.equal(list[7].id, ids[7])
  end)

  it("a revoked tenant token costs a new one, and a new parent's where that was revoked, too", function()
    local c <close> = assert(auth.new(server:options()))
    local tenant = c:tenant(id "aa")
    assert(tenant:get "/network-monitoring/v1/aps")
    server:revoke()
    assert(tenant:get "/network-monitoring/v1/aps")
    assert.equal(5, server:requests().token) -- two, the exchange that failed, two
  end)
end)

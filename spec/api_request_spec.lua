-- API calls: with a movable clock and replies from a list, and over the network against the sandbox.
local auth = require "central.auth"
local cjson = require "cjson"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

local api, token = scripted.api, scripted.token
local BASE = "https://us1.api.central.arubanetworks.com"

local function client(replies, options)
  return scripted.new(replies, with({ base_url = BASE }, options))
end

describe("a call", function()
  it("carries the token and hands out the reply", function()
    local s = client { token("t1", 1000), api(200, '{"items":[1],"next":null}', {
      "Content-Type", "application/json; charset=utf-8", "X-Many", "a", "x-many", "b",
    }) }
    local reply = assert(s.client:get "/network-monitoring/v1/aps")
    assert.equal(200, reply.status)
    assert.equal("a, b", reply.headers["x-mANY"])
    assert.is_nil(reply.headers.absent)
    assert.equal(1, reply.json.items[1])
    assert.equal(cjson.null, reply.json.next)
    assert.equal("GET", s.last_request.method)
    assert.equal(BASE .. "/network-monitoring/v1/aps", s.last_request.url)
    assert.equal("central.auth.reply (HTTP 200, 25 bytes)", tostring(reply))
  end)

  it("hands out a reply whose fields can all be listed, read before or not", function()
    local s = client { token("t1", 1000), api(200, "ok", { "X-RateLimit-Limit", "600" }) }
    local fields = {}
    for name in pairs(assert(s.client:get "/x")) do
      fields[#fields + 1] = name
    end
    table.sort(fields)
    assert.same({ "body", "headers", "rate_limit", "status" }, fields)
  end)

  it("says closed after close, whatever it asks for", function()
    local s = client {}
    s.client:close()
    for _, arguments in ipairs { { "/x" }, { "//" }, { "/x", { timeout = -1 } } } do
      local reply, _, code = s.client:get(table.unpack(arguments))
      assert.is_nil(reply)
      assert.equal("closed", code)
    end
  end)

  it("goes where its target leads, however many there are", function()
    local s = client(function(number) return number == 1 and token("t1", 1000) or api(200) end)
    for round = 1, 2 do
      for n = 1, 300 do
        assert(s.client:get(("/x/%d"):format(n), round == 1 and { query = { page = n } } or nil))
        assert.equal(("%s/x/%d%s"):format(BASE, n, round == 1 and ("?page=%d"):format(n) or ""), s.last_request.url)
      end
    end
  end)

  it("has a query, header fields and a body of either kind", function()
    local s = client { token("t1", 1000), api(201), api(204), api(200), api(200) }
    assert(s.client:post("/x?a=1", { query = { b = { 1, "x y" } }, json = { name = "n" }, headers = { ["X-Id"] = 7 } }))
    assert.equal(BASE .. "/x?a=1&b=1&b=x%20y", s.last_request.url)
    local lines = s.last_request.headers
    assert.truthy(lines:find("Content-Type: application/json", 1, true))
    assert.truthy(lines:find("X-Id: 7", 1, true))
    assert.truthy(lines:find("Accept: application/json", 1, true))
    assert.equal('{"name":"n"}', s.last_request.body)
    assert(s.client:put("/x", { body = "<a/>", content_type = "text/xml", headers = { accept = "text/xml" } }))
    lines = s.last_request.headers
    assert.truthy(lines:find("Content-Type: text/xml", 1, true))
    assert.is_nil(lines:find("Accept: application/json", 1, true))
    assert(s.client:patch "/x")
    assert.equal("", s.last_request.body)
    assert(s.client:delete "/x")
    assert.is_nil(s.last_request.body)
    s.replies[6] = api(200)
    assert(s.client:patch("/x", { json = {}, content_type = "application/merge-patch+json" }))
    lines = s.last_request.headers
    assert.truthy(lines:find("Content-Type: application/merge-patch+json", 1, true))
  end)

  it("goes to GreenLake where the option app says so, and for a path only", function()
    local s = client { token("t1", 1000), api(200), api(200), api(200) }
    local GREENLAKE = "https://global.api.greenlake.hpe.com"
    assert(s.client:get("/devices/v1/devices", { app = "greenlake", query = { limit = 1 } }))
    assert.equal(GREENLAKE .. "/devices/v1/devices?limit=1", s.last_request.url)
    assert(s.client:post(GREENLAKE .. "/x", { app = "greenlake", json = {} }))
    assert.equal(GREENLAKE .. "/x", s.last_request.url)
    assert(s.client:get("/x", { app = "central" }))
    assert.equal(BASE .. "/x", s.last_request.url)
    local message, code = select(2, s.client:get(BASE .. "/x", { app = "greenlake" }))
    assert.matches("which is not the host of greenlake_url", message)
    assert.equal("config", code)
    assert.matches("which is not the host of base_url", (select(2, s.client:get(GREENLAKE .. "/x"))))
  end)

  it("needs no base_url for GreenLake, whose address is an option, too", function()
    local s = scripted.new({ token("t1", 1000), api(200) }, { greenlake_url = "https://127.0.0.1:8443/" })
    assert(s.client:get("/x", { app = "greenlake" }))
    assert.equal("https://127.0.0.1:8443/x", s.last_request.url)
  end)

  it("tells rate limits, whichever way they are written", function()
    local s = client {
      token("t1", 1000),
      api(200, "", { "RateLimit-Limit", "600", "ratelimit-remaining", "12", "rateLimit-reset", "30" }),
      api(200, "", { "X-RateLimit-Reset", "2026-11-24T21:00:00Z", "X-RateLimit-Limit", "5000",
        "x-ratelimit-remaining", "0" }),
      api(200, ""),
    }
    assert.same({ limit = 600, remaining = 12, reset = 30 }, s.client:get("/x").rate_limit)
    s.replies[3].date = 1795551600 -- 2026-11-24 20:20:00 UTC
    local limit = s.client:get("/x").rate_limit
    assert.equal(2400, limit.reset)
    assert.equal(0, limit.remaining)
    assert.is_nil(s.client:get("/x").rate_limit)
  end)

  it("believes no rate limit that is none", function()
    for _, reset in ipairs { "-5", "1e308", "0x10", "1e999", "nan", "soon", "9999999999999999999", "99999999" } do
      local s = client { token("t1", 1000), api(200, "", { "RateLimit-Reset", reset }) }
      assert.is_nil(s.client:get("/x").rate_limit, reset)
    end
    local s = client { token("t1", 1000), api(200, "", { "RateLimit-Reset", "1795551630000" }) }
    s.replies[2].date = 1795551600
    assert.equal(30, s.client:get("/x").rate_limit.reset)
  end)

  it("leaves a raw reply as it is, whatever its status", function()
    local s = client { token("t1", 1000), api(404, "{"), api(200, "{") }
    local reply = assert(s.client:get("/x", { raw = true }))
    assert.equal(404, reply.status)
    assert.is_nil(reply.json)
    assert.equal("{", s.client:get("/x", { raw = true }).body)
  end)

  it("takes JSON for what the reply says it is", function()
    local s = client { token("t1", 1000), api(200, "<html>"),
      api(200, "[1]", { "Content-Type", "application/problem+json" }),
      api(200, "[1]", { "Content-Type", "text/plain" }), api(200, ""), api(200, "null"), api(200, "false"),
      api(200, "{}\n{}", { "Content-Type", "application/x-ndjson" }) }
    local none, message, code, detail = s.client:get "/x"
    assert.is_nil(none)
    assert.equal("reply", code)
    assert.truthy(message:find("GET /x: the reply's body is not valid JSON", 1, true), message)
    assert.equal("<html>", detail.reply.body)
    assert.same({ 1 }, s.client:get("/x").json)
    assert.is_nil(s.client:get("/x").json)
    assert.is_nil(s.client:get("/x").json)
    assert.equal(cjson.null, s.client:get("/x").json)
    assert.is_false(s.client:get("/x").json)
    assert.is_nil(assert(s.client:get "/x").json)
  end)
end)

describe("a failure of an API", function()
  it("has the call, the status and the server's words, and no secret", function()
    local s = client { token("t1-a-token", 1000), api(404, '{"httpStatusCode":404,'
      .. '"errorCode":"HPE_GL_ERROR_NOT_FOUND","message":"no t1-a-token \\u202e here","debugId":"x"}') }
    local none, message, code, detail = s.client:get("/sites/a", { query = { secret = "x" } })
    assert.is_nil(none)
    assert.equal("api", code)
    assert.equal("GET /sites/a: HTTP status 404; the server says: HPE_GL_ERROR_NOT_FOUND: no [redacted] \\u{202E} here"
      .. " (debugId x)", message)
    assert.equal(404, detail.status)
    assert.equal("x", detail.reply.json.debugId)
    assert.same({ "HPE_GL_ERROR_NOT_FOUND", "no [redacted] \\u{202E} here", "x" },
      { detail.errorCode, detail.message, detail.debugId })
  end)

  it("has the reason of a Bearer challenge, also where the body says nothing", function()
    local s = client { token("t1-a-token", 1000), api(403, "", { "WWW-Authenticate", 'Basic realm="a"',
      "www-authenticate",
      'Bearer realm="b", error="insufficient_scope", error_description="t1-a-token lacks \\"write\\"\27"' }) }
    local _, message, code, detail = s.client:get "/x"
    assert.equal("api", code)
    assert.truthy(message:find('; the server says: insufficient_scope: [redacted] lacks "write"\\u{1B}', 1, true),
      message)
    assert.equal("insufficient_scope", detail.oauth_error)
    assert.equal('[redacted] lacks "write"\\u{1B}', detail.error_description)
  end)

  it("tells a missing role and a redirect", function()
    local s = client { token("t1", 1000), api(403, ""), api(302, "") }
    assert.truthy(select(2, s.client:get "/x"):find("role", 1, true))
    s.replies[3].location_host = "evil.example"
    local message, code = select(2, s.client:get "/x")
    assert.equal("api", code)
    assert.truthy(message:find("a redirect to evil.example, not followed", 1, true))
  end)

  it("of the network names call and host, and where the host of a path was set", function()
    local function fails(target, options, call)
      local s = client({ token("t1", 1000), scripted.broken "connect" }, options)
      local message, code = select(2, s.client:get(target, with({ retry = false }, call)))
      assert.equal("connect", code)
      return message
    end
    local by_cluster = { base_url = scripted.NONE, cluster = "US-1" }
    assert.equal("GET /x: it broke (asking us1.api.central.arubanetworks.com, base_url from the argument base_url)",
      fails "/x")
    assert.equal("GET " .. BASE .. "/x: it broke (asking us1.api.central.arubanetworks.com)", fails(BASE .. "/x"))
    assert.matches("%(asking us1%.api%.[%w.]+, cluster from the argument cluster%)$", fails("/x", by_cluster))
    assert.matches("%(asking global.api.greenlake.hpe.com%)$", fails("/x", nil, { app = "greenlake" }))
    assert.matches("%(asking gl.example, greenlake_url from the argument greenlake_url%)$",
      fails("/x", { greenlake_url = "https://gl.example" }, { app = "greenlake" }))
  end)
end)

describe("after a 401", function()
  it("the call is made once more with another token, body and all", function()
    local s = client { token("t1", 1000), api(401), token("t2", 1000), api(200, '{"ok":true}') }
    local reply = assert(s.client:post("/x", { json = { a = 1 } }))
    assert.is_true(reply.json.ok)
    assert.equal('{"a":1}', s.last_request.body)
    assert.equal(4, s.requests)
    assert.same({ "fetched", "invalidated", "renewed" }, s.events)
  end)

  it("a second one is the answer", function()
    local s = client { token("t1", 1000), api(401), token("t2", 1000), api(401, '{"message":"no"}') }
    local none, message, code, detail = s.client:get "/x"
    assert.is_nil(none)
    assert.equal("api", code)
    assert.equal(401, detail.status)
    assert.truthy(message:find("another workspace or region", 1, true), message)
    assert.truthy(message:find("the server says: no", 1, true))
    assert.equal("t2", s.client:token())
  end)

  it("a reset credential is told apart", function()
    local s = client { token("t1", 1000), api(401), scripted.refusal "invalid_client" }
    local message, code, detail = select(2, s.client:get "/x")
    assert.equal("oauth", code)
    assert.equal("invalid_client", detail.oauth_error)
    assert.truthy(message:find("GET /x: the API refused the token, and getting another failed", 1, true), message)
    assert.truthy(message:find("reset or deleted", 1, true))
  end)

  it("a gateway of classic Central is named", function()
    local host = "apigw-prod2.central.arubanetworks.com"
    local s = client({ token("t1", 1000), api(401), token("t2", 1000), api(401) }, { hosts = host })
    assert.truthy(select(2, s.client:get("https://" .. host .. "/x")):find("a gateway of classic Central", 1, true))
  end)

  it("an older token of another process is none to judge by", function()
    local s, replies = nil, { token("t1", 1000), api(401), api(401), token("t3", 1000), api(200) }
    s = client(function(n)
      if n == 2 then -- dead, too, and got before the refusal
        local raw = token("t2", 1000)
        raw.sent_boot, raw.sent_wall = s.clock:boot() - 1, s.clock:wall() - 1
        select(2, next(s.world:folder("/shared").records)).last = s.world:record(raw)
      end
      return replies[n]
    end, { cache = "/shared" })
    assert(s.client:token())
    s:wait(10)
    assert(s.client:get "/x")
    assert.equal(5, s.requests)
  end)

  it("a host that refuses even new tokens costs no more of them, for a minute", function()
    local s = client(function(n) return (n == 1 or n == 3) and token("t" .. n, 1000) or api(401) end)
    for _ = 1, 15 do
      local message, code = select(2, s.client:get "/x")
      assert.equal("api", code)
      assert.truthy(message:find("refuses even a token that was just issued", 1, true))
    end
    assert.equal(2 + 2 + 14, s.requests)
    assert.equal("t3", s.client:token())
  end)

  it("a raw 401 is no sign that the host accepts the token", function()
    local s = client(function(n) return (n == 1 or n == 3) and token("t" .. n, 1000) or api(401) end)
    for _ = 1, 15 do
      assert.equal(401, assert(s.client:get("/x", { raw = true })).status)
    end
    assert.equal(2 + 2 + 14, s.requests)
    assert.truthy(select(2, s.client:get "/y"):find("refuses even a token that was just issued", 1, true))
  end)

  describe("of one call among good ones", function()
    -- Tokens t1, t2, …, for as long as they are needed; `answers(request, token)` is what the API says.
    local function with_api(answers)
      local s
      s = client(function()
        if not s.last_request.method then
          s.tokens = (s.tokens or 0) + 1
          return token("t" .. s.tokens, 7200)
        end
        return api(answers(s.last_request.method, s.last_request.url:sub(#BASE + 1), s.tokens) and 200 or 401, "")
      end)
      return s
    end

    it("the answer is that 401, and the token that the host accepts stays", function()
      local s = with_api(function(_, path) return path ~= "/forbidden" end)
      for _ = 1, 16 do
        assert(s.client:get "/good")
        local message, code, detail = select(2, s.client:get "/forbidden")
        assert.same({ "api", 401 }, { code, detail.status })
        assert.truthy(message:find("accepts this token for other calls", 1, true), message)
      end
      assert.equal(1, s.tokens)
      assert.same({ "fetched" }, s.events)
    end)

    it("a token that was never accepted is replaced once in a minute, whatever follows", function()
      local s = with_api(function(_, path) return path ~= "/forbidden" end)
      for n = 1, 16 do
        assert.equal("api", select(3, s.client:get "/forbidden"))
        assert.equal(2, s.tokens, n)
        assert(s.client:get "/good")
      end
      s:wait(61)
      assert.equal("api", select(3, s.client:get "/forbidden"))
      assert.equal(3, s.tokens)
    end)

    it("a method or a query that is forbidden costs as little", function()
      local s = with_api(function(method, path) return method == "GET" and path ~= "/sites?id=2" end)
      for _ = 1, 16 do
        assert(s.client:get "/sites")
        assert.equal("api", select(3, s.client:put "/sites"))
        assert(s.client:get("/sites", { query = { id = 1 } }))
        assert.equal("api", select(3, s.client:get("/sites", { query = { id = 2 } })))
      end
      assert.equal(2, s.tokens)
    end)

    it("the call that succeeded last is not among those that are forgotten", function()
      local dead = 0
      local s = with_api(function(_, path, n) return n > dead and path ~= "/forbidden" end)
      assert.equal("api", select(3, s.client:get "/forbidden")) -- without proof no more is replaced for a minute
      for n = 1, 63 do
        assert(s.client:get("/other" .. n))
      end
      assert(s.client:get "/polled?limit=1")
      dead = s.tokens
      assert(s.client:get "/polled?limit=1")
    end)

    it("a young token that the same call succeeded with before is replaced", function()
      local dead = 0
      local s = with_api(function(_, path, n) return n > dead and path ~= "/forbidden" end)
      for n = 1, 4 do
        assert(s.client:get "/good")
        assert.equal("api", select(3, s.client:get "/forbidden"))
        assert.equal(n, s.tokens)
        dead = s.tokens
      end
      assert(s.client:get "/good")
    end)

    it("a page of a collection that was good before has another query, and the token is replaced", function()
      local dead = 0
      local s = with_api(function(_, _, n) return n > dead end)
      assert(s.client:get("/aps", { query = { next = 1 } }))
      dead = 1
      assert(s.client:get("/aps", { query = { next = 2 } }))
      assert.equal(2, s.tokens)
    end)

    it("an endpoint whose answers alternate leaves half of the permitted requests", function()
      local count = 0
      local s = with_api(function()
        count = count + 1
        return count % 3 == 1
      end)
      for _ = 1, 40 do
        s.client:get "/moody"
      end
      assert.is_true(s.tokens <= 6, s.tokens)
    end)

    it("what is remembered of a token is bounded, and ends with it", function()
      local refused
      local s = with_api(function(_, path) return not refused or path:find("^/y") end)
      for n = 1, 300 do
        assert(s.client:get("/x" .. n, { query = { long = ("x"):rep(n > 200 and 1000 or 1) } }))
      end
      refused = true
      assert.equal("api", select(3, s.client:get "/x1"))
      assert.equal(1, s.tokens)
      assert.equal("api", select(3, s.client:get "/x300"))
      assert.equal(2, s.tokens)
      assert(s.client:get "/y")
      assert.equal("api", select(3, s.client:get "/x299"))
      assert.equal(2, s.tokens)
    end)
  end)

  it("a token that another call has replaced meanwhile is not replaced again", function()
    local s = client({ token("t1", 1000), api(401), token("t2", 1000), api(200) },
      { wait = function() coroutine.yield() end })
    s.replies[2].took = 1
    local call = coroutine.create(function() return s.client:get "/x" end)
    assert(s.client:token())
    assert(coroutine.resume(call))
    assert.equal("t2", s.client:renew())
    s:wait(1)
    while coroutine.status(call) ~= "dead" do
      assert(coroutine.resume(call))
    end
    assert.equal(4, s.requests)
    assert.equal("t2", s.client:token())
  end)
end)

describe("a busy server", function()
  it("is asked again when it says so", function()
    local s = client { token("t1", 1000), api(429), api(200) }
    s.replies[2].retry_after = 3
    assert(s.client:post("/x", { timeout = 5 }))
    assert.is_true(s.slept >= 3 and s.slept < 5, s.slept)
    assert.same({ "fetched", "retry" }, s.events)
  end)

  it("is asked again when its rate limit is reset", function()
    local s = client { token("t1", 1000), api(429, "", { "RateLimit-Reset", "2" }), api(200) }
    assert(s.client:get "/x")
    assert.is_true(s.slept >= 2 and s.slept < 4, s.slept)
  end)

  it("is left alone where that would take too long, at once", function()
    for _, status in ipairs { 429, 503 } do
      local s = client { token("t1", 1000), api(status) }
      s.replies[2].retry_after = 60
      local message, code, detail = select(2, s.client:get("/x", { timeout = 5 }))
      assert.equal("rate_limited", code)
      assert.equal(60, detail.retry_after)
      assert.truthy(message:find("try again in 60 s", 1, true))
      assert.equal(0, s.slept)
    end
  end)

  it("is asked four times at most, with growing pauses", function()
    local s = client({ token("t1", 1000), api(503), api(503), api(503), api(503) }, { timeout = 60 })
    local code = select(3, s.client:get "/x")
    assert.equal("api", code)
    assert.equal(5, s.requests)
    assert.is_true(s.slept > 3 and s.slept < 4, s.slept) -- 0.5 + 1 + 2
  end)

  it("is not asked to act twice", function()
    for _, answer in ipairs { api(503), api(500), scripted.broken "network", scripted.broken "timeout" } do
      for _, method in ipairs { "POST", "PATCH" } do
        local s = client { token("t1", 1000), answer }
        assert.is_nil((s.client:request(method, "/x")))
        assert.equal(2, s.requests)
      end
    end
    for _, answer in ipairs { api(429), scripted.broken "connect", scripted.broken "resolve" } do
      local s = client { token("t1", 1000), answer, api(200) }
      assert(s.client:request("POST", "/x"))
      assert.equal(3, s.requests)
    end
    for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "get" } do
      local s = client { token("t1", 1000), scripted.broken "network", api(200) }
      assert(s.client:request(method, "/x"))
    end
  end)

  it("has no more time than the call", function()
    local s = client { token("t1", 1000), api(200) }
    s.client:token()
    s.took = 3
    assert.equal("timeout", select(3, s.client:post("/x", { timeout = 2 })))
  end)
end)

describe("a mistake in a call", function()
  local s
  before_each(function() s = client { token("t1", 1000) } end)

  it("raises where it is one of the program", function()
    for part, call in pairs {
      ["one of DELETE, GET"] = function() s.client:request("FETCH", "/x") end,
      ["target: string expected"] = function() s.client:get(7) end,
      ["a table of options expected"] = function() s.client:get("/x", "y") end,
      ['did you mean "query"'] = function() s.client:get("/x", { qeury = {} }) end,
      ["option query: table expected, got string"] = function() s.client:get("/x", { query = "a=b" }) end,
      ["option body: string expected"] = function() s.client:post("/x", { body = {} }) end,
      ['app: "central" or "greenlake" expected, got "glp"'] = function() s.client:get("/x", { app = "glp" }) end,
      ["with a colon"] = function() s.client.get "/x" end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(message:find(part, 1, true), message)
      assert.truthy(message:find("api_request_spec.lua:", 1, true), message)
    end
  end)

  it("is a failure of code config where it may come from data; nothing is sent", function()
    for part, options in pairs {
      ["GET /x: headers: \"a b\" is not the name"] = { headers = { ["a b"] = "c" } },
      ["GET /x: headers: Authorization is set by central-auth"] = { headers = { Authorization = "Bearer x" } },
      ["GET /x: headers: X-A: the value contains a control character"] = { headers = { ["X-A"] = "b\r\nX-C: d" } },
      ["GET /x: headers: X-A: string expected, got table"] = { headers = { ["X-A"] = {} } },
      ["GET /x: json: "] = { json = { print } },
      ["GET /x: json and body conflict"] = { json = {}, body = "" },
      ["GET /x: content_type is set, but there is no body"] = { content_type = "text/plain" },
      ["GET /x: content_type: the value contains a control"] = { body = "x", content_type = "a\nb" },
      ["GET /x: a: a string, a number"] = { query = { a = print } },
      ["GET /x: timeout: a number of seconds"] = { timeout = -1 },
      ["GET /x: the body has 16777217 bytes"] = { body = ("x"):rep(16 * 1024 * 1024 + 1) },
    } do
      local none, message, code = s.client:get("/x", options)
      assert.is_nil(none)
      assert.equal("config", code)
      assert.truthy(message:find(part, 1, true), message)
    end
    local many = {}
    for n = 1, 70 do
      many["X-" .. n] = n
    end
    for _, options in ipairs {
      { json = { [1] = 1, [1000] = 2 } }, { json = 0 / 0 }, { timeout = 0 / 0 },
      { json = { { id = 1700000000123456 } } }, { json = { 0.1 + 0.2 } }, { json = "\xFF" }, { headers = many },
      { query = { id = { 1, nil, 3 } } },
    } do
      assert.equal("config", select(3, s.client:get("/x", options)))
    end
    assert.is_nil(select(2, s.client:get "https://u:s3cret@host/x"):find("s3cret", 1, true))
    assert.equal("config", select(3, s.client:get "/a/../b"))
    assert.equal("config", select(3, s.client:get "https://evil.example/x"))
    assert.equal(0, s.requests)
  end)

  it("of the base is found when it is set", function()
    for option, value in pairs { cluster = "US-11", base_url = "https://a/b?c", hosts = { "https://x" } } do
      local none, message, code, detail = auth.new { client_id = "a", client_secret = "b", [option] = value }
      assert.is_nil(none)
      assert.equal("config", code)
      assert.equal(option, detail.option)
      assert.truthy(option ~= "cluster" or message:find('did you mean "US-1"', 1, true), message)
    end
    for name, host in pairs { ["US-WEST-4"] = "us4", ["eu-1"] = "de1", GE2 = "ge2", China = "cn1", ["in"] = "in" } do
      local made = scripted.new({}, { cluster = name })
      assert.truthy(made.config.base_url:find("https://" .. host .. ".api.central", 1, true))
    end
    assert.equal("config", select(3, scripted.new({}, {}).client:get "/x"))
  end)
end)

describe("over the network", function()
  local server
  before_each(function() server = sandbox.start() end)
  after_each(function() server:close() end)

  -- A client whose coroutines wait in a loop of cqueues; it has its token.
  local function in_a_loop()
    local c = assert(auth.new(with(server:options(), { wait = loops.cqueues })))
    assert(c:token())
    return c
  end

  it("a call says what it is told to, in HTTP/1.1", function()
    local c <close> = assert(auth.new(server:options()))
    for n = 1, 3 do
      local reply = assert(c:put("/sandbox/v1/echo", { query = { n = n }, json = { text = "é\n" } }))
      assert.equal(1.1, reply.json.version)
      assert.equal("n=" .. n, reply.json.query)
      assert.same({ text = "é\n" }, cjson.decode(reply.json.body))
    end
    assert.equal("", assert(c:request("HEAD", "/sandbox/v1/echo")).body)
    assert.same({ "DELETE", "", "" }, (function()
      local echo = assert(c:delete "/sandbox/v1/echo").json
      return { echo.method, echo.body, echo.content_type or "" }
    end)())
    assert.equal("POST", assert(c:post "/sandbox/v1/echo").json.method)
  end)

  it("large bodies go both ways", function()
    local c <close> = assert(auth.new(server:options()))
    local text = ("0123456789abcdef"):rep(40000)
    local reply = assert(c:post("/sandbox/v1/echo", { body = text, content_type = "text/plain" }))
    assert.equal(text, reply.json.body)
    assert.equal("text/plain", reply.json.content_type)
  end)

  it("a 401 storm of twenty coroutines costs one renewal", function()
    local c <close> = in_a_loop()
    server:revoke()
    local loop, good = cqueues.new(), 0
    for _ = 1, 20 do
      loop:wrap(function()
        assert(c:get "/network-monitoring/v1/aps")
        good = good + 1
      end)
    end
    assert(loop:loop())
    assert.equal(20, good)
    assert.equal(2, server:requests().token)
    assert.is_true(server:requests().api <= 40)
  end)

  it("the loop goes on while calls wait", function()
    local c <close> = in_a_loop()
    server:fail { of = "api", status = 503, times = 40, retry_after = 0 }
    local loop, ticks, done = cqueues.new(), 0, 0
    for _ = 1, 40 do
      loop:wrap(function()
        assert(c:get "/network-monitoring/v1/aps")
        done = done + 1
      end)
    end
    loop:wrap(function()
      while done < 40 do
        ticks = ticks + 1
        cqueues.sleep(0.005)
      end
    end)
    assert(loop:loop())
    assert.is_true(ticks > 5)
  end)

  it("no more than sixteen calls are under way", function()
    local other <close> = rude.start { data = { busy = 0, most = 0 }, handler = function(conn, request)
      local data, reply = conn.data, require("spec.support.rude").reply
      if request.method == "POST" then
        return conn:write(reply(200, nil, '{"access_token":"t1","token_type":"Bearer","expires_in":1000}'))
      end
      data.busy, data.left = data.busy + 1, 500
      data.most = math.max(data.most, data.busy)
      while data.most < 16 and data.left > 0 do
        conn:sleep(0.01)
        data.left = data.left - 1
      end
      conn:sleep(0.02) -- in which the others would come
      conn:write(reply(200, nil, ('{"most":%d}'):format(data.most)))
      data.busy = data.busy - 1
    end }
    local c <close> = neighbour.new(other, nil,
      { base_url = other.url:match "^%w+://[^/]+", wait = loops.cqueues, timeout = 20 })
    local loop, most = cqueues.new(), 0
    for _ = 1, 40 do
      loop:wrap(function() most = math.max(most, assert(c:get "/x").json.most) end)
    end
    assert(loop:loop())
    assert.equal(16, most)
  end)

  it("a loop that runs out of descriptors goes on, and so do its calls", function()
    local program = [[
      local auth, cqueues = require "central.auth", require "cqueues"
      local options = require("cjson").decode(os.getenv "OPTIONS")
      options.wait, options.timeout = require("central.auth.loops").cqueues, 10
      local c = assert(auth.new(options))
      assert(c:token())
      local loop, codes, longest, over = cqueues.new(), {}, 0, 0
      for _ = 1, 60 do
        loop:wrap(function()
          local reply, _, code = c:get("/sandbox/v1/echo", { query = { wait = 0.2 } })
          code = reply and "ok" or code
          codes[code], over = (codes[code] or 0) + 1, over + 1
        end)
      end
      loop:wrap(function()
        while over < 60 do
          local before = cqueues.monotime()
          cqueues.sleep(0.01)
          longest = math.max(longest, cqueues.monotime() - before)
        end
      end)
      assert(loop:loop())
      print((codes.ok or 0) > 0, (codes.config or 0) > 0, longest < 5)
    ]]
    local options = require("cjson").encode(server:options())
    local output = process.run(("ulimit -n 48; env %s lua5.4 -e %s"):format(
      process.assignments { OPTIONS = options }, process.quote(program)))
    assert.equal("true\ttrue\ttrue\n", output)
  end)

  it("a call that is given up leaves nothing under way", function()
    local c <close> = in_a_loop()
    local loop, before = cqueues.new(), process.count "task"
    loop:wrap(function()
      local killed = coroutine.create(function() c:get("/sandbox/v1/echo", { query = { wait = 30 } }) end)
      assert(coroutine.resume(killed))
      assert.equal(before + 1, process.count_now "task")
      assert(coroutine.close(killed))
      assert.equal(before, process.count_now "task")
      assert(c:get "/sandbox/v1/echo")
    end)
    assert(loop:loop())
    assert.equal("timeout", select(3, c:get("/sandbox/v1/echo", { query = { wait = 30 }, timeout = 0.05 })))
    assert.equal(before, process.count_now "task")
    assert(c:get "/sandbox/v1/echo")
  end)
end)

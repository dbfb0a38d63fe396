-- API calls to servers that break off, repeat themselves or take their time; over plain HTTP on the loopback address.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local ca = require "spec.support.ca"
local cqueues = require "cqueues"
local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local with = require "spec.support.with"

local function client(server, options)
  local base = server.url:match "^(https?://[^/]+)"
  return assert(auth.new(with({
    client_id = "an-identifier", client_secret = "a-long-enough-secret", token_url = server.url, base_url = base,
    greenlake_url = base, revocation_url = base .. "/revoke", cache = false,
  }, options)))
end

-- Tokens for who asks for one; for all else the handler's own.
local function start(handler)
  return rude.start { handler = handler }
end

describe("a call to a server that breaks off", function()
  it("is not sent twice on a kept connection, where it must not be", function()
    local server <close> = start(function(conn, request)
      local is_token = request.path == "/as/token.oauth2"
      local body = is_token and '{"access_token":"t","token_type":"Bearer","expires_in":3600}' or "{}"
      conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", #body, "\r\n\r\n", body)
      local second = conn:read_request() -- and no answer
      if second.method == "POST" and second.path == "/act" then
        error "it came on a connection that may break"
      end
    end)
    local c <close> = client(server)
    assert(c:get "/look")
    assert(c:post "/act")
    assert(c:get "/look")
    assert(c:patch "/act")
    local acts = 0
    for _, request in ipairs(server:requests()) do
      acts = acts + (request.path == "/act" and 1 or 0)
    end
    assert.equal(2, acts)
  end)

  it("that must not be sent twice has the network's failure", function()
    local server <close> = start(function(conn, request)
      if request.path == "/as/token.oauth2" then
        conn:write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
          .. '{"access_token":"t","token_type":"Bearer","expires_in":3600}')
      end
    end)
    local c <close> = client(server)
    local message, code = select(2, c:post("/act", { timeout = 2 }))
    assert.equal("network", code)
    assert.truthy(message:find("POST /act: ", 1, true), message)
    assert.equal(2, #server:requests())
  end)

end)

describe("a kept connection that is silent #slow #timing", function()
  local granter -- its tokens come from another server: so the connections are those of calls alone

  before_each(function() granter = neighbour.server(1, 3600) end)
  after_each(function() granter:close() end)

  local function caller(server)
    return client(server, { token_url = granter.url })
  end

  -- Answers the first requests of a connection, `data.good` of them, at once, and what follows after `data.silence`
  -- seconds, if ever. With `data.quick` all is as slow on further connections than so many.
  local function serve(data)
    return rude.start { data = data, handler = function(conn, request, n)
      for served = 0, 1000 do
        if served >= conn.data.good or n > (conn.data.quick or n) then
          conn:sleep(conn.data.silence)
        end
        local body = ('{"served":%d}'):format(served)
        if request.path == "/as/token.oauth2" then
          body = ('{"access_token":"t%d","token_type":"Bearer","expires_in":3600}'):format(n)
        end
        conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", #body, "\r\n\r\n", body)
        request = conn:read_request()
      end
    end }
  end

  local function seconds(call)
    local began = cqueues.monotime()
    call()
    return cqueues.monotime() - began
  end

  it("costs a call that may be repeated a quarter of its time, and is closed", function()
    local server <close> = serve { good = 1, silence = 30 }
    local c <close> = caller(server)
    assert(c:get "/x")
    for _, method in ipairs { "GET", "PUT", "DELETE" } do
      local took = seconds(function()
        assert.equal(0, assert(c:request(method, "/x", { timeout = 1 })).json.served)
      end)
      assert.is_true(took >= 0.25 and took < 0.9, took)
    end
    assert.equal(4, server:log().connections)
  end)

  it("costs a token request as little", function()
    local server <close> = serve { good = 1, silence = 30 }
    local c <close> = client(server, { timeout = 1 })
    assert(c:token())
    local took = seconds(function() assert(c:renew()) end)
    assert.is_true(took >= 0.25 and took < 0.9, took)
  end)

  it("is still heard where the server is slow", function()
    local server <close> = serve { good = 1, silence = 0.7, quick = 1 }
    local c <close> = caller(server)
    assert(c:get "/x")
    local took = seconds(function() assert.equal(1, assert(c:get("/x", { timeout = 1 })).json.served) end)
    assert.is_true(took >= 0.7, took)
    assert(c:get("/x", { timeout = 1 }))
  end)

  it("is waited for where a change is refused because the first is at work", function()
    local server <close> = rude.start { handler = function(conn, _, n)
      for served = 0, 1000 do
        if served > 0 then
          conn:sleep(0.5)
        end
        conn:write(n > 1 and "HTTP/1.1 409 Conflict" or "HTTP/1.1 200 OK",
          "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        conn:read_request()
      end
    end }
    local c <close> = caller(server)
    assert(c:get "/x")
    assert.equal(200, assert(c:put("/x", { timeout = 1 })).status)
    assert.equal(2, server:log().connections)
    assert.equal(200, assert(c:delete("/x", { timeout = 1 })).status)
    local _, _, _, detail = c:get("/x", { timeout = 1 })
    assert.equal(409, detail.status)
  end)

  it("leaves a refusal to the new one where it breaks", function()
    local server <close> = rude.start { handler = function(conn, _, n)
      if n > 1 then
        return conn:write("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", conn:sleep(0.2))
      end
      conn:write "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
      conn:read_request()
      conn:sleep(0.3) -- and the end
    end }
    local c <close> = caller(server)
    assert(c:get "/x")
    local _, _, _, detail = c:put("/x", { timeout = 1 })
    assert.equal(409, detail.status)
  end)

  it("ends the call with its time where a new one is silent, too", function()
    local server <close> = serve { good = 0, silence = 30 }
    local c <close> = caller(server)
    assert(c:token())
    local took = seconds(function() assert.equal("timeout", select(3, c:get("/x", { timeout = 0.2 }))) end)
    assert.is_true(took >= 0.19 and took < 1, took)
    assert.equal(1, server:log().connections)
  end)
end)

describe("a call to a host of an unusual name", function()
  local folder
  setup(function() folder = process.scratch() end)
  teardown(function() process.remove(folder) end)

  it("goes there: an underscore, a colon without a port", function()
    local authority = ca.new { folder = folder }
    local leaf = authority:issue { name = "server", names = { "my_host.localhost" }, ips = {} }
    local server <close> = rude.start { leaf = leaf, name = "my_host.localhost", handler = function(conn, request)
      local is_token = request.path == "/as/token.oauth2"
      local text = is_token and '{"access_token":"t","token_type":"Bearer","expires_in":3600}' or "[1]"
      conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ", #text,
        "\r\n\r\n", text)
    end }
    local options = { ca_file = authority.file, base_url = server.url:match "^https://[^/]+" }
    local c <close> = client(server, options)
    assert.same({ 1 }, assert(c:get "/x").json)
    assert.same({ 1 }, assert(c:get(options.base_url .. "/x")).json)
    options.base_url = "https://localhost:"
    local other <close> = client(server, options)
    local none, message = other:get("/x", { timeout = 0.2 })
    assert.is_nil(none)
    assert.truthy(message:find "^GET /x: .*%(asking localhost, base_url from the argument base_url%)", message)
  end)
end)

describe("a reply of another shape", function()
  -- A token, then these bytes.
  local function saying(bytes)
    local granted = '{"access_token":"a-token","token_type":"Bearer","expires_in":3600}'
    return rude.start { replies = { rude.reply(200, nil, granted), bytes } }
  end

  local function answering(body, headers)
    return saying(rude.reply(200, headers, body))
  end

  it("costs a character where one is none, not the page", function()
    for body, expected in pairs {
      ['"M\xFCnchen"'] = "M\u{FFFD}nchen", ['"caf\xE9"'] = "caf\u{FFFD}", ['"\u{E9}\xA9x"'] = "\u{E9}\u{FFFD}x",
      ['"\xED\xA0\x80 \xF0\x9F\x98"'] = "\u{FFFD} \u{FFFD}",
      ['"a\\ud83db"'] = "a\u{FFFD}b", ['"\\uDE00\\ud83d\\ude00\\ud83d"'] = "\u{FFFD}\u{1F600}\u{FFFD}",
      ['"\\ud83d \\\\ud83d"'] = "\u{FFFD} \\ud83d",
    } do
      local server <close> = answering(('{"items":[%s,"\u{20AC}"]}'):format(body))
      local c <close> = client(server)
      assert.same({ expected, "\u{20AC}" }, assert(c:get "/x").json.items)
    end
    local server <close> = answering('{"items":"' .. ("\xFF"):rep(1 << 20) .. '"}')
    local c <close> = client(server)
    assert.truthy(assert(c:get "/x").json.items)
  end)

  it("is JSON by text/json, by one of two lines, and not where it is blank", function()
    for head, found in pairs {
      ["Content-Type: text/json"] = true, ["Content-Type: application/json\r\nContent-Type: application/json"] = true,
      ["Content-Type: text/plain\r\nContent-Type: application/json; charset=utf-8"] = true,
      ["Content-Type: text/plain"] = false, ["Content-Type: text/jsonp"] = false,
    } do
      local server <close> = saying(("HTTP/1.1 200 OK\r\n%s\r\nConnection: close\r\n\r\n[1]"):format(head))
      local c <close> = client(server)
      assert.same(found and { 1 } or nil, assert(c:get "/x").json)
    end
    local server <close> = answering " \r\n"
    local c <close> = client(server)
    local reply = assert(c:get "/x")
    assert.is_nil(reply.json)
    assert.equal(" \r\n", reply.body)
  end)

  it("in an encoding is named, for identity was asked for", function()
    local server <close> = rude.start { handler = function(conn, request, n)
      local grant = '{"access_token":"t","token_type":"Bearer","expires_in":3600}'
      local body, status, encoding = "\x1F\x8B\8 and so on", 200, "gzip"
      if request.headers["accept-encoding"] ~= (request.path == "/text?mine" and "gzip" or "identity") then
        status = 500
      elseif n == 4 then
        body, encoding = grant, "Identity"
      elseif n == 2 or request.path == "/refused" then
        status = 403
      elseif request.path == "/none" then
        body = "[1]"
      end
      conn:write(("HTTP/1.1 %d Done\r\nContent-Type: %s\r\nContent-Encoding: %s\r\n"):format(status,
        request.path:find "^/text" and "text/plain" or "application/json", encoding), "Connection: close\r\n\r\n", body)
    end }
    local c <close> = client(server)
    local words = "; its Content-Encoding is gzip, which is not decoded here"
    local function fails(code, ...)
      local none, message, found = ...
      assert.is_nil(none)
      assert.equal(code, found)
      assert.truthy(message:find(words, 1, true), message)
    end
    fails("reply", c:renew())
    fails("http", c:renew())
    fails("reply", c:renew())
    assert(c:renew())
    fails("reply", c:get "/json")
    fails("reply", c:get "/text")
    fails("api", c:get "/refused")
    assert.same({ 1 }, assert(c:get "/none").json)
    assert.equal(200, assert(c:get("/text", { raw = true })).status)
    local own = assert(c:get("/text?mine", { headers = { ["accept-encoding"] = "gzip" } }))
    assert.equal("gzip", own.headers["content-encoding"])
  end)

  it("has its rate limit, whichever way it is written", function()
    local server <close> = answering("{}", { ["RateLimit-Limit"] = "100, 100;w=60", ["RateLimit-Remaining"] = "7 ",
      ["RateLimit-Reset"] = "17.25" })
    local c <close> = client(server)
    assert.same({ limit = 100, remaining = 7, reset = 17.25 }, assert(c:get "/x").rate_limit)
  end)

  it("loses no new secret", function()
    for body, headers in pairs {
      ['{"clientSecret":"the-new-secret"}'] = {},
      ['{"clientId":"another","clientSecret":"the-new-secret"}'] = { ["Content-Type"] = "text/plain" },
    } do
      local server <close> = answering(body, headers)
      local c <close> = client(server)
      local found = assert(c.credentials:reset "another")
      assert.equal("the-new-secret", found.client_secret)
      assert.equal("another", found.client_id)
      assert.is_nil(tostring(found):find("the-new-secret", 1, true))
    end
    local server <close> = answering '{"clientId":"x"}'
    local c <close> = client(server)
    local code, detail = select(3, c.credentials:reset "x")
    assert.equal("reply", code)
    assert.equal('{"clientId":"x"}', detail.reply.body)
  end)

  it("says that a reset may have happened where its reply was lost", function()
    local server <close> = saying "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"
    local c <close> = client(server)
    assert.truthy(select(2, c.credentials:reset "x"):find("may have been reset", 1, true))
  end)

  it("that nearly repeats a long token costs no more than another", function()
    local token = ("a"):rep(60000)
    local granted = ('{"access_token":"%s","token_type":"Bearer","expires_in":3600}'):format(token)
    local said = ('{"message":"%s"}'):format(token:sub(2) .. "b" .. token:rep(2))
    local server <close> = rude.start { replies = { rude.reply(200, nil, granted), rude.reply(400, nil, said) } }
    local c <close> = client(server)
    assert(c:token())
    local before = os.clock()
    local message, code = select(2, c:get("/look", { timeout = 5 }))
    assert.equal("api", code, message)
    assert.is_true(os.clock() - before < 3, ("%.1f s of CPU"):format(os.clock() - before))
  end)

  it("costs little time whatever is repeated in it", function()
    local digits, nested = ("1"):rep(8000), ('{"a":'):rep(40) .. "1" .. ("}"):rep(40)
    local granted = '{"access_token":"t","token_type":"Bearer","expires_in":"%sx"}'
    local replies = {
      rude.reply(200, nil, granted:format(digits)),
      rude.reply(200, { ["RateLimit-Limit"] = ("1"):rep(30000) .. "x" },
        ('{"a":"\\ud800","b":"%s"}'):format(("\\"):rep(100000))),
      rude.reply(200, nil, ('{"offset":0,"items":[%s]}'):format(nested)),
      rude.reply(200, nil, '{"offset":1,"items":[]}'),
    }
    local server <close> = rude.start { replies = replies }
    local c <close> = client(server)
    local before = os.clock()
    assert(c:token())
    local reply = assert(c:get "/look")
    assert.is_nil(reply.rate_limit)
    assert.equal("\u{FFFD}", reply.json.a)
    for item in c:pages "/look" do
      assert.equal("table", type(item.a))
    end
    assert.is_true(os.clock() - before < 1, ("%.1f s of CPU"):format(os.clock() - before))
  end)

  it("of a revocation shows no secret, however it is echoed", function()
    local basic = "YW4taWRlbnRpZmllcjphLWxvbmctZW5vdWdoLXNlY3JldA=="
    local server <close> = saying(rude.reply(400, nil,
      ('{"error":"odd","error_description":"a-long-enough-secret %s a-token"}'):format(basic)))
    local c = client(server, { auth_style = "basic" })
    assert(c:token())
    local message, code = select(2, c:close { revoke = true })
    assert.equal("oauth", code)
    for _, secret in ipairs { "a-long-enough-secret", basic, "a-token" } do
      assert.is_nil(message:find(secret, 1, true), message)
    end
  end)
end)

describe("an endpoint that always answers 401 #slow", function()
  -- Processes share a token by a cache; each prints how many of its calls failed, and the codes of those that should
  -- not have.
  local PROGRAM = [[
    local auth, cqueues = require "central.auth", require "cqueues"
    local bad, rounds, timeout = arg[1], tonumber(arg[2]), tonumber(arg[3])
    local codes, refused = {}, 0
    for _ = 1, rounds do
      local reply, _, code = auth.get("/good", { timeout = timeout })
      codes[#codes + 1] = not reply and code or nil
      if bad ~= "" then
        reply, _, code = auth.get(bad)
        refused = refused + (not reply and code == "api" and 1 or 0)
      end
      cqueues.sleep(0.01)
    end
    print(bad, refused, table.concat(codes, ","))
  ]]

  local server, folder
  before_each(function()
    folder = process.scratch()
    process.write(folder .. "/calls.lua", PROGRAM)
    server = start(function(conn, request, n)
      local body, status = "{}", request.path == "/forbidden" and "401 Unauthorized" or "200 OK"
      if request.path == "/as/token.oauth2" then
        conn:sleep(0.02)
        body = ('{"access_token":"t%d","token_type":"Bearer","expires_in":7200}'):format(n)
      end
      conn:write("HTTP/1.1 ", status, "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ",
        #body, "\r\n\r\n", body)
    end)
  end)
  after_each(function()
    server:close()
    process.remove(folder)
  end)

  local function run(commands)
    return process.run(("cd %s && env -i %s sh -c %s"):format(folder, process.assignments {
      PATH = os.getenv "PATH", LUA_PATH = package.path, LUA_CPATH = package.cpath, HOME = folder,
      CENTRAL_CLIENT_ID = "an-identifier", CENTRAL_CLIENT_SECRET = "a-long-enough-secret",
      CENTRAL_TOKEN_URL = server.url, CENTRAL_BASE_URL = server.url:match "^(http://[^/]+)",
      CENTRAL_CACHE = folder .. "/cache",
    }, process.quote(commands)))
  end

  local function tokens()
    local count = 0
    for _, request in ipairs(server:requests()) do
      count = count + (request.path == "/as/token.oauth2" and 1 or 0)
    end
    return count
  end

  it("costs the processes that share a token one more, and starves none", function()
    local output = run "lua5.4 calls.lua '' 100 1 & lua5.4 calls.lua /forbidden 16 10 & wait"
    assert.truthy(output:find("/forbidden\t16\t\n", 1, true), output)
    assert.truthy(output:find("^\t0\t\n") or output:find("\n\t0\t\n"), output)
    assert.is_true(tokens() <= 2, tokens())
  end)

  it("costs as little where each call is of another process", function()
    process.write(folder .. "/one.lua", [[print(select(3, require "central.auth".get("/forbidden", { timeout = 1 })))]])
    local output = run "for n in $(seq 12); do lua5.4 one.lua; done; lua5.4 calls.lua '' 1 1"
    local refused = "api\t{ reply = central.auth.reply (HTTP 401, 2 bytes), status = 401 }\n"
    assert.equal(refused:rep(12) .. "\t0\t\n", output)
    assert.is_true(tokens() <= 2, tokens())
  end)
end)

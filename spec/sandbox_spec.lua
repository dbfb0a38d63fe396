-- The sandbox, as a stranger sees it: through openssl, curl and central.auth.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"
local cqueues = require "cqueues"
local curl = require "spec.support.curl"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("sandbox", function()
  it("answers as GreenLake does to credentials, good and bad", function()
    local server <close> = sandbox.start { client_id = "id", client_secret = "hush" }
    local fields = "-d grant_type=client_credentials -d client_id=id -d client_secret="
    local status, body = curl(server, "/as/token.oauth2", fields .. "hush")
    assert.equal(200, status)
    assert.equal("Bearer", body.token_type)
    assert.equal(7199, body.expires_in)
    status, body = curl(server, "/as/token.oauth2", fields .. "wrong")
    assert.equal(401, status)
    assert.equal("invalid_client", body.error)
    status, body = curl(server, "/authorization/v2/oauth2/a-workspace/token", fields .. "hush")
    assert.equal("200 899", ("%d %d"):format(status, body.expires_in))
    assert.equal(200, (curl(server, "/as/token.oauth2", "-u id:hush -d grant_type=client_credentials")))
    status, body = curl(server, "/as/token.oauth2", "-u id:hush -d grant_type=password")
    assert.equal("400 unsupported_grant_type", status .. " " .. body.error)
    status, body = curl(server, "/as/token.oauth2", "-d x=y")
    assert.equal("400 invalid_request", status .. " " .. body.error)
    assert.same({ token = 6, api = 0 }, server:requests())
  end)

  it("lists devices to those with a token, page by page", function()
    local server <close> = sandbox.start()
    local client <close> = assert(auth.new(server:options()))
    local header = "-H 'Authorization: " .. client:header() .. "'"
    assert.equal(401, (curl(server, "/network-monitoring/v1/aps")))
    assert.equal(401, (curl(server, "/network-monitoring/v1/aps", "-H 'Authorization: Bearer x'")))
    local status, body = curl(server, "/network-monitoring/v1/aps?limit=10", header)
    assert.equal(200, status)
    assert.equal(10, #body.items)
    assert.equal(12, body.total)
    body = select(2, curl(server, "/network-monitoring/v1/aps?limit=10&next=" .. body.next, header))
    assert.equal(2, #body.items)
    assert.equal(cjson.null, body.next)
    assert.equal(404, (curl(server, "/network-monitoring/v1/toasters", header)))
    server:revoke()
    assert.equal(401, (curl(server, "/network-monitoring/v1/aps", header)))
  end)

  it("exchanges tokens at a tenant's endpoint, and revokes them", function()
    local server <close> = sandbox.start { client_id = "id", client_secret = "hush" }
    local client <close> = assert(auth.new(server:options()))
    local fields = "-d grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
      .. " -d subject_token_type=urn:ietf:params:oauth:token-type:access_token -d subject_token="
    local status, body = curl(server, "/authorization/v2/oauth2/abc/token", fields .. client:token())
    assert.equal(200, status)
    assert.equal("urn:ietf:params:oauth:token-type:access_token", body.issued_token_type)
    local aps = "/network-monitoring/v1/aps"
    local header = ("-H 'Authorization: Bearer %s'"):format(body.access_token)
    assert.equal(200, (curl(server, aps, header)))
    assert.equal(401, (curl(server, "/authorization/v2/oauth2/abc/token", fields .. "dead")))
    assert.equal(400, (curl(server, "/as/token.oauth2", fields .. client:token())))
    local revoke = "-d token=" .. body.access_token
    assert.equal(400, (curl(server, "/as/revoke_token.oauth2", revoke)))
    assert.equal(401, (curl(server, "/as/revoke_token.oauth2", "-u id:no " .. revoke)))
    assert.equal(200, (curl(server, "/as/revoke_token.oauth2", "-u id:hush " .. revoke)))
    assert.equal(401, (curl(server, aps, header)))
    assert.equal(200, (curl(server, "/as/revoke_token.oauth2", "-u id:hush -d token=unknown")))
  end)

  it("pages by offset, and keeps at most seven personal API clients", function()
    local server <close> = sandbox.start()
    local client <close> = assert(auth.new(server:options()))
    local header = "-H 'Authorization: " .. client:header() .. "' "
    local body = select(2, curl(server, "/network-config/v1/sites?offset=20&limit=10", header))
    assert.same({ 5, 5, 25, 20 }, { #body.items, body.count, body.total, body.offset })
    local path, json = "/workspaces/v1/credentials", header .. [[-d '{"credentialName":"n"}']]
    for _ = 2, 7 do
      assert.equal(201, (curl(server, path, json)))
    end
    assert.equal(409, (curl(server, path, json)))
    assert.equal(400, (curl(server, path, header .. "-d '{'")))
    body = select(2, curl(server, path, header))
    assert.equal(7, body.count)
    assert.is_nil(body.items[1].clientSecret)
    assert.equal(204, (curl(server, path .. "/" .. body.items[2].id, header .. "-X DELETE")))
    assert.equal(404, (curl(server, path .. "/" .. body.items[2].id .. "/reset", header .. "-X POST")))
    local own = path .. "/" .. server.client_id
    assert.is_string(select(2, curl(server, own .. "/reset", header .. "-X POST")).clientSecret)
    assert.equal(401, (curl(server, path, header))) -- its tokens ended
  end)

  it("fails as told, and gives short lives", function()
    local server <close> = sandbox.start { lifetime = 2 }
    server:fail { status = 429, retry_after = 7, times = 1 }
    local client <close> = assert(auth.new(server:options()))
    local options = server:options()
    options.timeout = 5
    local hasty <close> = assert(auth.new(options))
    local _, _, code, detail = hasty:token()
    assert.equal("rate_limited", code)
    assert.near(7, detail.retry_after, 0.5)
    assert(client:token())
    assert.near(2, client:status().expires_in, 0.5)
    server:lifetime(500)
    assert(client:renew())
    assert.near(500, client:status().expires_in, 1)
    local tenant = assert(client:tenant "1b2c3d4e0000111122223333444455aa")
    assert(tenant:token())
    assert.near(500, tenant:status().expires_in, 1)
    server:fail { status = 404, times = math.huge }
    assert.equal("http", (select(3, client:renew())))
    server:fail { of = "api", status = 500, times = 1 }
    assert.equal("api", (select(3, client:post "/sandbox/v1/echo")))
    server:recover()
    assert(client:renew())
  end)

  it("is told to misbehave by HTTP too", function()
    local server <close> = sandbox.start()
    local client <close> = assert(auth.new(server:options()))
    local function order(path)
      return (curl(server, "/sandbox/" .. path, "-X POST"))
    end
    assert.equal(200, order "fail?status=404&times=always")
    assert.equal("http", (select(3, client:token())))
    assert.equal(200, order "recover")
    assert.equal(200, order "lifetime?seconds=300")
    assert(client:renew())
    assert.near(300, client:status().expires_in, 1)
    local header = "-H 'Authorization: " .. client:header() .. "'"
    assert.equal(200, (curl(server, "/network-monitoring/v1/aps", header)))
    assert.equal(200, order "revoke")
    assert.equal(401, (curl(server, "/network-monitoring/v1/aps", header)))
    local status, state = curl(server, "/sandbox")
    assert.equal(200, status)
    assert.same({ token = 2, api = 2 }, state.requests)
    assert.equal(300, state.lifetime)
    for _, path in ipairs { "fail?status=200.5", "fail?status=7", "lifetime?seconds=1e999", "latency?seconds=-5" } do
      assert.equal(400, order(path), path)
    end
    local by_get = curl(server, "/sandbox/revoke")
    assert.equal("400 404 404", ("%d %d %d"):format(order "lifetime", order "explode", by_get))
  end)

  it("takes no option that it does not know, and no number that makes no sense", function()
    local server <close> = sandbox.start()
    for message, mistake in pairs {
      ['unknown option "lifetme"; did you mean "lifetime"?'] = function() sandbox.start { lifetme = 3 } end,
      ["option port: number expected, got string"] = function() sandbox.start { port = "8443" } end,
      ["latency: a number of 0 or more expected, got -1"] = function() sandbox.start { latency = -1 } end,
      ["a table of options expected, got number"] = function() server:fail(503) end,
      ["status: a number of 0 or more expected, got nil"] = function() sandbox.start { fail = {} } end,
      ["status: a whole number from 200 to 599 expected, got 7"] = function() server:fail { status = 7 } end,
      ["of: token or api expected, got tokens"] = function() server:fail { status = 503, of = "tokens" } end,
      ["lifetime: a number of 0 or more expected, got nil"] = function() server:lifetime() end,
      ["latency: a number of 0 or more expected, got inf"] = function() server:latency(math.huge) end,
    } do
      local _, said = pcall(mistake)
      assert.matches("sandbox_spec.lua:%d+: ", said)
      assert.equal(message, (said:gsub("^.-:%d+: ", "")))
    end
  end)

  it("limits the rate as GreenLake does", function()
    local server <close> = sandbox.start { rate_limit = 2 }
    assert.equal(401, (curl(server, "/x")))
    assert.equal(401, (curl(server, "/x")))
    local output = process.run(("curl -sSi --cacert %s %s/x"):format(server.ca_file, server.base_url))
    assert.matches("^HTTP/%S+ 429 ", output)
    assert.matches("ratelimit%-limit: 2", output)
    assert.matches("ratelimit%-remaining: 0", output)
    assert.matches("ratelimit%-reset: %d+", output)
    assert.matches("retry%-after: [1-6]%d?\r", output)
    server:rate_limit(nil)
    assert.equal(401, (curl(server, "/x")))
  end)

  it("tells who asked for what", function()
    local server <close> = sandbox.start { fail = { status = 503, times = 1 } }
    local client <close> = assert(auth.new(server:options()))
    assert(client:token())
    curl(server, "/x?y=z")
    local log = server:log()
    local told = {}
    for _, entry in ipairs(log) do
      told[#told + 1] = ("%s %s %d"):format(entry.method, entry.path, entry.status)
      assert.near(os.time(), entry.at, 5)
    end
    assert.same({ "POST /as/token.oauth2 503", "POST /as/token.oauth2 200", "GET /x?y=z 401" }, told)
    assert.same({}, server:log())
  end)

  it("answers each of several coroutines what it asked, also where one is closed in the middle", function()
    local server <close> = sandbox.start()
    local loop = cqueues.new()
    curl(server, "/x")
    assert.equal(1, #server:log())
    loop:wrap(function()
      local closed = coroutine.create(function() server:log() end)
      assert(coroutine.resume(closed))
      coroutine.close(closed)
    end)
    local logs = 0
    for n = 1, 20 do
      loop:wrap(function()
        for _ = 1, 20 do
          if n % 2 == 0 then
            assert.same({ token = 0, api = 1 }, server:requests())
          else
            assert.same({}, server:log())
            logs = logs + 1
          end
          cqueues.sleep(math.random() * 0.002) -- so that one asks while the answer to another is on its way
        end
      end)
    end
    assert(loop:loop())
    assert.equal(200, logs)
  end)

  it("answers at once though a coroutine was dropped in the middle of a command", function()
    local server <close> = sandbox.start()
    local loop, began = cqueues.new(), cqueues.monotime()
    loop:wrap(function()
      assert(coroutine.resume(coroutine.create(function() server:log() end)))
      assert.same({ token = 0, api = 0 }, server:requests())
    end)
    assert(loop:loop())
    assert.is_true(cqueues.monotime() - began < 5)
  end)

  it("says so when its port is taken", function()
    local server <close> = sandbox.start()
    local port = tonumber(server.base_url:match(":(%d+)$"))
    local ok, message = pcall(sandbox.start, { port = port })
    assert.is_false(ok)
    assert.matches("the sandbox can't start: .*in use", message)
  end)

  it("leaves no files behind in a process that forgets to close it", function()
    local file, status = process.run([[lua5.4 -e 'print(require("central.auth.sandbox").start().ca_file)']])
    assert.equal(0, status, file)
    assert.is_nil(io.open(file:match "^(/.*)/")) -- its folder
  end)

  it("leaves no thread, descriptor or file behind", function()
    local function count()
      return process.count() + process.count "task"
    end
    sandbox.start():close()
    local before = count()
    for _ = 1, 20 do
      local server = sandbox.start()
      server:close()
      server:close()
      assert.is_nil(io.open(server.ca_file))
    end
    -- The kernel may show a thread for a moment after it was joined.
    process.wait_until(function() return count() <= before end, 30, "as many as before: " .. before)
  end)
end)

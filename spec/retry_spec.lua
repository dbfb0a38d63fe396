-- The options `retry` and `try_timeout` of a call, at real servers that fail or are silent.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local with = require "spec.support.with"

local APS = "/network-monitoring/v1/aps"

describe("the attempts of a call", function()
  local server, made

  -- Without pauses between attempts.
  local function new(options)
    made = client.new(assert(config.resolve(with(server:options(), options))), { random = function() return 0 end })
    assert(made:token())
    return made
  end

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  after_each(function()
    made._source:close()
    server:recover()
  end)

  -- Makes the call while so many requests fail. Returns the requests that it cost, and its result.
  local function cost(failures, options)
    local c, before = new(), server:requests().api
    if failures > 0 then
      server:fail { status = 503, times = failures, of = "api" }
    end
    local reply, _, code = c:get(APS, options)
    server:recover()
    return server:requests().api - before, reply and reply.status or code
  end

  it("are four, or as many as it says", function()
    assert.same({ 4, "api" }, { cost(9) })
    assert.same({ 2, 200 }, { cost(1) })
    assert.same({ 1, "api" }, { cost(1, { retry = false }) })
    assert.same({ 1, "api" }, { cost(1, { retry = 1 }) })
    assert.same({ 2, "api" }, { cost(2, { retry = 2 }) })
    assert.same({ 3, 200 }, { cost(2, { retry = 3 }) })
    assert.same({ 7, "api" }, { cost(9, { retry = 7 }) })
  end)

  it("of a page are as many", function()
    local c, before = new(), server:requests().api
    server:fail { status = 503, times = 2, of = "api" }
    assert.is_false(pcall(function() return c:pages(APS, { retry = false })() end))
    assert.truthy(c:pages(APS, { retry = 2 })())
    assert.equal(3, server:requests().api - before)
  end)

  it("do not include the repetition with another token", function()
    local c, before = new(), server:requests()
    server:revoke()
    assert(c:get(APS, { retry = false }))
    assert.same({ token = before.token + 1, api = before.api + 2 }, server:requests())
  end)

  it("each have the time of try_timeout", function()
    local silent <close> = rude.start {
      data = { reply = rude.reply(200, nil, "{}") },
      handler = function(conn, _, n)
        if n < 3 then
          conn:sleep(5)
        end
        conn:write(conn.data.reply)
      end,
    }
    local c = new { base_url = silent.url:match "^http://[^/]+" }
    assert.equal(200, c:get("/x", { try_timeout = 0.02 }).status)
    assert.equal(3, silent:log().connections)
  end)

  it("end with try_timeout where there is no other", function()
    local silent <close> = rude.start { handler = function(conn) conn:sleep(5) end }
    local c = new { base_url = silent.url:match "^http://[^/]+" }
    assert.equal("timeout", select(3, c:get("/x", { try_timeout = 0.02, retry = false })))
    assert.equal("timeout", select(3, c:post("/x", { try_timeout = 0.02 }))) -- it may have acted
    assert.equal(2, silent:log().connections)
  end)

  it("are checked", function()
    local c = new()
    for part, options in pairs {
      ["option retry: a number of attempts or false expected, got string"] = { retry = "2" },
      ["option retry: a number of attempts or false expected, got boolean"] = { retry = true },
      ["option try_timeout: number expected, got string"] = { try_timeout = "2" },
    } do
      for _, name in ipairs { "get", "pages" } do
        local ok, message = pcall(c[name], c, APS, options)
        assert.is_false(ok)
        assert.truthy(message:find(part, 1, true), message)
        assert.truthy(message:find("retry_spec.lua:", 1, true), message)
      end
    end
    for _, options in ipairs {
      { retry = 0 }, { retry = 11 }, { retry = 1.5 }, { retry = 0 / 0 }, { try_timeout = 0 }, { try_timeout = 0 / 0 },
      { timeout = 2, try_timeout = 3 }, { try_timeout = 31 },
    } do
      local before = server:requests().api
      local name = options.retry and "retry" or "try_timeout"
      local none, message, code = c:get(APS, options)
      assert.same({ nil, "config", before }, { none, code, server:requests().api })
      assert.matches("^GET /network%-monitoring/v1/aps: " .. name .. ": [^\n]* expected$", message)
    end
  end)
end)

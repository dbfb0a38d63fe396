-- GreenLake's credentials API, against the sandbox.
local auth = require "central.auth"
local cqueues = require "cqueues"
local curl = require "spec.support.curl"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

local server, folder, c

local function mode(path)
  return process.run("stat -c %a " .. process.quote(path)):match "%d+"
end

describe("credentials", function()
  before_each(function()
    folder, server = process.scratch(), sandbox.start()
    c = assert(auth.new(with(server:options(), { cache = folder .. "/cache" })))
  end)
  after_each(function()
    c:close()
    server:close()
    process.remove(folder)
  end)

  it("are listed, without secrets", function()
    local list = assert(c.credentials:list())
    assert.equal(1, #list)
    assert.equal(server.client_id, list[1].client_id)
    assert.equal("sandbox", list[1].name)
    assert.is_nil(list[1].client_secret)
    assert.equal(("personal API client sandbox (%s)"):format(server.client_id), tostring(list[1]))
  end)

  it("are created for a service and a workspace, and deleted", function()
    local made = assert(c.credentials:create {
      name = "night jobs", service = "5a5a-01", workspace = "/workspaces/v1/workspaces/w",
    })
    assert.equal("night jobs", made.name)
    assert.equal(32, #made.client_secret)
    assert.equal("/service-catalog/v1beta1/service-manager-provisions/5a5a-01", made.service)
    assert.equal("/workspaces/v1/workspaces/w", made.workspace)
    assert.is_nil(tostring(made):find(made.client_secret, 1, true))
    assert.equal(2, #c.credentials:list())
    assert.is_true(c.credentials:delete(made.id))
    assert.equal(1, #c.credentials:list())
    assert.equal("api", select(3, c.credentials:delete(made.id)))
  end)

  it("go straight into a file", function()
    local path = folder .. "/secret"
    local made = assert(c.credentials:create { name = "cron", save_to = path })
    assert.is_nil(made.client_secret)
    assert.equal(path, made.saved_to)
    assert.equal("600", mode(path))
    assert.equal(33, #process.read(path))
  end)

  it("go straight into a profile, which keeps what it has", function()
    local program = ([[
      local auth, cjson = require "central.auth", require "cjson"
      local c = assert(auth.new(cjson.decode(os.getenv "OPTIONS")))
      local made = assert(c.credentials:create { name = "lab", save_to = { profile = "lab" } })
      assert(made.client_secret == nil and made.saved_to == os.getenv "XDG_CONFIG_HOME" .. "/central-auth/lab.lua")
      print(made.client_id)
    ]])
    process.run(("mkdir -p %s/central-auth"):format(folder))
    local text = 'return { client_id = "mine" } -- a note\n'
    process.write(folder .. "/central-auth/default.lua", text, 600)
    process.write(folder .. "/central-auth/lab.lua", 'return { client_id = "x", timeout = 7, scope = { "a", "b" } }',
      600)
    local options = require("cjson").encode(server:options())
    local output, status = process.run(("env %s lua5.4 %s"):format(
      process.assignments { XDG_CONFIG_HOME = folder, OPTIONS = options },
      process.write(folder .. "/program.lua", program)))
    assert.equal(0, status, output)
    assert.equal(text, process.read(folder .. "/central-auth/default.lua"))
    local lab = dofile(folder .. "/central-auth/lab.lua")
    assert.equal(output:match "%x+", lab.client_id)
    assert.equal(32, #lab.client_secret)
    assert.equal("7 a b", lab.timeout .. " " .. lab.scope)
    assert.equal("600", mode(folder .. "/central-auth/lab.lua"))
  end)

  it("are not touched where the secret could not be saved", function()
    for _, place in ipairs { "relative", "/proc/nowhere/secret", folder .. "/new/secret", folder, "/dev/null/x",
      { profile = "../x" }, { profile = "" } } do
      local message, code, detail = select(2, c.credentials:create { name = "x", save_to = place })
      assert.equal("config", code)
      assert.equal("save_to", detail.option)
      assert.truthy(message:find(place.profile or place, 1, true), message)
    end
    assert.equal(1, #c.credentials:list())
  end)

  it("keep a secret that can't be saved after all in the result, the failure beside it", function()
    local path = folder .. "/secret"
    local save = require "central.auth.config.save"
    local put = save.put
    save.put = function(...)
      process.run(("mkdir %s"):format(path)) -- somebody was quicker
      return put(...)
    end
    local made, message, code = c.credentials:create { name = "x", save_to = path }
    save.put = put
    assert.equal(32, #made.client_secret)
    assert.equal("config", code)
    assert.truthy(message:find("save_to: " .. path, 1, true), message)
    assert.is_nil(message:find(made.client_secret, 1, true))
  end)

  it("go into a profile in place of what it had, or are not made at all", function()
    local program = process.write(folder .. "/program.lua", [[
      local auth, cjson = require "central.auth", require "cjson"
      local c = assert(auth.new(cjson.decode(os.getenv "OPTIONS")))
      local made, message, code = c.credentials:create { name = "lab", save_to = { profile = "lab" } }
      print(made and "made", code, #c.credentials:list())
    ]])
    process.run(("mkdir -p %s/central-auth"):format(folder))
    local function try(text)
      process.write(folder .. "/central-auth/lab.lua", text, 600)
      local environment = { XDG_CONFIG_HOME = folder, OPTIONS = require("cjson").encode(server:options()) }
      return (process.run(("env %s lua5.4 %s"):format(process.assignments(environment), program)))
    end
    assert.equal("made\tnil\t2\n", try 'return { client_secret_file = "/x", client_id = "old" }\n')
    local lab = dofile(folder .. "/central-auth/lab.lua")
    assert.is_nil(lab.client_secret_file)
    assert.equal(32, #lab.client_secret)
    assert.equal("nil\tconfig\t2\n", try "return { nonsense = 1 }\n")
  end)

  it("are reset; where it is this client's own, it goes on with the new secret, here and in the cache", function()
    local before = assert(c:token())
    local found = assert(c.credentials:reset(server.client_id, { save_to = folder .. "/secret" }))
    assert.is_nil(found.client_secret)
    assert.equal(401, (curl(server, "/network-monitoring/v1/aps", "-H 'Authorization: Bearer " .. before .. "'")))
    assert(c:get "/network-monitoring/v1/aps")
    assert.not_equal(before, c:token())
    local options = server:options()
    options.cache, options.client_secret, options.client_secret_file = folder .. "/cache", nil, folder .. "/secret"
    local other <close> = assert(auth.new(options))
    assert.equal(c:token(), other:token())
    assert.equal("cache", other:status().source)
    assert.equal(2, server:requests().token)
  end)

  it("may have been reset or made where the answer does not say so, and the message says that", function()
    for status, doubtful in pairs { [500] = true, [502] = true, [504] = true, [403] = false, [503] = false } do
      local s = scripted.new { scripted.token("t1", 1000), scripted.api(status, "{}"), scripted.api(status, "{}") }
      local _, message = s.client.credentials:reset "x"
      assert.equal(doubtful, message:find("may have been reset", 1, true) ~= nil, message)
      _, message = s.client.credentials:create { name = "x" }
      assert.equal(doubtful, message:find("may have been created", 1, true) ~= nil, message)
      assert.equal(3, s.requests)
    end
  end)

  it("were neither reset nor made where no request was sent", function()
    local function said(...)
      local s = scripted.new({ ... }, { timeout = 2 })
      local messages = {}
      for _, method in ipairs { "reset", "create" } do
        local _, message, code = s.client.credentials[method](s.client.credentials,
          method == "reset" and "x" or { name = "x" })
        messages[#messages + 1] = ("%s %s"):format(code, message:find "may have been" and "doubtful" or "sure")
      end
      return table.concat(messages, ", ")
    end
    local token = scripted.token("t1", 1000)
    assert.equal("timeout sure, timeout sure", said(
      scripted.broken "timeout", scripted.broken "timeout", scripted.broken "timeout", scripted.broken "timeout"))
    assert.equal("timeout sure, network sure", said(token, scripted.broken("timeout", "address"),
      scripted.broken("network", "connection")))
    assert.equal("timeout doubtful, network doubtful",
      said(token, scripted.broken "timeout", scripted.broken "network"))
    assert.equal("reply doubtful, reply doubtful", said(token, scripted.api(200, "{"), scripted.api(200, "{")))
  end)

  it("may have been reset where the client is closed once the request was sent, and not before", function()
    for requests, doubtful in ipairs { false, true } do
      local s = scripted.new({ scripted.token("t1", 1000), scripted.api(200, "{}") },
        { wait = function() coroutine.yield() end })
      s.took = 1
      local reset = coroutine.wrap(function() return s.client.credentials:reset "x" end)
      reset()
      while s.requests < requests do
        s:wait(1)
        reset()
      end
      s.client:close()
      local _, message, code = reset()
      assert.equal("closed", code)
      assert.equal(doubtful, message:find "may have been" ~= nil, message)
    end
  end)

  it("are deleted where a repeated request finds none any more, for it was the first that deleted it", function()
    local function deleted(...)
      local s = scripted.new { scripted.token("t1", 1000), ... }
      return s.client.credentials:delete "x"
    end
    local gone = scripted.api(404, "{}")
    for _, lost in ipairs { scripted.api(502, ""), scripted.api(504, ""), scripted.broken "network" } do
      assert.is_true(deleted(lost, gone))
      assert.is_true(deleted(lost, scripted.api(410, "")))
    end
    assert.equal(404, select(4, deleted(gone)).status)
    assert.equal(404, select(4, deleted(scripted.broken "connect", gone)).status)
    assert.equal(404, select(4, deleted(scripted.broken("timeout", "address"), gone)).status)
    assert.equal(404, select(4, deleted(scripted.api(503, ""), gone)).status)
  end)

  it("are reset without a failed call, however many are under way", function()
    local busy <close> = assert(auth.new(with(server:options(), { wait = loops.cqueues })))
    assert(busy:token())
    local loop, calls, over = cqueues.new(), 0, false
    for _ = 1, 10 do
      loop:wrap(function()
        repeat
          assert(busy:get "/network-monitoring/v1/aps")
          calls = calls + 1
        until over
      end)
    end
    loop:wrap(function()
      for _ = 1, 5 do
        cqueues.sleep(0.05)
        assert(busy.credentials:reset(server.client_id))
      end
      over = true
    end)
    assert(loop:loop())
    assert.is_true(calls > 20, calls)
  end)

  it("are followed when they are rotated after a reset of our own", function()
    local path = folder .. "/secret"
    process.write(path, server.client_secret, 600)
    local options = server:options()
    options.client_secret, options.client_secret_file = nil, path
    local one <close> = assert(auth.new(options))
    assert(one.credentials:reset(server.client_id))
    assert(one:renew()) -- although the file has the former one
    local newer = assert(one.credentials:reset(server.client_id, { save_to = path }))
    assert.is_nil(newer.client_secret)
    local other <close> = assert(auth.new(options))
    assert(other.credentials:reset(server.client_id, { save_to = path }))
    assert(one:renew())
  end)

  it("of another client leave this one alone", function()
    local before, made = c:token(), assert(c.credentials:create { name = "other" })
    local found = assert(c.credentials:reset(made.id))
    assert.not_equal(made.client_secret, found.client_secret)
    assert.equal(before, c:token())
  end)

  it("tell mistakes", function()
    for part, call in pairs {
      ["a name for the new"] = function() c.credentials:create {} end,
      ["unknown option"] = function() c.credentials:create { nmae = "x" } end,
      ["option name: string expected"] = function() c.credentials:create { name = 1 } end,
      ["save_to: the path"] = function() c.credentials:reset("x", { save_to = {} }) end,
      ["id of a personal API client: string expected"] = function() c.credentials:delete() end,
      ["with a colon"] = function() c.credentials.list() end,
      ["a table of options"] = function() c.credentials:reset("x", "y") end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(message:find(part, 1, true), message)
      assert.truthy(message:find("api_clients_spec.lua:", 1, true), message)
    end
    assert.equal("config", select(3, c.credentials:reset "../x"))
    assert.equal("api", select(3, c.credentials:reset "unknown"))
  end)

  it("are a matter of the default client, too", function()
    assert(auth.configure(server:options()))
    assert.equal(1, #assert(auth.credentials.list()))
    assert.is_nil(auth.credentials.lsit)
    auth.close()
    assert.equal("closed", select(3, auth.credentials.list()))
  end)
end)

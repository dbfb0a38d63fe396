-- Accounts kept apart: a client's token stays its own, and `close` ends all that the client does, waiting calls
-- included, with the code `closed`. In an event loop of cqueues, against a sandbox for each account.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cqueues = require "cqueues"
local lfs = require "lfs"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local with = require "spec.support.with"

local RETRY_AFTER = 10             -- seconds a call or a renewal waits for, unless its client is closed
local LATE = 2 * process.SLOWER    -- seconds after which one that was closed is late

local a, b

local function options_of(server, more)
  local options = server:options()
  options.wait = loops.cqueues
  return with(options, more)
end

-- Runs functions as coroutines of one loop to their ends.
local function together(...)
  local loop = cqueues.new()
  for _, f in ipairs { ... } do
    loop:wrap(f)
  end
  assert(loop:loop())
end

-- How many descriptors this process still has to wait by.
local function notifiers()
  collectgarbage()
  local count = 0
  for name in lfs.dir "/proc/self/fd" do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
    count = count + (target and target:find("eventfd", 1, true) and 1 or 0)
  end
  return count
end

-- Waits until this many requests of a kind have come.
local function arrived(server, kind, count)
  for _ = 1, 200 do
    if server:requests()[kind] >= count then
      return
    end
    cqueues.sleep(0.01)
  end
  error(("%s requests: %d expected"):format(kind, count))
end

local function is_closed(results)
  assert.is_nil(results[1])
  assert.equal("closed", results[3], results[2])
  assert.matches("this client was closed", results[2])
  assert.is_nil(results[2]:find("asking", 1, true))
  assert.is_table(results[4])
end

describe("an account", function()
  before_each(function() a, b = sandbox.start(), sandbox.start() end)
  after_each(function()
    auth.close()
    a:close()
    b:close()
  end)

  it("has no token of another: a call that waits to be repeated ends when the default client is set up anew", function()
    assert(auth.configure(options_of(a, { timeout = 20 })))
    assert(auth.token())
    a:fail { of = "api", status = 503, times = 1, retry_after = RETRY_AFTER }
    local got, token, switched
    together(function()
      got = table.pack(auth.get "/network-monitoring/v1/aps")
      got.late = cqueues.monotime() - switched
    end, function()
      arrived(a, "api", 1)
      assert(auth.configure(options_of(b)))
      switched = cqueues.monotime()
      token = assert(auth.token())
    end)
    is_closed(got)
    assert.is_true(got.late < LATE, got.late)
    assert.same({ token = 1, api = 1 }, a:requests())
    assert.same({ token = 1, api = 0 }, b:requests())
    assert.equal(token, auth.token())
    assert(auth.get "/network-monitoring/v1/aps")
  end)

  it("has no token of another: a closed client reads its secret file no more", function()
    local folder = process.scratch()
    local given = options_of(a, { timeout = 20, client_secret_file = folder .. "/secret" })
    process.write(given.client_secret_file, a.client_secret, "600")
    given.client_secret = nil
    assert(auth.configure(given))
    assert(auth.token())
    a:fail { of = "api", status = 503, times = 1, retry_after = RETRY_AFTER }
    local got
    together(function() got = table.pack(auth.get "/network-monitoring/v1/aps") end, function()
      arrived(a, "api", 1)
      assert(auth.configure(options_of(b)))
    end)
    process.remove(folder)
    is_closed(got)
    assert.same({ token = 1, api = 1 }, a:requests())
    assert(auth.get "/network-monitoring/v1/aps") -- with B's token, at B
    assert.same({ token = 1, api = 1 }, b:requests())
  end)

  it("has no token of another: a renewal that waits to be repeated ends", function()
    assert(auth.configure(options_of(a, { timeout = 20 })))
    a:fail { status = 503, times = 1, retry_after = RETRY_AFTER }
    local got, switched
    together(function()
      got = table.pack(auth.token())
      got.late = cqueues.monotime() - switched
    end, function()
      arrived(a, "token", 1)
      assert(auth.configure(options_of(b)))
      switched = cqueues.monotime()
      assert(auth.token())
    end)
    is_closed(got)
    assert.is_true(got.late < LATE, got.late)
    assert.same({ token = 1, api = 0 }, a:requests())
  end)

  it("has no token of another: what was pending ends with its client", function()
    assert(auth.configure(options_of(a)))
    local held = assert(auth.pending())
    assert(held:result())
    auth.invalidate()
    local begun = assert(auth.pending())
    assert(auth.configure(options_of(b)))
    assert.is_true(begun:done())
    is_closed(table.pack(begun:result()))
    assert(auth.token())
    is_closed(table.pack(begun:result()))
    is_closed(table.pack(held:result()))
    begun:close()
    held:close()
  end)

  it("has functions that follow it, headers too, and no other client's life", function()
    local token, header = auth.token, auth.header
    assert(auth.configure(options_of(a)))
    local first = assert(token())
    assert(auth.configure(options_of(b)))
    a:fail { status = 503, times = math.huge }
    local second = assert(token())
    assert.not_equal(first, second)
    assert.equal("Bearer " .. second, header())
    auth.close()
    is_closed(table.pack(token()))
    is_closed(table.pack(header()))
  end)
end)

describe("a closed client", function()
  before_each(function() a = sandbox.start() end)
  after_each(function() a:close() end)

  -- Calls `call` in a coroutine, closes the client once `ready` says that it waits, and gives what came of the call.
  local function closed_during(client, call, ready)
    local before, got, at = notifiers(), nil, nil
    together(function()
      got = table.pack(call())
      got.late = cqueues.monotime() - at
    end, function()
      ready()
      client:close()
      at = cqueues.monotime()
    end)
    is_closed(got)
    assert.is_true(got.late < LATE, got.late)
    assert.is_true(notifiers() <= before) -- newer libcurl's connections have one, too, which ends with them
    return got
  end

  it("asks for no token and sends nothing for a call that waits", function()
    local client = assert(auth.new(options_of(a, { timeout = 20 })))
    assert(client:token())
    a:fail { of = "api", status = 503, times = 1, retry_after = RETRY_AFTER }
    closed_during(client, function() return client:put("/sandbox/v1/echo", { json = { x = 1 } }) end, function()
      arrived(a, "api", 1)
      client:invalidate()
    end)
    assert.same({ token = 1, api = 1 }, a:requests())
  end)

  it("ends requests that are under way: calls, tokens, renewals, pages", function()
    local client = assert(auth.new(options_of(a)))
    assert(client:token())
    closed_during(client, function()
      return client:get("/sandbox/v1/echo", { query = { wait = 5 } })
    end, function() arrived(a, "api", 1) end)
    a:latency(5)
    for _, method in ipairs { "token", "header", "renew" } do
      local other = assert(auth.new(options_of(a)))
      closed_during(other, function() return other[method](other) end, function()
        arrived(a, "token", 1)
        cqueues.sleep(0.01)
      end)
    end
    local paging = assert(auth.new(options_of(a)))
    closed_during(paging, function()
      local ok, raised = pcall(function() for _ in paging:pages "/network-monitoring/v1/aps" do end end)
      return not ok and nil, raised.message, raised.code, raised.detail
    end, function() cqueues.sleep(0.01) end)
  end)

  it("ends calls of its tenants, also while the program holds them", function()
    local msp = assert(auth.new(options_of(a)))
    assert(msp:token())
    local pending = assert(assert(msp:tenant(("%032d"):format(123))):pending())
    assert(pending:result())
    collectgarbage()
    local tenant = assert(msp:tenant(("%032d"):format(4567)))
    assert(tenant:token())
    closed_during(msp, function()
      return tenant:get("/sandbox/v1/echo", { query = { wait = 5 } })
    end, function() arrived(a, "api", 1) end)
    is_closed(table.pack(pending:result()))
    is_closed(table.pack(tenant:token()))
    assert.equal("closed", tenant:status().state)
    pending:close()
  end)

  it("gets no token by an option that is a function and closes it, or sets another client up", function()
    local function closing_by(close)
      return function()
        close()
        return a.client_secret
      end
    end
    local client
    for _, name in ipairs { "client_secret", "client_assertion" } do
      local given = options_of(a)
      given.client_secret = nil
      given[name] = closing_by(function() client:close() end)
      client = assert(auth.new(given))
      is_closed(table.pack(client:token()))
      is_closed(table.pack(client:token()))
    end
    local given = options_of(a)
    given.client_secret = closing_by(function() assert(auth.configure(options_of(a, { client_id = "another" }))) end)
    assert(auth.configure(given))
    is_closed(table.pack(auth.token()))
    together(function()
      assert(auth.configure(given))
      is_closed(table.pack(auth.token()))
    end)
    auth.close()
    assert.same({ token = 0, api = 0 }, a:requests())
  end)

  it("drops the secret that such a function returns after the client was closed", function()
    local given = options_of(a, { client_secret = function()
      cqueues.sleep(0.02)
      return a.client_secret
    end })
    local client = assert(auth.new(given))
    local got
    together(function() got = table.pack(client:token()) end, function() client:close() end)
    is_closed(got)
    assert.same({ token = 0, api = 0 }, a:requests())
  end)
end)

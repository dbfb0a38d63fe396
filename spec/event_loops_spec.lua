-- Tokens within event loops, by the real libraries: who waits yields, the loop goes on, and all share one request.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local copas = require "copas"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local uv = require "luv"
local with = require "spec.support.with"

local TICK = 0.005

-- Each runs functions as coroutines of its loop until all have ended, and returns how often the loop came round.
local run = {}

function run.cqueues(functions)
  local controller, left, ticks = cqueues.new(), #functions, 0
  for _, f in ipairs(functions) do
    controller:wrap(function()
      f()
      left = left - 1
    end)
  end
  controller:wrap(function()
    while left > 0 do
      ticks = ticks + 1
      cqueues.sleep(TICK)
    end
  end)
  assert(controller:loop())
  return ticks
end

function run.luv(functions)
  local left, ticks, ticker = #functions, 0, uv.new_timer()
  for _, f in ipairs(functions) do
    local start = uv.new_timer()
    start:start(0, 0, function()
      start:close()
      coroutine.wrap(function()
        f()
        left = left - 1
      end)()
    end)
  end
  ticker:start(0, TICK * 1000 // 1, function()
    ticks = ticks + 1
    if left == 0 then
      ticker:close()
    end
  end)
  uv.run()
  assert.equal(0, left)
  return ticks
end

function run.copas(functions)
  local left, ticks = #functions, 0
  for _, f in ipairs(functions) do
    copas.addthread(function()
      f()
      left = left - 1
    end)
  end
  while left > 0 do
    copas.step(TICK)
    ticks = ticks + 1
  end
  return ticks
end

local server

local function client_of(loop, more)
  local options = server:options()
  options.wait = loops[loop]
  return assert(auth.new(with(options, more)))
end

for loop in pairs(run) do
  describe("with " .. loop .. " #slow", function()
    before_each(function() server = sandbox.start { latency = 0.1 } end)
    after_each(function() server:close() end)

    it("waits without holding the loop up, and shares one request between coroutines", function()
      local client <close> = client_of(loop)
      local tokens, functions = {}, {}
      for i = 1, 20 do
        functions[i] = function() tokens[i] = assert(client:token()) end
      end
      local ticks = run[loop](functions)
      assert.is_true(ticks >= 5, ticks)
      for i = 1, 20 do
        assert.equal(tokens[1], tokens[i])
      end
      assert.equal(1, server:requests().token)
    end)

    it("waits that way between tries, too, and for as long as the timeout", function()
      local client <close> = client_of(loop)
      server:fail { status = 503, times = 1 }
      local token
      run[loop] { function() token = assert(client:token()) end }
      assert.is_string(token)
      assert.equal(2, server:requests().token)
      server:latency(5)
      local late <close> = client_of(loop, { timeout = 0.5 })
      local begun, code = cqueues.monotime(), nil
      local ticks = run[loop] { function() code = select(3, late:token()) end }
      assert.equal("timeout", code)
      assert.is_true(cqueues.monotime() - begun < 4)
      assert.is_true(ticks >= 10, ticks)
    end)

    it("waits no longer than its seconds, and no longer than for its descriptor", function()
      local silent <close> = core.timer(5) -- after all, so that this ends
      local again <close> = silent:copy() -- another descriptor of the same
      local signalled <close> = core.timer(0.05)
      local took = {}
      local function wait(name, notifier, seconds)
        local begun = cqueues.monotime()
        loops[loop](notifier:fd(), seconds)
        took[name] = cqueues.monotime() - begun
      end
      run[loop] {
        function() wait("silent", silent, 0.05) end, function() wait("signalled", signalled, 5) end,
        function() wait("again", again, 0.05) end,
      }
      for _, name in ipairs { "silent", "signalled", "again" } do
        local least = name == "signalled" and 0 or 0.04 -- its time began before it was waited for
        assert.is_true(took[name] >= least and took[name] < 4, ("%s: %g s"):format(name, took[name]))
      end
    end)

    it("renews by hand the same way", function()
      local client <close> = client_of(loop)
      local first, second
      local ticks = run[loop] { function()
        first = assert(client:token())
        second = assert(client:renew())
      end }
      assert.is_true(ticks >= 10, ticks)
      assert.not_equal(first, second)
    end)

    it("polls a pending token by its descriptor", function()
      local client <close> = client_of(loop)
      local tokens, functions = {}, {}
      for i = 1, 5 do
        functions[i] = function()
          local pending <close> = assert(client:pending())
          while not pending:done() do
            loops[loop](pending:fd(), 1)
          end
          tokens[i] = assert(pending:result())
        end
      end
      run[loop](functions)
      for i = 1, 5 do
        assert.equal(tokens[1], tokens[i])
      end
      assert.equal(1, server:requests().token)
    end)

    it("waits in the usual way outside of coroutines", function()
      local client <close> = client_of(loop)
      assert(client:token())
    end)
  end)
end

describe("a pending token in cqueues #slow", function()
  it("is an object that cqueues polls", function()
    server = sandbox.start { latency = 0.05 }
    local client <close> = assert(auth.new(server:options()))
    local token
    for _ = 1, 3 do -- descriptors get the same numbers again and again
      run.cqueues { function()
        client:invalidate()
        local pending <close> = assert(client:pending())
        while not pending:done() do
          assert.equal(pending, cqueues.poll(pending))
        end
        token = assert(pending:result())
      end }
    end
    assert.equal(token, client:token())
    server:close()
  end)
end)

it("does not load luv in a coroutine, after whose end luv would crash", function()
  local wait = [[lua5.4 -e 'print(pcall(require("central.auth.loops").luv, 0, 0))']]
  assert.matches('false%s+load luv by require "luv" before', (process.run(wait)))
end)

describe("the example #slow", function()
  local folder

  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  -- A copy of it in which the server refuses.
  local function refused(name)
    local refusal = "fail = { status = 403, times = 9 }"
    local text, places = process.read("lua/examples/" .. name):gsub("latency = 0.2", refusal)
    assert.equal(1, places)
    return process.write(folder .. "/" .. name, text)
  end

  -- With this tree in place of an installed library, and besides the LUA_PATH that its first lines say, if any.
  local function as_said(name)
    local said = process.read(("lua/examples/in_%s.lua"):format(name)):match 'LUA_PATH="([^"]*)"' or ";;"
    local tree = process.run("pwd"):gsub("\n", "") .. "/lua/?.lua;"
    return "env " .. process.assignments { LUA_PATH = tree .. said } .. "timeout 10 lua5.4 "
  end

  for name, fails in pairs { cqueues = true, luv = true, copas = false } do
    it("of " .. name .. " runs, and ends where the server refuses", function()
      local output, status = process.run(("%slua/examples/in_%s.lua"):format(as_said(name), name))
      assert.equal(0, status, output)
      assert.matches("ready for API calls", output)
      assert.matches("state%s+fresh", output)
      local example = refused("in_" .. name .. ".lua") -- luv's loop ends the process at an error, files and all
      output, status = process.run(("TMPDIR=%s %s%s"):format(folder, as_said(name), example))
      assert.not_equal(124, status, output) -- that of timeout
      assert.equal(fails, status ~= 0, output)
      assert.matches("HTTP status 403", output)
    end)
  end

  it("of poll(2) in C builds and runs, and tells where the server refuses #hosts #foreign", function()
    local function built(source)
      local compile = "cc %s -o %s/poll $(pkg-config --cflags --libs lua5.4)"
      local output, status = process.run(compile:format(source, folder))
      assert.equal(0, status, output)
      return folder .. "/poll"
    end
    local output, status = process.run(built "lua/examples/poll.c")
    assert.equal(0, status, output)
    assert.matches("waiting for other events", output)
    assert.matches("a token of %d+ characters", output)
    output, status = process.run(built(refused "poll.c"))
    assert.equal(1, status)
    assert.matches("HTTP status 403", output)
  end)
end)

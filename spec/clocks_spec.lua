-- Clocks that jump under a running process: hours pass, the wall clock steps, by libfaketime; the machine sleeps, by a
-- library of our own, for libfaketime knows no clocks that stand still then. The rules are in renewal_spec, with a
-- movable clock; here the real ones are moved.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local LIBRARY = process.run("ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null"):match "%S+"

-- Asks for a token over and over after each step of the clocks; prints which came, in their order. Only that tells
-- what time it is, nothing else looks at the clocks exactly in between.
local SCRIPT = [[
local auth, core = require "central.auth", require "central.auth.core"
local clock = core.clock()
local function ask()
  local seen = {}
  for _ = 1, 60 do
    local token = assert(auth.token())
    if token ~= seen[#seen] then
      seen[#seen + 1] = token
    end
    clock:sleep(0.003)
  end
  return seen
end
ask() -- so that no first look at the clocks is due
for step in os.getenv("STEPS"):gmatch "%S+" do
  local boot, wall = step:match "^(.+)/(.+)$"
  local file = io.open(os.getenv "CLOCKS_FILE", "r+b")
  file:write(boot and string.pack("i8i8", boot, wall) or step)
  file:close()
  print(table.concat(ask(), "\t"))
  assert(auth.status().state ~= "expired")
end
]]

local server, folder

-- A list for each step: the tokens seen after it.
local function run(steps, more)
  local script = process.write(folder .. "/script.lua", SCRIPT)
  local env = process.credentials(server, folder .. "/cache")
  env.STEPS, env.CLOCKS_FILE = steps, folder .. "/clocks"
  for name, value in pairs(more) do
    env[name] = value
  end
  local output, status = process.run(("env %s lua5.4 %s"):format(process.assignments(env), script))
  assert.equal(0, status, output)
  local seen = {}
  for line in output:gmatch "[^\n]+" do
    seen[#seen + 1] = {}
    for token in line:gmatch "%S+" do
      table.insert(seen[#seen], token)
    end
  end
  return seen
end

-- By libfaketime: offsets of all clocks, or of the wall clock alone.
local function move(offsets, wall_only)
  local stamp = process.write(folder .. "/clocks", "+0")
  return run(offsets, { LD_PRELOAD = LIBRARY, FAKETIME_TIMESTAMP_FILE = stamp, FAKETIME_NO_CACHE = 1,
    NO_FAKE_STAT = 1, -- the times of files do not move
    FAKETIME_DONT_FAKE_MONOTONIC = wall_only and 1 or 0 })
end

-- By our own: offsets of the clocks that count suspend, and of the wall clock, "boot/wall".
local function suspend(steps)
  process.write(folder .. "/clocks", ("\0"):rep(16))
  return run(steps, { LD_PRELOAD = os.getenv "BUILD" .. "/spec_clocks.so" })
end

-- `expected` says for each step which tokens come, by numbers in the order in which they first came.
local function assert_seen(expected, seen)
  local numbers, count, lists = {}, 0, {}
  for i, tokens in ipairs(seen) do
    lists[i] = {}
    for n, token in ipairs(tokens) do
      if not numbers[token] then
        count = count + 1
        numbers[token] = count
      end
      lists[i][n] = numbers[token]
    end
  end
  assert.same(expected, lists)
  assert.equal(count, server:requests().token)
end

local faked = apart.only(_ENV, LIBRARY, "libfaketime is not installed")

describe("a process whose clocks are moved #clocks #slow", function()
  before_each(function()
    folder = process.scratch()
    server = sandbox.start { lifetime = 7199 }
  end)
  after_each(function()
    server:close()
    process.remove(folder)
  end)

  -- A token to its window: the old one first, then the new. Past its end: never the dead one.
  faked("keeps its token for an hour, renews it in the window, and has another after hours", function()
    assert_seen({ { 1 }, { 1 }, { 1, 2 }, { 3 } }, move "+0 +3600 +6700 +17500")
  end)

  faked("asks once at most for each step of the wall clock, a day back and forth", function()
    assert_seen({ { 1 }, { 1 }, { 1 }, { 2 }, { 2 } }, move("+0 -86400 +0 +86400 +0", true))
  end)

  faked("has all of its timeout for a token request, however late the first byte comes", function()
    local slow <close> = sandbox.start { latency = 1 } -- which are twenty seconds of that process
    local env = process.credentials(slow, folder .. "/cache")
    env.LD_PRELOAD, env.FAKETIME, env.CENTRAL_TIMEOUT = LIBRARY, "+0 x20", 60
    assert.equal("true\n", (process.run(("env %s lua5.4 -e 'print(require(\"central.auth\").token() ~= nil)'"):format(
      process.assignments(env)))))
    assert.equal(1, slow:requests().token)
  end)

  it("does the same where it slept: one clock moves with the wall clock, the other does not", function()
    assert_seen({ { 1 }, { 1 }, { 1, 2 }, { 3 } }, suspend "0/0 3600/3600 6700/6700 17500/17500")
  end)

  it("does not trust a wall clock that comes back from sleep wrong, a day early or late", function()
    assert_seen({ { 1 }, { 2 }, { 3 }, { 4 } }, suspend "0/0 7300/-86400 14600/90000 21900/21900")
  end)
end)

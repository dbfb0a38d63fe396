-- Clocks that jump under a running process, by libfaketime: hours pass, the wall clock steps, the machine sleeps. The
-- rules are in renew_spec, with a movable clock; here the real ones are moved.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local LIBRARY = process.run("ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null"):match "%S+"

-- Asks for a token over and over after each step of the clocks; tells how many there were, and whether any call failed.
local SCRIPT = [[
local auth, core = require "central.auth", require "central.auth.core"
local clock = core.clock()
local function ask()
  local tokens, count, last = {}, 0
  for _ = 1, 60 do
    last = assert(auth.token())
    if not tokens[last] then
      tokens[last], count = true, count + 1
    end
    assert(auth.status().state ~= "expired")
    clock:sleep(0.003)
  end
  return count, last
end
for offset in os.getenv("OFFSETS"):gmatch "%S+" do
  local file = io.open(os.getenv "FAKETIME_TIMESTAMP_FILE", "w")
  file:write(offset)
  file:close()
  local count, last = ask()
  print(count, last)
end
]]

local box, folder

-- One line for each offset: how many tokens were seen after the step, and the last of them.
local function run(offsets, wall_only)
  local script = process.write(folder .. "/script.lua", SCRIPT)
  local stamp = process.write(folder .. "/stamp", "+0")
  local env = process.credentials(box, folder .. "/cache")
  env.LD_PRELOAD, env.FAKETIME_TIMESTAMP_FILE, env.FAKETIME_NO_CACHE = LIBRARY, stamp, 1
  env.FAKETIME_DONT_FAKE_MONOTONIC, env.OFFSETS = wall_only and 1 or 0, offsets
  local output, status = process.run(("env %s lua5.4 %s"):format(process.assignments(env), script))
  assert.equal(0, status, output)
  local lines = {}
  for count, token in output:gmatch "(%d+)\t(%S+)\n" do
    lines[#lines + 1] = { count = tonumber(count), token = token }
  end
  return lines
end

local faked = apart.only({ it = it, pending = pending }, LIBRARY, "libfaketime is not installed")

describe("a process whose clocks are moved #clocks #slow", function()
  before_each(function()
    folder = process.scratch()
    box = sandbox.start { lifetime = 7199 }
  end)
  after_each(function()
    box:close()
    process.remove(folder)
  end)

  faked("keeps its token for an hour, renews it in the window, and has another after a suspend", function()
    local seen = run "+0 +3600 +6700 +17500"
    assert.equal(seen[1].token, seen[2].token)
    assert.equal(1, seen[2].count)
    assert.is_true(seen[3].count == 2 and seen[3].token ~= seen[2].token) -- the old one first, then the new
    assert.is_true(seen[4].count == 1 and seen[4].token ~= seen[3].token) -- never the dead one
    assert.equal(3, box:requests().token)
  end)

  faked("asks at most once for each step of the wall clock, a day back and forth", function()
    local seen = run("+0 -86400 +0 +86400 +0", true)
    assert.equal(5, #seen)
    assert.is_true(box:requests().token <= 4, box:requests().token)
    for i = 1, 3 do
      assert.is_true(seen[i].count <= 2)
    end
  end)
end)

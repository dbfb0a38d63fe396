-- This library. first | warm | nothing | renew | renew-cached | calls | page | prefetch | no-prefetch |
-- cqueues | luv | steady
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local REQUESTS, PAGES = 2000, 300
local AT_ONCE, EACH = 16, 20 -- calls at a time, and calls of each in turn
local CALLS, CLIENTS, RENEWALS = 5000000, 20, 9 -- with the first one, the ten requests a client may make at once

assert(auth.token())
if arg[1] == "first" then
  return
end

local measure = require "spec_measure"
local started = measure.now()
if arg[1] == "warm" then
  local token = auth.token
  for _ = 1, CALLS do
    token()
  end
  print((measure.now() - started) / CALLS * 1e9)
elseif arg[1] == "nothing" then
  local nothing = measure.nothing
  for _ = 1, CALLS do
    nothing()
  end
  print((measure.now() - started) / CALLS * 1e9)
elseif arg[1] == "renew" or arg[1] == "renew-cached" then
  local spent, identity = 0, ("an-identifier-%.9f-"):format(measure.now()) -- which has made no requests before
  for i = 1, CLIENTS do
    local client <close> = assert(auth.new { cache = arg[1] == "renew-cached", client_id = identity .. i })
    assert(client:token())
    started = measure.now()
    for _ = 1, RENEWALS do
      assert(client:renew())
    end
    spent = spent + measure.now() - started
  end
  print(CLIENTS * RENEWALS / spent)
elseif arg[1] == "calls" or arg[1] == "page" then
  local path, count = "/devices", REQUESTS
  if arg[1] == "page" then
    path, count = "/page", PAGES
  end
  assert(auth.get(path).json)
  started = measure.now()
  local before = os.clock() -- CPU time of this process, all threads
  for _ = 1, count do
    assert(auth.get(path).json)
  end
  print(count / (measure.now() - started), (os.clock() - before) / count * 1e6)
elseif arg[1] == "prefetch" or arg[1] == "no-prefetch" then
  assert(auth.get("/slow"))
  local count = 0
  started = measure.now()
  for _ in auth.pages("/slow", { by = "page", prefetch = arg[1] == "prefetch" }) do
    local until_then = measure.now() + 0.05
    repeat until measure.now() >= until_then
    count = count + 1
    if count == EACH then
      break
    end
  end
  print((measure.now() - started) / EACH * 1000)
elseif arg[1] == "cqueues" or arg[1] == "luv" then
  local client <close> = assert(auth.new { wait = require("central.auth.loops")[arg[1]] })
  local loops = require(arg[1]) -- luv must not be loaded first in a coroutine
  local function run(each)
    local function get()
      for _ = 1, each do
        assert(client:get("/slow").json)
      end
    end
    local loop = arg[1] == "cqueues" and loops.new()
    for _ = 1, AT_ONCE do
      if loop then
        loop:wrap(get)
      else
        coroutine.wrap(get)()
      end
    end
    return loop and assert(loop:loop()) or loops.run()
  end
  run(1)
  started = measure.now()
  run(EACH)
  print(AT_ONCE * EACH / (measure.now() - started))
elseif arg[1] == "steady" then
  local LIFETIME = 3 -- of the server's tokens; from when one is first seen, it is less
  local clock, took, first_seen, tokens = require("central.auth.core").clock(), {}, {}, 0
  while measure.now() - started < 20 do
    local before = measure.now()
    local token = assert(auth.token())
    took[#took + 1] = measure.now() - before
    if not first_seen[token] then
      first_seen[token], tokens = before, tokens + 1
    end
    assert(before - first_seen[token] < LIFETIME, "an expired token was handed out")
    clock:sleep(0.001)
  end
  table.sort(took)
  print(took[#took // 2] * 1e6, took[#took * 999 // 1000] * 1e6, took[#took] * 1e6, tokens)
end

-- Two ways to wait in cqueues: token() that yields, and a pending token among other things to poll.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cqueues = require "cqueues"
local server <close> = require("central.auth.sandbox").start { latency = 0.2 } -- not with your own credentials

local options = server:options()
options.wait = require("central.auth.loops").cqueues
local client <close> = assert(auth.new(options))

local loop = cqueues.new()
for name in ("access points, switches, gateways"):gmatch "[^,]+" do
  loop:wrap(function()
    assert(client:header())
    print("ready to ask for " .. name)
  end)
end
loop:wrap(function()
  local pending <close> = assert(client:pending())
  while not pending:done() do
    if cqueues.poll(pending, 0.05) ~= pending then
      print "still waiting"
    end
  end
  assert(pending:result())
end)
assert(loop:loop())
print(client:status())

-- Two ways to wait in cqueues: a token() that yields, and a pending token that cqueues polls among other objects.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cqueues = require "cqueues"
local server <close> = require("central.auth.sandbox").start { latency = 0.2 } -- a mock server

local options = server:options()
options.wait = require("central.auth.loops").cqueues
local client <close> = assert(auth.new(options))

local loop = cqueues.new()
for _, name in ipairs { "access points", "switches", "gateways" } do
  loop:wrap(function()
    assert(client:header())
    print("ready for API calls: " .. name)
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

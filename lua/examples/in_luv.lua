-- In luv: token() yields in a coroutine, and timers run in the meantime.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local uv = require "luv"
local server <close> = require("central.auth.sandbox").start { latency = 0.2 } -- a mock server

local options = server:options()
options.wait = require("central.auth.loops").luv
local client <close> = assert(auth.new(options))

local ticker = uv.new_timer()
ticker:start(0, 50, function() print "tick" end)
coroutine.wrap(function()
  assert(client:header())
  print "ready for API calls"
  ticker:close()
end)()
uv.run()
print(client:status())

-- In copas: token() yields in a thread of copas, and other threads run in the meantime. Debian installs copas for
-- Lua 5.1 only; Lua 5.4 can load it from there: LUA_PATH="/usr/share/lua/5.1/?.lua;;" lua5.4 in_copas.lua
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local copas = require "copas"
local server <close> = require("central.auth.sandbox").start { latency = 0.2 } -- a mock server

local options = server:options()
options.wait = require("central.auth.loops").copas
local client <close> = assert(auth.new(options))

local waiting = 3
for i = 1, 3 do
  copas.addthread(function()
    local header, message = client:header()
    print(("thread %d: %s"):format(i, header and "ready for API calls" or message))
    waiting = waiting - 1
  end)
end
while waiting > 0 do
  copas.step(0.05)
end
print(client:status())

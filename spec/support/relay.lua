-- A program that passes bytes from one place to another: lua relay.lua FROM TO, each a loopback port or the path of a
-- socket; or, as TO, @ and the path of a file that names the port, read for each connection. By sockets' paths alone do
-- network namespaces meet.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local from, to = ...

local function address(place)
  if place:find "^@" then
    local file <close> = assert(io.open(place:sub(2)))
    place = file:read "l"
  end
  return tonumber(place) and { host = "127.0.0.1", port = tonumber(place) } or { path = place, unlink = true }
end

local function pump(input, output)
  pcall(function() -- until either end is closed
    for bytes in function() return input:read(-4096) end do
      output:write(bytes)
    end
  end)
  pcall(output.shutdown, output, "w")
end

local function quiet(peer)
  peer:setmode("bn", "bn")
  peer:onerror(function(_, _, code) return code end)
  return peer
end

local loop = cqueues.new()
local listener = assert(socket.listen(address(from)))
assert(listener:listen())
loop:wrap(function()
  for peer in listener:clients() do
    loop:wrap(function()
      local there = quiet(socket.connect(address(to)))
      loop:wrap(pump, quiet(peer), there)
      pump(there, peer)
      peer:close()
    end)
  end
end)
assert(loop:loop())

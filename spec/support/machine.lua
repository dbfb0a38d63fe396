-- Clients that stand for processes on machines of their own, which share nothing but a Redis server.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"
local scripted = require "spec.support.scripted"

local machine = {}

local Machine = {}
Machine.__index = Machine

--- A machine with nothing in its folder yet, below `root`.
---@param root string
---@param clock userdata
function machine.new(root, clock)
  local home = process.run("mktemp -d -p " .. process.quote(root)):match "%S+"
  return setmetatable({ clock = clock, _home = home }, Machine)
end

--- A client on it: as of scripted.new.
function Machine:client(replies, options)
  local getenv = os.getenv
  rawset(os, "getenv", function(name)
    if name == "XDG_RUNTIME_DIR" then
      return self._home
    end
    return getenv(name)
  end)
  local made, client = pcall(scripted.new, replies or {}, options, self.clock)
  rawset(os, "getenv", getenv)
  return made and client or error(client, 2)
end

return machine

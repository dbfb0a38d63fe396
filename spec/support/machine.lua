-- Clients that stand for processes on machines of their own, which share nothing but a Redis server. Their token server
-- is a real one, too, and says to each of them what its spec has listed.
-- SPDX-License-Identifier: MIT

local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local with = require "spec.support.with"

local machine = {}

local LISTED = 40 -- replies, where a function gives them

-- --- the server of tokens, and of APIs -----------------------------------------------------------------------------

-- Whoever asks is known by the User-Agent, a file of whose name in `data.folder` lists the replies.
local function answer(conn, request)
  local data, name = conn.data, request.headers["user-agent"]
  local listed = dofile(data.folder .. "/" .. name)
  data[name] = (data[name] or 0) + 1
  local reply = assert(listed[data[name]], ("request %d of %s was not expected"):format(data[name], name))
  conn:sleep(reply.took or listed.took or 0)
  conn:write(require("spec.support.rude").reply(reply.status, {
    ["Retry-After"] = reply.retry_after or false,
    Date = reply.date and os.date("!%a, %d %b %Y %H:%M:%S GMT", reply.date) or false,
  }, reply.body))
end

--- Starts it; what it says is kept below `root`.
---@param root string
function machine.serve(root)
  local folder = process.run("mktemp -d -p " .. process.quote(root)):match "%S+"
  local server = rude.start { handler = answer, data = { folder = folder } }
  server.folder, server.clients = folder, 0
  return server
end

-- --- the machines --------------------------------------------------------------------------------------------------

local Machine = {}
Machine.__index = Machine

--- One with nothing in its folder yet, below `root`.
---@param root string
---@param server table of `machine.serve`
---@param clock userdata
function machine.new(root, server, clock)
  local home = process.run("mktemp -d -p " .. process.quote(root)):match "%S+"
  return setmetatable({ folder = home .. "/central-auth", _server = server, _clock = clock, _home = home }, Machine)
end

-- A client of a machine. `requests`: how many it has made.
local Process = {}

function Process:__index(name)
  if name ~= "requests" then
    return Process[name]
  end
  local count = 0
  for _, request in ipairs(self._server:requests()) do
    count = count + (request.headers["user-agent"] == self.name and 1 or 0)
  end
  return count
end

--- Lists what the server says to it from now on: see scripted.token, and further fields. `took`: seconds it takes.
---@param replies table[] | fun(n: integer): table
---@param took? number
function Process:list(replies, took)
  local listed = {}
  for n = 1, type(replies) == "function" and LISTED or #replies do
    listed[n] = type(replies) == "function" and replies(n) or replies[n]
  end
  listed.took, self._replies = took, replies
  process.write(self._server.folder .. "/" .. self.name, "return " .. rude.literal(listed))
end

--- Each request takes so many seconds from now on.
---@param seconds number
function Process:slow_down(seconds)
  self:list(self._replies, seconds)
end

--- Lets so many seconds pass for all of its clock.
---@param seconds number
function Process:wait(seconds)
  self.clock:shift(seconds, seconds)
end

-- What it makes of its environment.
local function at_home(home, action, ...)
  local getenv = os.getenv
  rawset(os, "getenv", function(name)
    return name == "XDG_RUNTIME_DIR" and home or getenv(name)
  end)
  local made, result = pcall(action, ...)
  rawset(os, "getenv", getenv)
  return made and result or error(result, 0)
end

--- A client on it. Options as for auth.new; all chances are as high as they can be.
---@param replies? table[] | fun(n: integer): table
---@param options? table
function Machine:client(replies, options)
  local server = self._server
  server.clients = server.clients + 1
  local one = setmetatable({ clock = self._clock, events = {}, name = "process-" .. server.clients, _server = server },
    Process)
  one:list(replies or {})
  local all = { timeout = 10, user_agent = one.name,
    on_event = function(event) one.events[#one.events + 1] = event.event end }
  one.client = at_home(self._home, neighbour.new, server, self._clock, with(all, options),
    { random = function() return 1 end, jitter = 1 })
  return one
end

return machine

-- A client whose network and time a spec directs: replies come from a list, time moves when told, sleeping moves it.
-- The native tracker, clock and getter, and the whole Lua layer above the transfer, are the real ones.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local transfer = require "spec.support.scripted_transfer"
local world = require "spec.support.scripted_world"

local scripted = {}

scripted.NONE = {} -- as the value of an option: not given

local Scripted = {}
Scripted.__index = Scripted

--- A raw reply with a token; `fields` replaces or adds members, as JSON text.
function scripted.token(token, expires_in, more)
  return { status = 200, body = ('{"access_token":"%s","token_type":"Bearer"%s%s}'):format(
    token, expires_in and (',"expires_in":%s'):format(expires_in) or "", more or "") }
end

--- A raw reply with an OAuth error.
function scripted.refusal(name, status)
  return { status = status or 401, body = ('{"error":"%s"}'):format(name) }
end

--- A raw reply of an API: JSON, unless the header fields (a list of names and values) say otherwise.
function scripted.api(status, body, headers)
  local lines = {}
  for i = 1, #(headers or {}), 2 do
    lines[#lines + 1] = ("%s: %s\n"):format(headers[i], headers[i + 1])
  end
  return { status = status, body = body or "", header_lines = headers and table.concat(lines)
    or "Content-Type: application/json\n" }
end

--- A failure of the network; `reached` as of Transport:finish, by default what such a failure usually has.
function scripted.broken(code, reached)
  local is_early = code == "resolve" or code == "connect"
  return { code = code or "network", reached = reached or not is_early and "server" or nil }
end

--- A reply that takes so many seconds, by default one.
function scripted.slow(reply, seconds)
  reply.took = seconds or 1
  return reply
end

-- An object as a handle from which nothing of the spec can be reached, as from the userdata in its place.
local function sealed(object)
  local function close()
    object:close()
  end
  return setmetatable({}, {
    __index = function(handle, name)
      local function method(_, ...)
        return object[name](object, ...)
      end
      rawset(handle, name, method)
      return method
    end,
    __gc = close, __close = close,
  })
end

--- `replies` is a list, or a function of the request's number and of what it sends. Options as for auth.new; no cache
--- unless they name one, which then is in memory: see scripted_world. Clients with the same `clock` live at the same
--- time and share their folders. `parts` replaces what the client is made of.
function scripted.new(replies, options, clock, parts)
  clock = clock or core.clock()
  local self = setmetatable({ clock = clock, world = world.of(clock), replies = replies, requests = 0, slept = 0,
    events = {}, took = 0 }, Scripted)
  local given = { client_id = "an-identifier", client_secret = "a-long-enough-secret", timeout = 10, cache = false }
  for name, value in pairs(options or {}) do
    given[name] = value
    if value == scripted.NONE then
      given[name] = nil
    end
  end
  given.on_event = given.on_event or function(event) -- of requests `answer` knows
    self.events[#self.events + 1] = event.event ~= "request" and event.event or nil
  end
  function self.random()
    return self.chance or 1
  end
  local all = {
    clock = clock, random = self.random, jitter = 1,
    transfer = function() return sealed(transfer.new(self)) end,
    budget = function() return self.world:budget() end,
    folder_store = function(path) return sealed(self.world:store(path)) end,
    sleep = function(seconds)
      self.slept = self.slept + seconds
      self:wait(seconds)
    end,
  }
  for name, part in pairs(parts or {}) do
    all[name] = part
  end
  self.config = assert(config.resolve(given))
  self.client = client.new(self.config, all)
  return self
end

--- Lets so many seconds pass.
function Scripted:wait(seconds)
  self.world:pass(seconds)
end

--- The reply to the next request, which `last_request` shows: what a fetch sends, or what transfer:call was given.
function Scripted:answer(request)
  self.requests, self.last_request = self.requests + 1, request
  local n = self.requests
  local answer = type(self.replies) == "function" and self.replies(n, request) or self.replies[n]
  return assert(answer, ("request %d was not expected"):format(n))
end

return scripted

-- A client whose network and time a spec directs: replies come from a list, time moves when told, sleeping moves it.
-- The native tracker, clock and getter, and the whole Lua layer above the transport, are the real ones.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config"
local core = require "central.auth.core"

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

--- A failure of the network.
function scripted.broken(code)
  return { code = code or "network" }
end

--- `replies` is a list, or a function of the request's number. Options as for auth.new; no cache unless they name one.
--- Clients with the same `clock` live at the same time.
function scripted.new(replies, options, clock)
  local self = setmetatable({ clock = clock or core.clock(), requests = 0, slept = 0, events = {}, took = 0 }, Scripted)
  local given = { client_id = "an-identifier", client_secret = "a-long-enough-secret", timeout = 10,
    cache = false }
  for name, value in pairs(options or {}) do
    given[name] = value
    if value == scripted.NONE then
      given[name] = nil
    end
  end
  given.on_event = given.on_event or function(event) self.events[#self.events + 1] = event.event end
  self.transport = { send = function(_, request) return self:send(request) end, close = function() end }
  self.replies = replies
  self.client = client.new(assert(config.resolve(given)), {
    clock = self.clock, transport = self.transport, random = function() return self.chance or 1 end,
    sleep = function(seconds)
      self.slept = self.slept + seconds
      self:wait(seconds)
    end,
  })
  return self
end

function Scripted:wait(seconds)
  self.clock:shift(seconds, seconds)
end

function Scripted:send(request)
  self.requests = self.requests + 1
  self.last_request = request
  local n = self.requests
  local answer = type(self.replies) == "function" and self.replies(n) or self.replies[n]
  assert(answer, ("request %d was not expected"):format(n))
  local raw = { sent_boot = self.clock:boot(), sent_wall = self.clock:wall() }
  self:wait(math.min(answer.took or self.took, request.timeout)) -- as libcurl does
  if answer.code then
    return nil, "it broke", answer.code, {}
  end
  for name, value in pairs(answer) do
    raw[name] = value
  end
  raw.received_wall = self.clock:wall()
  return raw
end

return scripted

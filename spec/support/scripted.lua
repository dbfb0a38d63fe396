-- A client whose network and time a spec directs: replies come from a list, time moves when told, sleeping moves it.
-- The native tracker, clock and getter, and the whole Lua layer above the transport, are the real ones.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
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

--- A raw reply of an API: JSON, unless the header fields (a list of names and values) say otherwise.
function scripted.api(status, body, headers)
  return { status = status, body = body or "", headers = headers or { "Content-Type", "application/json" } }
end

--- A failure of the network; `reached` as of Transport:finish, by default what such a failure usually has.
function scripted.broken(code, reached)
  local is_early = code == "resolve" or code == "connect"
  return { code = code or "network", reached = reached or not is_early and "server" or nil }
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
  self.transport = {
    start = function(_, request) self:start(request) end,
    wait = function(_, seconds) return self:arrives(seconds) end,
    finish = function() return self:finish() end,
    close = function() self.on_its_way = nil end,
  }
  self.replies = replies
  self.client = client.new(assert(config.resolve(given)), {
    clock = self.clock, transport = self.transport, random = function() return self.chance or 1 end,
    stretch = 1,
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

-- The network: a request arrives after `took` seconds of the movable clock, or fails when its time is over.
function Scripted:start(request)
  self.requests = self.requests + 1
  self.last_request = request
  local n = self.requests
  local answer = type(self.replies) == "function" and self.replies(n) or self.replies[n]
  assert(answer, ("request %d was not expected"):format(n))
  local raw = { sent_boot = self.clock:boot(), sent_wall = self.clock:wall() }
  for name, value in pairs(answer) do
    raw[name] = value
  end
  local took = answer.took or self.took
  if took > request.timeout and not answer.code then
    raw.code = "timeout"
  end
  self.on_its_way, self.arrival = raw, self.clock:boot() + math.min(took, request.timeout)
end

function Scripted:arrives(seconds)
  local left = self.arrival - self.clock:boot()
  if left > 0 and seconds > 0 then
    self:wait(math.min(left, seconds))
  end
  return self.clock:boot() >= self.arrival
end

function Scripted:finish()
  local raw = self.on_its_way
  if raw.code then
    return nil, "it broke", raw.code, { reached = raw.reached }
  end
  raw.received_wall, raw.received_boot = self.clock:wall(), self.arrival
  return raw
end

return scripted

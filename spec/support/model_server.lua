-- The token endpoint and the API of the model: answers as the weather is, and keeps account of each token it gave.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"

local server = {}

---@class ModelServer
local Server = {}
Server.__index = Server

--- `random`: the model's; `world`: of the scripted clients.
function server.new(world, random)
  return setmetatable({
    world = world, random = random, weather = "well", api_weather = "well", is_slow = false, life = 7200,
    secret = "the-client-secret-1", resets = 0,
    tokens = {},  -- by their text: when each was asked for, how long it lives, when it came last; and as it is sent
    order = {},   -- their texts, the newest last
    count = 0,
    pause_ends = 0, -- when a client must have tried again after all failures so far
    successes = {}, failures = {}, -- replies by the client that got them
  }, Server)
end

local FORGOTTEN = 100 -- seconds after its end in which a token is remembered
local LAST = 50        -- tokens among which the good ones are looked for

local function add(list, key)
  list[key] = (list[key] or 0) + 1
end

-- How long the next reply takes.
function Server:delay()
  return self.is_slow and self.random() * 12 or self.random() < 0.5 and 0 or self.random() * 0.3
end

--- Whether an API would take this token now.
function Server:is_valid(token)
  local known = self.tokens[token]
  return known ~= nil and not known.is_revoked and self.world:boot() < known.sent + known.life
end

--- All tokens are dead from now on.
function Server:revoke()
  for _, known in pairs(self.tokens) do
    known.is_revoked = true
  end
end

--- Another secret; tokens of the former one are dead.
function Server:rotate()
  self.resets = self.resets + 1
  self.secret, self.known_secret = ("the-client-secret-%d"):format(self.resets + 1), nil
  self:revoke()
end

--- A failure that is told to a client now: from when on it has to try again.
function Server:note_failure(client, retry_after, took)
  add(self.failures, client)
  local now = self.world:boot() + (took or 0)
  self.pause_ends = math.max(self.pause_ends, now + math.min(retry_after or 0, 3600) + 60)
end

local function granted(self, text, life, took)
  local known = self.tokens[text]
  known.came = math.max(known.came or 0, self.world:boot() + took)
  return { status = 200, took = took,
    body = ('{"access_token":"%s","token_type":"Bearer","expires_in":%s}'):format(text, life) }
end

local function issue(self, client, kind, took)
  self.count = self.count + 1
  local text = ("%s-%d"):format(kind, self.count)
  if self.weather == "one at a time" then
    self:revoke()
  end
  self.tokens[text] = { sent = self.world:boot(), life = self.life, kind = kind }
  self.order[#self.order + 1] = text
  local oldest = self.tokens[self.order[1]]
  if oldest.sent + oldest.life + FORGOTTEN < self.world:boot() then
    self.tokens[table.remove(self.order, 1)] = nil
  end
  add(self.successes, client)
  return granted(self, text, self.life, took)
end

-- The token it gave last, where that still lives.
local function same_again(self, client, kind, took)
  for i = #self.order, math.max(#self.order - LAST, 1), -1 do
    local text = self.order[i]
    local known = self.tokens[text]
    if known.kind == kind and self:is_valid(text) then
      known.was_given_again = true
      add(self.successes, client)
      return granted(self, text, known.sent + known.life - self.world:boot(), took)
    end
  end
  return issue(self, client, kind, took)
end

local function refusal(status, name)
  return { status = status, body = ('{"error":"%s"}'):format(name) }
end

-- Whether the form of an exchange has a parent's token that is good.
local function has_good_subject(self, form)
  for i = #self.order, math.max(#self.order - LAST, 1), -1 do
    local text = self.order[i]
    if self.tokens[text].kind == "token" and self:is_valid(text) then
      local known = self.tokens[text]
      known.form = known.form or core.form {
        "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", text,
        "subject_token_type", "urn:ietf:params:oauth:token-type:access_token",
      }
      if form:equal(known.form) then
        return true
      end
    end
  end
  return false
end

-- What stands against a token, whatever the weather.
local function rejects(self, request)
  if not request.client_id then
    return not has_good_subject(self, request.form) and refusal(401, "invalid_token")
  end
  self.known_secret = self.known_secret or core.secret(self.secret)
  return not (request.assertion or request.secret):equal(self.known_secret) and { status = 401, body = "" }
end

local BROKEN = {
  '{"access_token":"broken" "token_type":"Bearer"}', "<html>", "", '{"access_token":7}', "[]",
  '{"access_token":"broken","token_type":"DPoP","expires_in":100}',
}

local WEATHER = {
  busy = function(self) return { status = 429, body = "", retry_after = (self.random() * 100) // 1 } end,
  closed = function(self)
    return { status = 503, body = "", retry_after = self.random() < 0.1 and 5000 or (self.random() * 30) // 1 }
  end,
  down = function() return { status = 503, body = "" } end,
  bug = function() return { status = 500, body = "" } end,
  unreachable = function() return { code = "connect" } end,
  cut = function() return { code = "network", reached = "server" } end,
  hangs = function() return { code = "timeout", took = math.huge } end,
  forbidden = function() return { status = 403, body = "" } end,
  denied = function() return refusal(401, "invalid_client") end,
  broken = function(self) return { status = 200, body = BROKEN[self.random(#BROKEN)] } end,
}

--- The names of all kinds of weather; the first three bring tokens.
server.WEATHER = { "well", "same again", "one at a time" }
for name in pairs(WEATHER) do
  table.insert(server.WEATHER, name)
end
table.sort(server.WEATHER, function(a, b)
  local bad_a, bad_b = WEATHER[a] ~= nil, WEATHER[b] ~= nil
  return bad_a == bad_b and a < b or not bad_a and bad_b
end)

--- Answers a token request of a client.
function Server:answer_token(client, request)
  local took = self:delay()
  local reply = WEATHER[self.weather] and WEATHER[self.weather](self) or rejects(self, request)
  if not reply then
    local give = self.weather == "same again" and same_again or issue
    if took > request.timeout then
      self:note_failure(client, nil, request.timeout)
    end
    return give(self, client, request.client_id and "token" or "tenant", took)
  end
  reply.took = reply.took or took
  self:note_failure(client, reply.retry_after, math.min(reply.took, request.timeout))
  return reply
end

local API_WEATHER = {
  denied = function() return { status = 401, body = "" } end,
  down = function() return { status = 503, body = "" } end,
  busy = function(self) return { status = 429, body = "", retry_after = (self.random() * 5) // 1 } end,
  cut = function() return { code = "network", reached = "server" } end,
  hangs = function() return { code = "timeout", took = math.huge } end,
}
server.API_WEATHER = { "well", "busy", "cut", "denied", "down", "hangs" }

-- Which of the tokens that are good the call carries.
local function carried(self, token)
  for i = #self.order, math.max(#self.order - LAST, 1), -1 do
    local text = self.order[i]
    if text == token and self:is_valid(text) then
      return text
    end
  end
end

--- Answers an API call.
function Server:answer_call(request)
  local took = self:delay()
  local reply = API_WEATHER[self.api_weather] and API_WEATHER[self.api_weather](self)
  if not reply and request.token and not carried(self, request.token) then
    reply = { status = 401, body = "" }
  elseif not reply then
    reply = { status = 200, body = "{}" }
    if request.url:find "/reset$" then
      self:rotate()
      reply.body = ('{"id":"an-identifier","clientSecret":"%s"}'):format(self.secret)
    end
  end
  reply.took, reply.header_lines = reply.took or took, "Content-Type: application/json\n"
  return reply
end

return server

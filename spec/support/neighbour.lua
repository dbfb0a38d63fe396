-- Clients that stand for processes of one machine: at the same time, which a spec moves, with a real folder and a real
-- server.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local rude = require "spec.support.rude"
local scripted = require "spec.support.scripted"

local neighbour = {}

--- A client that asks this server. Options as for auth.new; no cache unless they name one. Clients of one `clock` live
--- at the same time.
---@param server table
---@param clock? userdata
---@param options? table
---@param parts? table what the client is made of besides
function neighbour.new(server, clock, options, parts)
  local all = { client_id = "an-identifier", client_secret = "a-long-enough-secret", token_url = server.url,
    timeout = 5, cache = false }
  for name, value in pairs(options or {}) do
    all[name] = value
    if value == scripted.NONE then
      all[name] = nil
    end
  end
  local made_of = { clock = clock or core.clock() }
  for name, part in pairs(parts or {}) do
    made_of[name] = part
  end
  return client.new(assert(config.resolve(all)), made_of)
end

--- The bytes of a reply with a token.
---@param token string
---@param expires_in integer
function neighbour.reply(token, expires_in)
  return rude.reply(200, nil, scripted.token(token, expires_in).body)
end

--- A server that gives the tokens t1, t2, … up to the n-th, and that one again.
---@param n integer
---@param expires_in integer
function neighbour.server(n, expires_in)
  local replies = {}
  for i = 1, n do
    replies[i] = neighbour.reply("t" .. i, expires_in)
  end
  return rude.start { replies = replies }
end

return neighbour

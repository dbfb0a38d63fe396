-- What the doctor sees at last: the cache that processes share, and whether a token comes.
-- SPDX-License-Identifier: MIT

local cache_of = require "central.auth.token.cache"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local credential = require "central.auth.token.client_secret"
local duration = require "central.auth.duration"
local session = require "central.auth.cli.session"

local ADVICE = {
  ["switched off"] = "each process gets its own token; unset CENTRAL_CACHE or the option cache",
  ["open to others"] = "chmod 700 the folder",
  ["another user"] = "name another folder in CENTRAL_CACHE",
}

local COMMAND = 10 -- seconds

-- A token that lies in the folder hides that Redis is out of reach: this asks it. What is wrong, in words, if anything.
local function redis_problem(options)
  local found = config.resolve { profile = options.profile }
  if type(found.cache) ~= "string" or not found.cache:find "^redis" or not found.secret then
    return nil
  end
  local secret <close> = credential.read(found.secret, COMMAND)
  if not secret then
    return nil
  end
  local shared = cache_of.new(found, { clock = core.clock(), random = core.random }, function() end)
  shared:attach(secret)
  local problem = shared:problem()
  shared:close()
  return problem and ("%s: %s"):format(found.cache, problem)
end

local function cache(where, problem, tell)
  if problem then
    return tell("note", "shared token", problem, "each machine gets a token for itself until Redis can be used")
  elseif not where:find "^none" and not where:find "without locks" then
    return tell("ok", "shared token", where)
  end
  for part, advice in pairs(ADVICE) do
    if where:find(part, 1, true) then
      return tell("note", "shared token", where, advice)
    end
  end
  tell("note", "shared token", where, "tokens still come, with more requests")
end

local function token(auth, tell)
  local value, message, code = auth.token()
  if not value then
    return tell("bad", "token", message, code == "oauth" and "central-auth login replaces the credentials"
      or "see the lines above")
  end
  local status = auth.status()
  tell("ok", "token", ("%s, from the %s, good for %s, is renewed in %s"):format(status.state, status.source,
    duration(status.expires_in), duration(status.renews_in or 0)))
end

--- Tells of the cache, and gets a token where nothing stands against it.
---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  local auth = known.config and session.open(known.options)
  if not auth then
    return
  elseif known.ready then
    auth.status { shared = true }
  end
  if not known.options.offline and known.reached and known.ready then
    token(auth, tell)
  end
  local asks = not known.options.offline and known.ready
  cache(auth.status().cache, asks and redis_problem(known.options) or nil, tell)
end

-- What people may know about a client: a table without secrets that prints readably.
-- SPDX-License-Identifier: MIT

---@class central.auth.Status
---@field state "fresh" | "stale" | "expired" | "none" | "closed" stale: usable, and due for renewal
---@field expires_in? number seconds until the token expires; nil for a ready-made one that does not say
---@field expires_at? integer seconds since 1970
---@field renews_in? number seconds until a call renews it, or reads a ready-made one again
---@field lifetime? number seconds from its request to its expiry
---@field source? "network" | "cache" | "ready-made" where the token came from; cache: from another process
---@field client? string the client id, masked
---@field token_url? string the token endpoint
---@field renewals? integer tokens that replaced another
---@field next_try_in? number seconds of back-off left after a failure
---@field last_error? string the message of the last failure, until a token comes
---@field granted_scope? string the scope that the server named
---@field cache? string the shared folder, or why there is none
---@field clock_skew? number seconds this machine's clock is ahead of the server's

local status = {}

local ORDER = {
  "state", "expires_in", "expires_at", "renews_in", "lifetime", "source", "client", "token_url", "renewals",
  "next_try_in", "last_error", "granted_scope", "clock_skew", "cache",
}

--- A time as text.
---@param seconds number since 1970
---@return string
function status.utc(seconds)
  return os.date("!%Y-%m-%d %H:%M:%S UTC", math.floor(seconds))
end

local SHOW = {
  expires_in = function(seconds) return ("%.0f s"):format(seconds) end,
  expires_at = status.utc,
  renews_in = function(seconds) return ("%.0f s"):format(seconds) end,
  lifetime = function(seconds) return ("%.0f s"):format(seconds) end,
  next_try_in = function(seconds) return ("%.1f s"):format(seconds) end,
  clock_skew = function(seconds) return ("%+.0f s"):format(seconds) end,
}

local metatable = { __name = "central.auth.status" }

function metatable:__tostring()
  local lines = {}
  for _, name in ipairs(ORDER) do
    local value = self[name]
    if value ~= nil then
      lines[#lines + 1] = ("%-13s  %s"):format(name, SHOW[name] and SHOW[name](value) or tostring(value))
    end
  end
  return table.concat(lines, "\n")
end

--- A client id as others may see it.
---@param id string
---@return string
function status.mask(id)
  return #id < 12 and id:sub(1, 2) .. "…" or id:sub(1, 4) .. "…" .. id:sub(-4)
end

-- Why there is no shared token.
local function why_unshared(source)
  local config, cache, secret = source.config, source.cache, source.client_secret.current
  if config.cache == false then
    return "switched off"
  elseif not config.secret then
    return config.ready_made and "a ready-made token is not shared"
      or "without a client secret there is nothing to seal it with"
  elseif cache.no_folder and not cache.remote then
    return cache.no_folder
  elseif secret and not secret:can_seal() then
    return "a client secret under 16 bytes is too short to seal it with"
  end
end

-- Where the shared token is, or why nowhere.
local function where(source)
  local cache, server, none = source.cache, source.config.cache, why_unshared(source)
  local why = none or cache.no_folder or cache.problem and ("%s: %s"):format(cache.folder, cache.problem)
  local folder = why and "none: " .. why or cache.folder
  if not why and cache.lock_problem then
    folder = ("%s (without locks: %s)"):format(folder, cache.lock_problem)
  end
  if none or not cache.remote then
    return folder
  elseif cache.remote:problem() then
    return ("%s (without %s: %s)"):format(folder, server, cache.remote:problem())
  end
  return ("%s, %s"):format(server, folder)
end

--- The status of a token source; of a closed client when there is none.
---@param source? central.auth.TokenSource
---@return central.auth.Status
function status.of(source)
  if not source then
    return setmetatable({ state = "closed" }, metatable)
  end
  local failures, renewals, current = source:made "failures", source:made "renewals", source.current
  local tracker, sent_boot, origin = current.tracker, current.sent_boot, current.origin
  local expired = current.expired_record
  if expired and tracker:state() == "none" and expired.tracker:state() == "expired" then -- a clock may be set back
    tracker, sent_boot, origin = expired.tracker, expired.sent_boot, expired.origin
  end
  local state, remaining, life, renews_in = tracker:state()
  local held = state ~= "none"
  local ends = held and not (tracker == current.tracker and current.has_no_end)
  -- The end of an expired token lies in the past.
  local left = held and (remaining > 0 and remaining or math.min(sent_boot + life - source.clock:boot(), 0))
  local pause, failure = failures and failures:left() or 0, failures and failures.last
  -- The Date header has whole seconds: a difference below one says nothing.
  local skew = renewals and renewals.skew
  skew = skew and (math.abs(skew) < 1 and 0 or skew)
  return setmetatable({
    state = held and not ends and "fresh" or state,
    expires_in = ends and remaining or nil,
    expires_at = ends and math.floor(source.clock:wall() + left) or nil,
    renews_in = ends and renews_in or nil,
    lifetime = ends and life or nil,
    source = held and origin or nil,
    client = source.config.client_id and status.mask(source.config.client_id),
    token_url = source.config.token_url,
    renewals = renewals and renewals.count or 0,
    next_try_in = pause > 0 and pause or nil,
    last_error = failure and failure.message or nil,
    granted_scope = current.scope,
    clock_skew = skew,
    cache = where(source),
  }, metatable)
end

return status

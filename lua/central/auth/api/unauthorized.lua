-- After a 401 of an API: whether the token is at fault, and is replaced, or the call lacks a permission, which must not
-- cost the processes that share the token another one. Remembers which calls the current token was good for.
-- SPDX-License-Identifier: MIT

local by_hand = require "central.auth.token.operations"

local unauthorized = {}

local POLL = 0.02     -- seconds between checks while the credential is being reset
local YOUNG = 60      -- seconds in which a token that the host accepted is not suspected
local TRIES = 4       -- tokens of one call, those of other processes included
local CALLS_MAX = 64  -- calls that are remembered; the oldest is forgotten first
local KEY_MAX = 512   -- bytes of one; a longer one is not remembered

-- What names a call, and its path; both have the method, for a role may read what it must not write.
local function names(call)
  return call.method .. " " .. call.url, call.method .. " " .. call.url:match("^[^?]*")
end

local function remember(accepted, name)
  if #name > KEY_MAX or accepted.calls[name] then
    return
  end
  accepted.at = accepted.at % CALLS_MAX + 1
  local oldest = accepted.order[accepted.at]
  if oldest then
    accepted.calls[oldest] = nil
  end
  accepted.order[accepted.at], accepted.calls[name] = name, true
end

-- What is remembered of the token that the call carried; nil where that is of another one.
local function accepted_of(renewal, call)
  local accepted = renewal.accepted
  return accepted and accepted.sent_boot == call.sent_boot and accepted or nil
end

--- Takes notice of a call that succeeded with the token that was asked for at `call.sent_boot`.
---@param renewal central.auth.Renewal
---@param call table
function unauthorized.succeeded(renewal, call)
  local accepted = renewal.accepted
  if not accepted or accepted.sent_boot < call.sent_boot then
    accepted = { sent_boot = call.sent_boot, origins = {}, calls = {}, order = {}, at = 0 }
    renewal.accepted = accepted
  elseif accepted.sent_boot > call.sent_boot then
    return
  end
  local name, path = names(call)
  accepted.origins[call.origin] = true
  remember(accepted, name)
  remember(accepted, path)
end

-- While this client resets its own credential, a refused token is expected, and the next one is on its way.
local function wait_for_reset(renewal, deadline)
  local now = renewal.clock:boot()
  while by_hand.is_resetting(renewal) and now < deadline do
    renewal.host:pause(POLL)
    now = renewal.clock:boot()
  end
  return now
end

-- Whether the token may be at fault, and whether the very same call succeeded with it before.
local function is_suspect(renewal, call, now)
  local accepted = accepted_of(renewal, call)
  local name, path = names(call)
  call.is_accepted_elsewhere = accepted ~= nil and accepted.origins[call.origin] or false
  if call.refused_at and call.sent_boot > call.refused_at then
    return false -- it is the one that replaced the token this call was refused with first
  elseif now - call.sent_boot >= YOUNG or not call.is_accepted_elsewhere then
    return true, false
  end
  return accepted.calls[path] or accepted.calls[name] or false, accepted.calls[name] or false
end

--- Whether the call is to be made again, with another token: then the refused one is forgotten, here and in the cache.
--- Otherwise the 401 is the answer. Half the time that is left is kept for another token and the call.
---@param renewal central.auth.Renewal
---@param call table
---@param token string
---@param deadline number boot time
---@return boolean
function unauthorized.replace(renewal, call, token, deadline)
  local now = wait_for_reset(renewal, deadline)
  if call.seen_resets ~= renewal.resets then -- that ended the token, which is forgotten already
    return now < deadline
  end
  local suspect, proven = is_suspect(renewal, call, now)
  call.refused_at = call.refused_at or now
  call.refusals = (call.refusals or 0) + 1
  return suspect and call.refusals < TRIES and now < deadline
    and by_hand.replace(renewal, token, call.sent_boot, proven, now + (deadline - now) / 2)
end

return unauthorized

-- Decides after a 401 from an API whether to replace the token. If the call only lacks a permission, the token remains,
-- as other processes share it. Remembers the calls that succeeded with the current token.
-- SPDX-License-Identifier: MIT

local token_calls = require "central.auth.token.call"
local invalidation = require "central.auth.token.invalidation"

local unauthorized = {}

local RESET_POLL = 0.02 -- seconds between checks whether the credential is still being reset
local YOUNG = 60        -- seconds in which a token that the host has accepted is presumed valid
local TOKENS_MAX = 4    -- tokens that one call may use, those of other processes included
local CALLS_MAX = 64    -- calls that are remembered; one more, and all others are forgotten
local KEY_MAX = 512     -- bytes of a call's key; longer ones are not remembered

-- For each token source the calls that succeeded with its token.
local accepted_by = setmetatable({}, { __mode = "k" })

-- The keys of a call and of its path. Both include the method, as a role may be allowed to read and not to write.
local function keys_of(request)
  return request.key, request.key:match("^[^?]*")
end

local function remember(accepted, key)
  if #key > KEY_MAX or accepted.calls[key] then
    return
  elseif accepted.count == CALLS_MAX then
    accepted.calls, accepted.count = {}, 0
  end
  accepted.calls[key], accepted.count = true, accepted.count + 1
end

-- Returns the calls that succeeded with the token of this call; nil if another token is remembered.
local function accepted_of(source, call)
  local accepted = accepted_by[source]
  return accepted and accepted.sent_boot == call.sent_boot and accepted or nil
end

--- Notes that a call succeeded with the token that was requested at `call.sent_boot`.
---@param source central.auth.TokenSource
---@param call central.auth.Deadline of which it is a part: see api/request
function unauthorized.succeeded(source, call)
  local accepted, request = accepted_by[source], call.request
  if not accepted or accepted.sent_boot < call.sent_boot then
    accepted = { sent_boot = call.sent_boot, origins = {}, calls = {}, count = 0 }
    accepted_by[source] = accepted
  elseif accepted.sent_boot > call.sent_boot then
    return
  elseif accepted.latest == request.key then
    return -- as most calls of a program that polls
  end
  local key, path_key = keys_of(request)
  accepted.latest = key
  accepted.origins[request.address.origin] = true
  remember(accepted, path_key)
  remember(accepted, key) -- last: it may be the one for which the others are forgotten
end

-- While this client resets its own credential, refused tokens are expected; the next token is issued after the reset.
local function wait_for_reset(source, deadline)
  while source.resets:is_under_way() and not deadline:over() do
    source.waiter:pause(RESET_POLL)
  end
  return source.clock:boot()
end

-- Returns whether the token may be invalid, and whether the same call succeeded with it before. For a ready-made token,
-- which may be the only one, the word of any host counts, at any age, and a second refusal does not.
local function is_suspect(source, call, now)
  local accepted = accepted_of(source, call)
  local key, path_key = keys_of(call.request)
  call.is_accepted_elsewhere = accepted ~= nil and accepted.origins[call.request.address.origin] or false
  call.is_ready_made = source.config.ready_made ~= nil
  if call.refused_at and (call.sent_boot > call.refused_at or call.is_ready_made) then
    return false -- this token replaced the one that was refused first
  elseif not (call.is_ready_made and accepted or call.is_accepted_elsewhere and now - call.sent_boot < YOUNG) then
    return true, false
  end
  return accepted.calls[path_key] or accepted.calls[key] or false, accepted.calls[key] or false
end

-- Returns whether a ready-made token that is not suspect was replaced: its source is read for that once a minute.
local function has_other(source, call, token, now, deadline)
  local accepted = accepted_of(source, call)
  if source.current:token() ~= token then
    return true
  elseif not accepted or now < (accepted.reread_after or 0) then
    return false
  end
  accepted.reread_after = now + YOUNG
  return token_calls.new(source, { since = now, deadline = deadline }):run() ~= nil
end

--- Returns whether the call should be retried with another token. Then the refused token is forgotten, here and in the
--- cache. Otherwise the 401 is the result. Leaves half of the remaining time for another token and the call.
---@param source central.auth.TokenSource
---@param call central.auth.Deadline of which it is a part: see api/request
---@param token string
---@return boolean
function unauthorized.replace(source, call, token)
  local now = wait_for_reset(source, call)
  if call.seen_resets ~= source.resets.count then -- the reset ended the token, which is already forgotten
    return not call:over()
  end
  local suspect, proven = is_suspect(source, call, now)
  call.refused_at = call.refused_at or now
  call.refusals = (call.refusals or 0) + 1
  local half = source:deadline(call:left() / 2)
  if call.refusals >= TOKENS_MAX or call:over() then
    return false
  elseif not suspect then
    return source.config.ready_made ~= nil and has_other(source, call, token, now, half)
  end
  return invalidation.replace(source, token, proven, half)
end

return unauthorized

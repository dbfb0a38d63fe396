-- The token that is held: taken from a reply or from a record, compared, forgotten. Never returns one that has expired.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local response = require "central.auth.token.response"

local GRACE = 1           -- seconds after its arrival a token is still returned to its caller, though it is expired
local YOUNG = 60          -- seconds in which min_valid renews no token, or a quarter of a short life
local INVALIDATED_MAX = 8 -- invalidated tokens that are remembered

local current_token = {}

---@class central.auth.CurrentToken
---@field adoptions integer how often a new token was taken into use
---@field id? integer of the record that brought it
---@field sent_boot? number when it was asked for; likewise sent_wall
---@field replaced boolean whether there was one before
---@field tracker userdata from which the getter of the client returns the token
---@field origin? "network" | "cache" | "ready-made"
---@field has_no_end? boolean it is ready-made and does not say when it expires
---@field scope? string that was granted
---@field expired_record? { tracker: userdata, sent_boot: number, origin: string } an expired one that was read
local CurrentToken = {}
CurrentToken.__index = CurrentToken

--- None yet.
---@param source central.auth.TokenSource
---@return central.auth.CurrentToken
function current_token.new(source)
  return setmetatable({
    _config = source.config, _clock = source.clock, _jitter = source.parts.jitter, tracker = source.tracker,
    _invalidated = {}, _arrived = 0, adoptions = 0,
  }, CurrentToken)
end

--- Whether there is one to return, in which state, and its remaining and whole life in seconds.
---@return boolean usable
---@return "none"|"fresh"|"stale"|"expired" state
---@return number remaining
---@return number life
function CurrentToken:state()
  local state, remaining, life = self.tracker:state()
  return state == "fresh" or state == "stale", state, remaining, life
end

--- Whether there is a usable one, or one that is expired and has only just arrived.
---@return boolean
function CurrentToken:can_be_returned()
  local usable, state = self:state()
  return usable or state == "expired" and self._clock:boot() - self._arrived < GRACE
end

--- Whether a usable token is to be renewed for `min_valid`: where a new one would do, and otherwise once three quarters
--- of a life or less are left. A young token is not, or such calls would renew one after the other.
---@param min_valid number
---@return boolean
function CurrentToken:is_too_short_for(min_valid)
  local _, state, remaining, life = self:state()
  local wanted = min_valid < life and min_valid or life * 0.75
  return remaining < wanted and (state == "stale" or life - remaining >= math.min(YOUNG, life / 4))
end

---@return string?
function CurrentToken:token()
  return self.tracker:token()
end

--- Whether a token was invalidated. With `forgets` it counts as that no longer.
---@param token string
---@param forgets? boolean
---@return boolean
function CurrentToken:is_invalidated(token, forgets)
  for i, other in ipairs(self._invalidated) do
    if token == other then
      return not forgets or table.remove(self._invalidated, i) ~= nil
    end
  end
  return false
end

function CurrentToken:_begin(tracker, token, raw, unless_expired)
  return tracker:begin(token.access_token, {
    sent_boot = raw.sent_boot, sent_wall = raw.sent_wall, expires_in = token.expires_in, refresh_in = token.refresh_in,
    renew_before = self._config.renew_before, jitter = self._jitter,
    took = raw.received_boot and raw.received_boot - raw.sent_boot, ready_made = token.ready_made,
  }, unless_expired)
end

function CurrentToken:_hold(token, raw, origin, unless_expired)
  self.adoptions = self.adoptions + 1
  if not self:_begin(self.tracker, token, raw, unless_expired) then
    return false
  end
  self.origin, self.scope, self.expired_record, self._arrived = origin, token.scope, nil, raw.received_boot or 0
  self.sent_boot, self.sent_wall, self.id = raw.sent_boot, raw.sent_wall, raw.id
  return true
end

-- The state of a token that is not held, and its remaining life. An expired one is shown by the status.
function CurrentToken:_state_of(token, raw, origin)
  local other = core.tracker(self._clock)
  self:_begin(other, token, raw)
  local state, remaining = other:state()
  if state == "expired" then
    self.expired_record = { tracker = other, sent_boot = raw.sent_boot, origin = origin }
  end
  return state, remaining
end

--- Takes a token that came from the network: "new", or "same" where it is the one held. "expired": it expired before
--- its reply was read, and the one that is held is usable, and stays.
---@param token central.auth.TokenResponse
---@param raw central.auth.RawReply
---@return "new" | "same" | "expired" how
---@return string? warning what is unusual
function CurrentToken:take(token, raw)
  local usable, _, remaining = self:state()
  local how, warning = token.access_token == self:token() and "same" or "new", nil
  local had_one = self.adoptions > 0
  local said = token.expires_in and token.expires_in - (self._clock:boot() - raw.sent_boot)
  if usable and how == "same" and not (said and said < remaining) then
    self.id, self.adoptions = self.id or raw.id, self.adoptions + 1 -- the first schedule and record stay
  elseif not self:_hold(token, raw, "network", usable and how == "new") then
    return "expired", "the new token had expired when its reply was read"
  end
  if self:is_invalidated(token.access_token, true) then
    warning = "the server returned the token that was just invalidated"
  elseif usable and how == "same" then
    warning = "the server returned the token already held"
  end
  self.replaced = had_one
  return how, warning
end

--- Takes the token of a record if it is better than the one held: usable, not invalidated, good for longer; with
--- `since` (boot time) only one that was asked for after that. Returns whether it did.
---@param raw? central.auth.RawReply
---@param since? number
---@return boolean
function CurrentToken:take_record(raw, since)
  local token = raw and (not since or raw.sent_boot > since) and response.read(raw)
  if not token or self:is_invalidated(token.access_token) then
    return false
  elseif token.access_token == self:token() then
    self.id = self.id or raw.id
    return false
  end
  local state, remaining = self:_state_of(token, raw, "cache")
  return state ~= "expired" and remaining > select(2, self.tracker:state()) and self:_hold(token, raw, "cache")
end

--- Takes a ready-made token, unless it has expired. Whether it did.
---@param token central.auth.TokenResponse
---@param raw central.auth.RawReply
---@return boolean
function CurrentToken:take_ready_made(token, raw)
  if self:_state_of(token, raw, "ready-made") == "expired" then
    return false
  end
  self.replaced = self.adoptions > 0
  self:_hold(token, raw, "ready-made")
  self.has_no_end = token.expires_in == nil
  return true
end

--- Takes no such token from a record again, only from the server. Returns whether it was the one held.
---@param token string
---@return boolean
function CurrentToken:invalidate(token)
  self:is_invalidated(token, true) -- it is listed once
  table.insert(self._invalidated, 1, token)
  self._invalidated[INVALIDATED_MAX + 1] = nil
  if self:token() ~= token then
    return false
  end
  self:forget()
  return true
end

function CurrentToken:forget()
  self.tracker:forget()
  self.id = nil
end

return current_token

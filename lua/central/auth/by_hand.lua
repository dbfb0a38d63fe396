-- What a person or an API knows better than the schedule: renew now, forget this token, here is another secret.
-- SPDX-License-Identifier: MIT

local reply = require "central.auth.reply"
local under_way = require "central.auth.under_way"

local by_hand = {}

--- A new token now, whatever the old one's state; a refusal in memory is passed over, a Retry-After is not.
---@param self central.auth.Renewal
function by_hand.renew(self)
  local now = self.clock:boot()
  local deadline = now + self.config.timeout
  if not self:under_way() and self:pace().not_before > deadline then
    return self:pace():remembered()
  end
  local ok, message, code, detail
  repeat
    ok, message, code, detail = under_way.join(self, { deadline = deadline, tries = under_way.TRIES, since = now })
    if ok then
      ok, message, code, detail = self.host:await(ok, deadline)
    end
    if ok == nil then
      return nil, message, code, detail
    end
  until self:settled(deadline)
  return self:outcome()
end

local function brings(raw, token)
  local granted = raw and reply.read(raw)
  return granted and granted.access_token == token or false
end

--- Takes a refused token out of the cache, if it is still the one there, and says whether it was; where another process
--- is renewing, that one's success replaces it anyway.
---@param self central.auth.Renewal
---@param token string
function by_hand.drop_shared(self, token)
  if not self.credential:prepare(self.config.timeout) then
    return false
  end
  local _ <close> = self.cache:visit()
  self.cache:attach(self.credential.secret)
  local lock <close> = self.cache:lock(self.config.timeout) or nil
  local here = lock ~= nil and brings(self.cache:token(), token)
  local beyond = lock ~= nil and self.cache.beyond ~= nil and brings(self.cache:beyond(), token)
  if here then
    self.cache:drop()
  end
  if beyond then
    self.cache:drop_beyond()
  end
  return here or beyond
end

--- Forgets the token, here and in the cache, if it is still the current one. Whether it was.
---@param self central.auth.Renewal
---@param token? string
function by_hand.invalidate(self, token)
  local held = self.tracker:token()
  token = token or held
  if not token then
    return false
  end
  local dropped = false
  if self:under_way() then
    self.to_drop = token -- it may hold the lock, and what it brings takes the place of this one, unless it fails
  else
    dropped = by_hand.drop_shared(self, token)
  end
  if token == self.tracker:token() then -- still: dropping it may have waited
    self.tracker:forget()
  elseif token ~= held and not dropped then
    return false
  end
  self.rejected = token
  self:note("invalidated", {})
  return true
end

--- Whether a reset of this client's credential is under way: a secret that is refused meanwhile is no surprise.
---@param self central.auth.Renewal
---@return boolean
function by_hand.is_resetting(self)
  for _, deadline in pairs(self.resetting) do
    if self.clock:boot() < deadline then
      return true
    end
  end
  return false
end

--- Goes on with another secret, here and in the cache; tokens of the former one are dead.
---@param self central.auth.Renewal
---@param secret userdata
function by_hand.use_secret(self, secret)
  local _ <close> = self.cache:visit()
  local _ <close> = self.cache:lock(self.config.timeout) or nil
  self.cache:drop()
  if self.cache.drop_beyond then
    self.cache:drop_beyond()
  end
  self.credential:replace(secret)
  self.cache:attach(secret)
  self.tracker:forget()
  self:pace():succeeded()
  self.resets = self.resets + 1
end

return by_hand

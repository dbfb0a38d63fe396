-- Resets of the credential by this client: a new secret replaces the former one, whose tokens are no longer valid.
-- SPDX-License-Identifier: MIT

local shared_records = require "central.auth.token.shared_records"
local util = require "central.auth.util"

local resets = {}

---@class central.auth.Resets
---@field count integer
local Resets = {}
Resets.__index = Resets

--- None yet.
---@param source central.auth.TokenSource
---@return central.auth.Resets
function resets.new(source)
  return setmetatable({
    _source = source, count = 0, _under_way = setmetatable({}, { __mode = "k" }), -- each one's deadline
  }, Resets)
end

--- Notes that a reset is under way until the returned value is closed: a refused secret is expected then.
---@param deadline central.auth.Deadline
---@return any
function Resets:begin(deadline)
  local key
  key = util.defer(function() self._under_way[key] = nil end)
  self._under_way[key] = deadline
  return key
end

--- Whether one is under way.
---@return boolean
function Resets:is_under_way()
  for _, deadline in pairs(self._under_way) do
    if not deadline:over() then
      return true
    end
  end
  return false
end

--- Goes on with another secret at once, here and in the cache; then removes what the former one sealed in the cache of
--- all machines.
---@param secret userdata
---@param deadline central.auth.Deadline until which that cache may be waited for
function Resets:set_secret(secret, deadline)
  local source = self._source
  local _ <close> = self:begin(deadline)
  local former, has_remote = source.client_secret.current, source.cache:has_remote()
  source.cache:forget()
  source.client_secret:replace(secret)
  if source.closed then
    return
  end
  source.current:forget()
  source.failures:succeeded()
  self.count = self.count + 1
  if has_remote then
    shared_records.fetch(source, deadline, { forget_all = true, current = former })
  end
end

return resets

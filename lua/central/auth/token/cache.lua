-- The records that processes of one user share in a folder of theirs, and where `cache` names a Redis server, those
-- that machines share. Nothing it does can fail a call: at worst it costs one request, and an event says why.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local paths = require "central.auth.config.paths"

local SEEN_MAX = 8 -- ids of records: of two in each of two stores, and some that they have replaced

local cache = {}

---@class central.auth.Cache
---@field folder? string of the machine's records
---@field no_folder? string why there is none, though one is wanted
---@field remote? central.auth.RedisCache
---@field problem? string what is wrong with the folder
---@field lock_problem? string
local Cache = {}
Cache.__index = Cache

-- All that tells this token from another, but for the secret.
local IDENTITY = { "token_url", "client_id", "auth_style", "cert_file", "scope", "audience", "resource", "params",
  "exchange" }

-- Strings and tables of strings as one string; no two values give the same.
local function pack(value)
  if type(value) ~= "table" then
    return "s" .. ("s4"):pack(value)
  end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = pack(tostring(key)) .. pack(item)
  end
  table.sort(parts)
  return "t" .. ("I4"):pack(#parts) .. table.concat(parts)
end

function Cache:_identify()
  if not self._identity then
    local parts = {}
    for _, name in ipairs(IDENTITY) do
      parts[name] = self._config[name]
    end
    self._identity = pack(parts)
  end
  return self._identity
end

local NO_FOLDER = "neither XDG_RUNTIME_DIR, XDG_CACHE_HOME nor HOME names a folder"

-- The first folder that can be used; nil, why there is none, and whether that is worth an event: what is not there or
-- may not be entered is no fault.
local function usual_folder()
  local why, fault = nil, false
  for _, place in ipairs(paths.caches()) do
    local problem, is_absent = core.folder_problem(place.path, place.by_system)
    if not problem then
      return place.path
    end
    why, fault = why or ("%s: %s"):format(place.path, problem), fault or not is_absent
  end
  return nil, why or NO_FOLDER, fault
end

---@param source central.auth.TokenSource
---@return central.auth.Cache
function cache.new(source)
  local config = source.config
  local self = setmetatable({
    _source = source, _config = config, _clock = source.clock, _seen = {},
    _budget = (source.parts.budget or core.budget)(), -- of this process, where no folder keeps one
  }, Cache)
  local place = config.cache
  if place == false or not config.secret then
    return self
  elseif type(place) == "string" and place:find "^redis" then
    self.remote = require("central.auth.token.redis_cache").new(source)
  elseif type(place) == "string" then
    self.folder = place
  end
  if not self.folder then
    local fault
    self.folder, self.no_folder, fault = usual_folder()
    self._fault = fault and self.no_folder or nil
  end
  self._store = self.folder and (source.parts.folder_store or core.folder_store)(self.folder)
  return self
end

-- The secret that seals the records; nil where it is not known yet, or too short.
function Cache:_secret()
  local secret = (self._store or self.remote) and self._source.client_secret.current
  return secret and secret:can_seal() and secret or nil
end

--- Whether the records of other machines may be read now.
---@return boolean
function Cache:has_remote()
  return self.remote ~= nil and self:_secret() ~= nil and self.remote:may_be_asked()
end

-- Says once what is wrong; nil: nothing is.
function Cache:_note(name, why, what)
  if why and why ~= self[name] then
    self._source:note("cache_error", { message = ("the cache %s%s: %s"):format(self.folder, what, why) })
  end
  self[name] = why
end

-- Says once why the usual folder can't be used.
function Cache:_note_fault()
  if self._fault then
    self._source:note("cache_error", { message = "the cache " .. self._fault })
    self._fault = nil
  end
end

--- The machine's records: the last one known to be good, and the last reply of all.
---@return central.auth.RawReply? token
---@return central.auth.RawReply? last
function Cache:read()
  local secret = self:_secret()
  self:_note_fault()
  if not secret or not self._store then
    return nil
  end
  local token, last, why = self._store:read(self._clock, secret, self:_identify())
  self:_note("problem", why, "")
  return token, last
end

--- Marks a record as read, so that it does not end another fetch. Returns whether it was new.
---@param raw central.auth.RawReply
---@return boolean
function Cache:mark_seen(raw)
  local seen, is_new = self._seen, true
  for i, id in ipairs(seen) do
    if id == raw.id then
      table.remove(seen, i)
      is_new = false
      break
    end
  end
  if raw.id then
    table.insert(seen, 1, raw.id)
    seen[SEEN_MAX + 1] = nil
  end
  return is_new
end

--- Adds to the order of a fetch where its records are shared, and how many requests it may make.
---@param order table
function Cache:complete(order)
  order.seen, order.budget = self._seen, self._budget
  self:_note_fault()
  if self._store or self.remote then
    order.identity, order.folder = self:_identify(), self.folder
  end
  if self.remote then
    self.remote:complete(order)
  end
end

--- Notes the problems that a fetch met with the cache.
---@param result table
function Cache:note(result)
  if self._store then
    self:_note("problem", result.local_problem, "")
    self:_note("lock_problem", result.lock_problem, ", its lock")
  end
  if self.remote then
    self.remote:note(result)
  end
end

--- Removes the machine's records with these ids, or both. With `sent_wall`, when the token was asked for that an API
--- refused, only if it may be replaced (see csrc/cache/budget.h). Whether one was removed, and whether that was
--- allowed.
---@param ids? integer[]
---@param sent_wall? number
---@param proven? boolean
---@return boolean removed
---@return boolean allowed
function Cache:forget(ids, sent_wall, proven)
  local budget, secret = self._budget, self:_secret()
  if not secret or not self._store then
    return false, not sent_wall or budget:may_replace(self._clock, sent_wall, proven or false)
  end
  local removed, allowed, why = self._store:forget(self._clock, secret, self:_identify(), ids, budget, sent_wall,
    proven)
  self:_note("problem", why, "")
  return removed, allowed
end

return cache

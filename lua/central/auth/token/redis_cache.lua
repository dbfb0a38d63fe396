-- Redis as the cache that many machines share: what a fetch needs to use it, and for how long it is left alone after a
-- failure. Whatever is wrong with Redis costs one event for each outage. Loaded only where `cache` names a server.
-- SPDX-License-Identifier: MIT

local redis_url = require "central.auth.config.redis_url"
local util = require "central.auth.util"

local LIMIT = 2       -- seconds for each call, or connect_timeout where that is less
local FIRST_PAUSE = 1 -- seconds Redis is left alone after a failure; doubles, with jitter

local NO_PASSWORD = "its URL names a user, and there is no password: cache_password, cache_password_file"

local redis_cache = {}

---@class central.auth.RedisCache
local RedisCache = {}
RedisCache.__index = RedisCache

---@param source central.auth.TokenSource
---@return central.auth.RedisCache
function redis_cache.new(source)
  return setmetatable({
    _source = source, _config = source.config, _clock = source.clock, _server = redis_url.parse(source.config.cache),
    _not_before = 0, _failures = 0,
  }, RedisCache)
end

--- What is wrong with it now; nil where nothing is.
---@return string?
function RedisCache:problem()
  return self._problem
end

-- Between one half and all of it, so that a fleet does not come back at once.
function RedisCache:_jittered(seconds)
  return seconds * (1 + self._source.random()) / 2
end

function RedisCache:_failed(why)
  if not self._problem then
    self._source:note("cache_error", {
      message = ("Redis at %s: %s; each machine gets a token for itself meanwhile"):format(self._config.cache, why),
    })
  end
  self._problem = why
  self._not_before = self._clock:boot()
    + self:_jittered(util.backoff(FIRST_PAUSE, self._failures))
  self._failures = self._failures + 1
end

function RedisCache:_open()
  local server = self._server
  if server.user and not self._config.cache_secret then
    return nil, NO_PASSWORD
  end
  local loaded, redis = pcall(require, "central.auth.redis")
  if not loaded then
    return nil, redis_url.NO_LIBRARY
  end
  return redis.store {
    path = server.path, url = server.url, user = server.user, database = server.database,
    ca_file = server.ca_file, timeout = math.min(LIMIT, self._config.connect_timeout),
  }
end

--- Whether it may be asked now.
---@return boolean
function RedisCache:may_be_asked()
  return self._clock:boot() >= self._not_before
end

--- Adds it to what a fetch shares by, unless it is left alone.
---@param order table
function RedisCache:complete(order)
  if not self:may_be_asked() then
    return
  end
  local store, why = self:_open()
  if not store then
    self:_failed(why)
    return
  end
  order.remote, order.password = store, self._config.cache_secret
end

--- Takes over what a fetch found. An outage ends when something could be written and nothing failed after that.
---@param result table
function RedisCache:note(result)
  local problem, source = result.remote_problem, self._config.cache_secret
  if problem then
    self:_failed(source and problem:gsub("^cache_password:", source.name .. ":") or problem)
  elseif result.remote_wrote then
    self._problem, self._failures = nil, 0
  end
end

return redis_cache

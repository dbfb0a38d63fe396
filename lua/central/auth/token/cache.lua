-- The token that processes of one user share: a sealed file in a folder of ours. Nothing it does can fail a call: at
-- worst it costs one request, and an event says why.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local paths = require "central.auth.config.paths"

local cache = {}

---@class central.auth.Cache
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

local function identity(config)
  local parts = {}
  for _, name in ipairs(IDENTITY) do
    parts[name] = config[name]
  end
  return pack(parts)
end

local HOMELESS = "none: neither XDG_RUNTIME_DIR, XDG_CACHE_HOME nor HOME names a folder"

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
  return nil, why, fault
end

local function names_server(config)
  return type(config.cache) == "string" and config.cache:find "^redis" ~= nil
end

--- `parts`: clock and random. `report(why)` is told when something is wrong with it, once for each reason in a row.
--- Where `cache` names a server, it is that of a fleet, with the same methods and a few more.
---@param config central.auth.Config
---@param parts { clock: userdata, random: fun(): number }
---@param report fun(why: string)
---@return central.auth.Cache | central.auth.Fleet
function cache.new(config, parts, report)
  local self = setmetatable({ _config = config, _clock = parts.clock, _report = report }, Cache)
  local beyond = names_server(config)
  if config.cache == false then
    self._why = "none: switched off"
  elseif not config.secret then
    self._why = "none: without a client secret there is nothing to seal it with"
  else
    self._folder = not beyond and type(config.cache) == "string" and config.cache or nil
    if not self._folder then
      local why, fault
      self._folder, why, fault = usual_folder()
      self._homeless = not self._folder and (why and "none: " .. why or HOMELESS) or nil
      self._fault = fault and why or nil
    end
    self._store = self._folder and core.folder(self._folder)
    self._why = self._homeless
    self._seals = self._folder ~= nil or beyond
  end
  return self._seals and beyond and require("central.auth.token.redis_cache").new(self, config, parts, report) or self
end

--- Where it is, or why there is none.
---@return string
function Cache:where()
  if self._why or not (self._trouble or self._lockless) then
    return self._why or self._folder
  elseif self._trouble then
    return ("none: %s: %s"):format(self._folder, self._trouble)
  end
  return ("%s (without locks: %s)"):format(self._folder, self._lockless)
end

--- Makes it that of this secret; the one before is let go.
---@param secret? userdata
function Cache:attach(secret)
  if self._fault then
    self._report("the cache " .. self._fault)
    self._fault = nil
  end
  if not self._seals or (self._key and self._of == secret) then
    return
  end
  self:close()
  self._of = secret
  self._key, self._name = core.seal_key(secret, identity(self._config))
  self._why = not self._key and "none: a client secret under 16 bytes is too short to seal it with" or self._homeless
end

--- Key and name of what it keeps; nil without.
---@return userdata? key
---@return string? name
function Cache:identity()
  return self._key, self._name
end

--- Where there is more than this machine: begins to use it. Here there is nothing to begin.
function Cache.visit()
  return nil
end

-- Passes results on; says once what is wrong.
local function noted(self, result, why)
  if why and why ~= self._trouble then
    self._report(("the cache %s: %s"):format(self._folder, why))
  end
  self._trouble = why
  return result
end

--- The reply that brought the shared token, its times by this process's clocks.
---@return central.auth.RawReply?
function Cache:token()
  return self._key and self._store
    and noted(self, self._store:read(self._clock, self._name .. ".token", self._key)) or nil
end

--- The reply that was the last failure, with `failures`, how many there were in a row.
---@return central.auth.RawReply?
function Cache:failure()
  return self._key and self._store
    and noted(self, self._store:read(self._clock, self._name .. ".failed", self._key)) or nil
end

--- What whoever brings a reply needs to share it, as its `failures`th failure if it is one; nil without cache.
---@param failures integer
---@param held? string the token that its owner must recognise in the reply
---@return table?
function Cache:share(failures, held)
  return self._key and { near = self._store, name = self._name, key = self._key, failures = failures, held = held }
end

--- Shares a reply that nobody has shared yet; takes notice where that failed.
---@param raw central.auth.RawReply
---@param kind "token" | "refusal"
---@param failures? integer
function Cache:keep(raw, kind, failures)
  if not self._key or not self._store then
    return
  elseif raw.shared then
    noted(self, true, raw.near_problem)
  else
    noted(self, true, (core.cache_share(self:share(failures or 0), raw, kind, self._clock)))
  end
end

--- Takes the shared token away. Hold the lock, or another process's newer one may go.
function Cache:drop()
  if self._key and self._store then
    noted(self, self._store:remove(self._name .. ".token"))
  end
end

--- The lock of this identity; false while another process has it; nil where there is none: without cache, or where the
--- file system knows no locks. Then processes that start together may make a request each.
---@return userdata|false|nil
function Cache:lock()
  if not self._key or not self._store then
    return nil
  end
  local lock, why = self._store:lock(self._name .. ".lock", 0)
  if why and why ~= self._lockless and why ~= self._trouble then
    self._report(("the cache %s, its lock: %s"):format(self._folder, why))
  end
  self._lockless = why
  return lock
end

function Cache:close()
  if self._key then
    self._key:wipe()
  end
  self._key, self._of = nil, nil
end

return cache

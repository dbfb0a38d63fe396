-- The token that processes of one user share: a sealed file in a folder of ours. Nothing it does can fail a call: at
-- worst it costs one request, and an event says why.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local paths = require "central.auth.paths"

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

--- `report(why)` is told when something is wrong with it, once for each reason in a row.
---@param config central.auth.Config
---@param clock userdata
---@param report fun(why: string)
---@return central.auth.Cache
function cache.new(config, clock, report)
  local self = setmetatable({ _config = config, _clock = clock, _report = report }, Cache)
  if config.cache == false then
    self._why = "none: switched off"
  elseif not config.secret then
    self._why = "none: without a client secret there is nothing to seal it with"
  else
    self._folder = type(config.cache) == "string" and config.cache or paths.cache()
    self._why = not self._folder and "none: neither XDG_RUNTIME_DIR, XDG_CACHE_HOME nor HOME names a folder" or nil
  end
  return self
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
  if not self._folder or (self._key and self._of == secret) then
    return
  end
  self:close()
  self._of = secret
  self._key, self._name = core.seal_key(secret, identity(self._config))
  self._why = not self._key and "none: a client secret under 16 bytes is too short to seal it with" or nil
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
  return self._key and noted(self, core.cache_read(self._clock, self._folder, self._name .. ".token", self._key))
end

--- The reply that was the last failure, with `failures`, how many there were in a row.
---@return central.auth.RawReply?
function Cache:failure()
  return self._key and noted(self, core.cache_read(self._clock, self._folder, self._name .. ".failed", self._key))
end

--- What whoever brings a reply needs to share it, as its `failures`th failure if it is one; nil without cache.
---@param failures integer
---@param held? string the token that its owner must recognise in the reply
---@return table?
function Cache:share(failures, held)
  return self._key and { folder = self._folder, name = self._name, key = self._key, failures = failures, held = held }
end

--- Shares a reply that nobody has shared yet; takes notice where that failed.
---@param raw central.auth.RawReply
---@param kind "token" | "refusal"
---@param failures? integer
function Cache:keep(raw, kind, failures)
  if not self._key then
    return
  elseif raw.shared then
    noted(self, true, raw.share_problem)
  else
    noted(self, core.cache_share(self:share(failures or 0), raw, kind))
  end
end

--- Takes the shared token away. Hold the lock, or another process's newer one may go.
function Cache:drop()
  if self._key then
    noted(self, core.cache_remove(self._folder, self._name .. ".token"))
  end
end

--- The lock of this identity; false while another process has it; nil where there is none: without cache, or where the
--- file system knows no locks. Then processes that start together may make a request each.
---@return userdata|false|nil
function Cache:lock()
  if not self._key then
    return nil
  end
  local lock, why = core.cache_lock(self._folder, self._name .. ".lock")
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

-- Where a secret comes from: a value, a function, a file or a command; read when needed and read again after the
-- server refused it, so that rotation needs no restart. Files and commands are read by the fetch, on its thread; the
-- result is native memory, never a Lua string that is kept.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"

---@class central.auth.Source
---@field name string the option, for messages
---@field from string where the option was set, for messages
---@field kind "value" | "function" | "file" | "command"
---@field value any a secret (userdata), a function, a path or a command line
---@field reload? fun(): string? asks the profile again for a value that came from it

local client_secret = {}

--- Reads a source, of whatever kind. Blocks while a command runs.
---@param source central.auth.Source
---@param seconds number that a command may take
---@return userdata? secret
---@return central.auth.Failure? failure
function client_secret.read(source, seconds)
  local secret, problem, failure
  if source.kind == "function" then
    secret, problem, failure = require("central.auth.token.secret_function").call(source.value)
  elseif source.kind == "value" then
    local value = source.reload and source.reload()
    secret = value and core.secret(value) or source.value
  else
    secret, problem = core.read_secret(source, seconds)
  end
  problem = problem or secret and core.secret_problem(secret)
  if problem then
    return nil, require("central.auth.errors").invalid_option(source.name, source.from, problem)
  end
  return secret, failure
end

---@class central.auth.ClientSecret
---@field kind? "value" | "function" | "file" | "command" nil: the client has no secret. Only a fetch runs a command
---@field assertion_kind? "value" | "function" | "file" | "command" of the option client_assertion
---@field origin? central.auth.Source where it comes from
---@field current? userdata as last read
local ClientSecret = {}
ClientSecret.__index = ClientSecret

---@param config central.auth.Config
---@return central.auth.ClientSecret
function client_secret.new(config)
  local origin, assertion = config.secret, config.assertion
  return setmetatable({
    _config = config, origin = origin, kind = origin and origin.kind, assertion_kind = assertion and assertion.kind,
  }, ClientSecret)
end

-- The option's own value stays until the client is closed.
function ClientSecret:_discard(secret)
  if secret and secret ~= self.origin.value and secret ~= self.current then
    secret:wipe()
  end
end

--- Reads the secret where that has not been done and takes no thread: all but commands, which the fetch runs. True
--- also where the client has none.
---@return boolean? ready
---@return central.auth.Failure? failure
function ClientSecret:prepare()
  if self.current or not self.kind or self.kind == "command" then
    return true
  end
  local secret, failure = client_secret.read(self.origin, 0)
  if not secret then
    return nil, failure
  elseif self.current then -- read by another coroutine while the function yielded
    self:_discard(secret)
  else
    self:take(secret)
  end
  return true
end

--- Takes over a secret that was read. Whether it is a new one.
---@param secret userdata
---@return boolean
function ClientSecret:take(secret)
  local former, current = self._former, self.current
  if self._closed or current and secret:equal(current) or former and secret:equal(former) then
    self:_discard(secret)
    return false
  end
  self.current = secret
  self:_discard(current)
  return true
end

--- After a refusal: reads the secret again, unless that takes a fetch, and says whether it changed.
---@return boolean
function ClientSecret:reread()
  local may_read = self.kind and self.current and self.kind ~= "command"
  local secret = may_read and client_secret.read(self.origin, 0)
  return secret and self:take(secret) or false
end

--- Whether the fetch reads its source: a file or a command.
---@return boolean
function ClientSecret:is_read_by_fetch()
  return self.kind == "file" or self.kind == "command"
end

--- Adds to the order of a fetch what is known of the secret.
---@param order table
function ClientSecret:complete(order)
  order.current, order.former = self.current, self._former
  order.secret = self:is_read_by_fetch() and self.origin or nil
end

--- A new secret, which a reset gave. Its source may still give the former one, which is none any more.
---@param secret userdata
function ClientSecret:replace(secret)
  if self._closed then
    secret:wipe()
    return
  elseif self._former then
    self._former:wipe()
  end
  self._former, self.current = self.current, secret
end

--- Wipes all it holds, and all secrets of the configuration; nothing is read any more.
function ClientSecret:close()
  self._closed = true
  for _, name in ipairs { "current", "_former" } do
    if self[name] then
      self[name]:wipe()
      self[name] = nil
    end
  end
  for _, name in ipairs { "secret", "assertion", "cache_secret", "ready_made" } do
    local source = self._config[name]
    if source and source.kind == "value" then
      source.value:wipe()
    end
  end
end

return client_secret

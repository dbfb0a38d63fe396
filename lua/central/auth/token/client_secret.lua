-- Where a secret comes from: a value, a function, a file or a command; read when needed and read again after the
-- server refused it, so that rotation needs no restart. Files and commands are read by the fetch, on its thread; the
-- result is native memory, never a Lua string that is kept.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"

---@class central.auth.Source
---@field name string the option, for messages
---@field from string where the option was set, for messages
---@field kind "value" | "function" | "file" | "command"
---@field value any a secret (userdata), a function, a path or a command line
---@field reload? fun(): string? asks the profile again for a value that came from it

local client_secret = {}

--- A failure to read a source.
---@param source central.auth.Source
---@param problem string
---@return central.auth.Failure
function client_secret.failure(source, problem)
  return errors.pack(errors.invalid_option(source.name, source.from, problem))
end

local function check(source, secret)
  local problem = core.secret_problem(secret)
  if problem then
    return nil, client_secret.failure(source, problem)
  end
  return secret
end

-- The text of an error that it raises may hold anything.
local function from_function(source)
  local ok, value = pcall(source.value)
  if not ok then
    return nil, client_secret.failure(source, "the function raised an error")
  elseif type(value) ~= "string" then
    return nil, client_secret.failure(source, "the function returned a " .. type(value) .. " where a string is needed")
  end
  return check(source, core.secret(value))
end

local function from_value(source)
  local value = source.reload and source.reload()
  return check(source, value and core.secret(value) or source.value)
end

--- Reads a source, of whatever kind. Blocks while a command runs.
---@param source central.auth.Source
---@param seconds number that a command may take
---@return userdata? secret
---@return central.auth.Failure? failure
function client_secret.read(source, seconds)
  if source.kind == "function" then
    return from_function(source)
  elseif source.kind == "value" then
    return from_value(source)
  end
  local secret, problem = core.read_secret(source, seconds)
  if not secret then
    return nil, client_secret.failure(source, problem)
  end
  return secret
end

--- Wipes what is held of it.
---@param source? central.auth.Source
function client_secret.wipe(source)
  if source and source.kind == "value" then
    source.value:wipe()
  end
end

---@class central.auth.ClientSecret
---@field current? userdata as last read
local ClientSecret = {}
ClientSecret.__index = ClientSecret

--- The client secret or the assertion of a client, or neither.
---@param config central.auth.Config
---@return central.auth.ClientSecret
function client_secret.new(config)
  return setmetatable({ _source = config.secret, _assertion = config.assertion }, ClientSecret)
end

--- Whether its source is a function of the user's, which may take its time and yield.
---@return boolean
function ClientSecret:is_function()
  return self._source ~= nil and self._source.kind == "function"
end

--- Whether its source is a command, which only a fetch runs.
---@return boolean
function ClientSecret:is_command()
  return self._source ~= nil and self._source.kind == "command"
end

-- The option's own value stays until the client is closed.
local function discard(self, secret)
  if secret ~= self._source.value and secret ~= self.current then
    secret:wipe()
  end
end

--- Reads the secret where that has not been done and takes no thread: all but commands, which the fetch runs. True
--- also where the client has none.
---@return boolean? ready
---@return central.auth.Failure? failure
function ClientSecret:prepare()
  local source = self._source
  if self.current or not source or self:is_command() then
    return true
  end
  local secret, failure = client_secret.read(source, 0)
  if not secret then
    return nil, failure
  elseif self._closed or self.current then -- read by another coroutine while the function yielded
    discard(self, secret)
    return true
  end
  self.current = secret
  return true
end

-- A new secret in place of the one that was refused. Whether it is one.
local function renew(self, secret)
  if self._closed or secret:equal(self.current) or self._former and secret:equal(self._former) then
    discard(self, secret)
    return false
  end
  local refused = self.current
  self.current = secret
  discard(self, refused)
  return true
end

--- After a refusal: reads the secret again, unless that takes a fetch, and says whether it changed.
---@return boolean
function ClientSecret:reread()
  local may_read = self._source and self.current and not self:is_command()
  local secret = may_read and client_secret.read(self._source, 0)
  return secret and renew(self, secret) or false
end

--- Whether the fetch reads its source: a file or a command.
---@return boolean
function ClientSecret:is_read_by_fetch()
  local kind = self._source and self._source.kind
  return kind == "file" or kind == "command"
end

local function order_of(source)
  return { kind = source.kind, value = source.value }
end

--- Fills in what a fetch needs. A function that gives an assertion is called here.
---@param order table
---@return boolean? ready
---@return central.auth.Failure? failure
function ClientSecret:complete(order)
  local assertion = self._assertion
  order.current, order.former = self.current, self._former
  if self:is_read_by_fetch() then
    order.secret = order_of(self._source)
  end
  if not assertion then
    return true
  elseif assertion.kind ~= "function" then
    order.assertion = order_of(assertion)
    return true
  end
  local value, failure = from_function(assertion)
  if not value then
    return nil, failure
  end
  order.assertion, order.tries = { kind = "value", value = value }, 1 -- each try needs one of its own
  return true
end

--- Whether each try needs an assertion that a function gives.
---@return boolean
function ClientSecret:asserts_by_function()
  return self._assertion ~= nil and self._assertion.kind == "function"
end

--- Takes over the secret that a fetch has read.
---@param secret userdata
function ClientSecret:take(secret)
  if self._closed or self.current and self.current:equal(secret) then
    secret:wipe()
    return
  end
  if self.current then
    self.current:wipe()
  end
  self.current = secret
end

--- A failure to read what this option names.
---@param option string
---@param problem string
---@return central.auth.Failure
function ClientSecret:failure(option, problem)
  return client_secret.failure(option == "client_assertion" and self._assertion or self._source, problem)
end

--- The assertion for a request that no fetch makes.
---@param seconds number
---@return userdata? assertion nil, without a failure: there is none
---@return central.auth.Failure? failure
function ClientSecret:assertion(seconds)
  if self._assertion then
    return client_secret.read(self._assertion, seconds)
  end
end

--- Where it came from, for the message of a refusal; nil for a client without one.
---@return central.auth.Source?
function ClientSecret:origin()
  return self._source
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

--- Wipes all it holds; nothing is read any more.
function ClientSecret:close()
  self._closed = true
  for _, name in ipairs { "current", "_former" } do
    if self[name] then
      self[name]:wipe()
      self[name] = nil
    end
  end
  client_secret.wipe(self._source)
end

return client_secret

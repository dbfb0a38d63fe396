-- A client has one identity and one token. This module has the methods that return the token; client/methods has the
-- others and is loaded on first use. The token source decides what to do.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local token_source = require "central.auth.token.source"

local errors = lazy "central.auth.errors"
local methods = lazy "central.auth.client.methods"

---@class central.auth.TokenOptions
---@field min_valid? number seconds that the token must still be valid

---@class central.auth.Client
local Client = {}
local metatable = { __name = "central.auth.client", __metatable = false }

function metatable:__index(name)
  local method = Client[name] or methods.look_up(self, name)
  if method then
    self[name] = method -- found at once the next time
  end
  return method
end

local client = {}

-- Returns the client that a method was called on. Loads `errors` only if `self` is not a client.
local function check_self(self, method)
  return type(self) == "table" and rawget(self, "_token") and self
    or errors.check_self(self, "_token", "a client", "client:" .. method)
end

-- Delivers events, then returns the results of a public function. Inside the package a failure is one value; here it is
-- unpacked.
local function deliver_and_unpack(source, ...)
  source:deliver()
  local result, failure = ...
  if result == nil and type(failure) == "table" then
    return errors.unpack(failure)
  end
  return ...
end

-- Calls `action` with the token source and further arguments, then delivers events. Fails if the client is closed.
-- Methods in other modules use it, too.
function Client:_with_source(action, ...)
  local source = self._source
  if source.closed then
    return errors.unpack(errors.closed())
  end
  return deliver_and_unpack(source, action(source, ...))
end

-- Makes a client for a tenant, which is closed with this one. Used by api/methods.
function Client:_new_tenant(config)
  return client.new(config, { parent = self._source, clock = self._source.clock })
end

--- Returns a usable access token, never one that has expired or is about to expire. Waits only if there is no such
--- token, and at most `timeout` seconds.
---@param options? central.auth.TokenOptions
---@return string? token
---@return string|number|nil message on failure; with `min_valid`, the token's remaining seconds if they are fewer
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:token(options)
  return check_self(self, "token")._token(options)
end

local function as_header(token, ...)
  return token and "Bearer " .. token, ...
end

--- Returns the value for an Authorization header: `Bearer …`.
---@param options? central.auth.TokenOptions
---@return string? header
---@return string|number|nil message as for `token`
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:header(options)
  return as_header(check_self(self, "header")._token(options))
end

function metatable:__close()
  self._source:close()
end

function metatable:__tostring()
  return methods.describe(self)
end

--- `parts`: what the default client, the parent of a tenant or a spec provides; see token_source.new.
---@param config central.auth.Config
---@param parts? table
---@return central.auth.Client
function client.new(config, parts)
  parts = parts or {}
  parts.clock = parts.clock or core.clock()
  parts.tracker = parts.tracker or core.tracker(parts.clock)
  local self = { _source = token_source.new(config, parts) }
  self._token = core.getter(parts.tracker, function(options)
    local min_valid = nil
    if options ~= nil then
      min_valid = methods.check_min_valid(options)
    end
    return self:_with_source(token_source.token, min_valid)
  end)
  return setmetatable(self, metatable)
end

return client

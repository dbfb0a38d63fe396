-- A client: one identity, one token, and its public methods. Checks their arguments; token/source decides what to do.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local token_source = require "central.auth.token.source"

local calls = lazy "central.auth.token.call"
local errors = lazy "central.auth.errors"
local invalidation = lazy "central.auth.token.invalidation"
local look = lazy "central.auth.token.look"
local methods = lazy "central.auth.api.methods"
local pending = lazy "central.auth.token.pending"
local status = lazy "central.auth.token.status"

---@class central.auth.TokenOptions
---@field min_valid? number seconds that the token must still be valid

---@class central.auth.StatusOptions
---@field shared? boolean read the shared token first; makes no request to the token endpoint

---@class central.auth.Client
local Client = {}
local metatable = { __name = "central.auth.client", __metatable = false }

-- The methods for API calls are loaded on first use.
function metatable:__index(name)
  return Client[name] or methods.look_up(self, name)
end

local client = {}

-- Checks the options of a method that has one option; returns its value.
local function check_option(options, known, kind)
  if options == nil then
    return nil
  elseif type(options) == "table" and type(options.token) == "function" then
    errors.argument_error("call functions of the module with a dot: auth.token()")
  end
  errors.check_options(options, { [known] = kind })
  return options[known]
end

local function check_min_valid(options)
  local seconds = check_option(options, "min_valid", "any")
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds < 0) then
    errors.argument_error("min_valid: a number of seconds, 0 or more, expected")
  end
  return seconds
end

local function check_shared(options)
  return check_option(options, "shared", "boolean")
end

local function check_token(token)
  if token ~= nil and type(token) ~= "string" then
    errors.argument_error("invalidate: the token, a string, expected, got " .. type(token))
  end
end

local function check_nothing() end

local function check_close(options)
  if type(options) == "table" and type(options.token) == "function" then
    errors.argument_error("call functions of the module with a dot: auth.close()")
  end
  errors.check_options(options, { revoke = "boolean" })
  return options ~= nil and options.revoke or false
end

local CHECKS = {
  token = check_min_valid, header = check_min_valid, pending = check_min_valid, invalidate = check_token,
  renew = check_nothing, status = check_shared, close = check_close,
}

--- Raises if the arguments of a method are not valid.
---@param method string
function client.check(method, ...)
  local check = CHECKS[method] or methods.checks[method]
  check(...)
end

-- The client that a method was called on. Loads `errors` only if it is not a client.
local function check_self(self, method)
  return type(self) == "table" and rawget(self, "_token") and self
    or errors.check_self(self, "_token", "a client", "client:" .. method)
end

-- The token source; nil after it was closed, by this client or by the MSP's.
local function open_source(self)
  return not self._source.closed and self._source or nil
end

-- The results of a public function: a failure, which is one value inside the package, is unpacked.
local function unpack_failure(...)
  local result, failure = ...
  if result == nil and type(failure) == "table" then
    return errors.unpack(failure)
  end
  return ...
end

local function finish(source, ...)
  source:deliver()
  return unpack_failure(...)
end

-- Calls `action` with the token source and further arguments, then delivers events. Fails if the client is closed. Used
-- by the methods in api/methods, too.
function Client:_with_source(action, ...)
  local source = open_source(self)
  if not source then
    return errors.fail("closed", "this client is closed; auth.new or auth.configure make another")
  end
  return finish(source, action(source, ...))
end

-- A client for a tenant, which is closed with this one. For api/methods.
function Client:_new_tenant(config)
  return client.new(config, { parent = self._source, clock = self._source.clock })
end

--- Returns a usable access token: never one that has expired or is about to. Waits only if there is none, at most
--- `timeout`.
---@param options? central.auth.TokenOptions
---@return string? token
---@return string|number|nil message on failure; with `min_valid` the remaining seconds if they are fewer
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:token(options)
  return check_self(self, "token")._token(options)
end

--- Returns the value for an Authorization header: `Bearer …`.
---@param options? central.auth.TokenOptions
---@return string? header
---@return string|number|nil message as of `token`
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:header(options)
  return check_self(self, "header")._header(options)
end

--- Gets a new token now, whatever the state of the current one. On failure the current one stays.
---@return string? token
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:renew()
  return check_self(self, "renew"):_with_source(calls.renew)
end

--- Starts to get a token and does not wait for it; for event loops.
---@param options? central.auth.TokenOptions
---@return central.auth.Pending? pending
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:pending(options)
  return check_self(self, "pending"):_with_source(pending.new, check_min_valid(options))
end

--- Forgets a token that an API refused (401), if it is still the current one; the next `token` gets another.
---@param token? string default: the current token
---@return boolean? forgotten
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:invalidate(token)
  check_self(self, "invalidate")
  check_token(token)
  return self:_with_source(invalidation.invalidate, token)
end

--- Returns the state of the token and of its renewal, without secrets; it prints readably. Reads the token that other
--- processes share only with `shared`, or after the first token request.
---@param options? central.auth.StatusOptions
---@return central.auth.Status? status
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:status(options)
  local source = open_source(check_self(self, "status"))
  if check_shared(options) and source then
    local ok, failure = look.shared(source)
    source:deliver()
    if not ok then
      return errors.unpack(failure)
    end
  end
  return status.of(open_source(self))
end

-- What the method `close` and the end of a to-be-closed variable have in common.
local function close(self)
  self._source:close()
end

--- Wipes the secret, forgets the token and closes connections. Waiting calls, of tenants too, end with the code
--- `closed`. Safe to call again. With `revoke` the token is revoked first (RFC 7009), for all processes that share it;
--- this needs `revocation_url`, and may fail; the client is closed in any case.
---@param options? { revoke?: boolean }
---@return boolean? closed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:close(options)
  check_self(self, "close")
  if not check_close(options) or not open_source(self) then
    close(self)
    return true
  end
  local revoked, message, code, detail = self:_with_source(invalidation.revoke)
  close(self)
  return revoked, message, code, detail
end

metatable.__close = close

function metatable:__tostring()
  return "central.auth.client (" .. status.of(open_source(self)).state .. ")"
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
  local function slow_token(options)
    return self:_with_source(token_source.token, check_min_valid(options))
  end
  self._token = core.getter(parts.tracker, slow_token, "token")
  self._header = core.getter(parts.tracker, function(options)
    local results = table.pack(slow_token(options))
    results[1] = results[1] and "Bearer " .. results[1]
    return table.unpack(results, 1, results.n)
  end, "header")
  return setmetatable(self, metatable)
end

return client

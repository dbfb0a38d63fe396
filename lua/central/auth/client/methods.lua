-- The methods of a client except those that return its token, and the checks of arguments. Loaded on first use.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local lazy = require("central.auth.util").lazy

local api_methods = lazy "central.auth.api.methods"
local calls = lazy "central.auth.token.call"
local invalidation = lazy "central.auth.token.invalidation"
local shared_records = lazy "central.auth.token.shared_records"
local pending = lazy "central.auth.token.pending"
local status = lazy "central.auth.token.status"

---@class central.auth.StatusOptions
---@field shared? boolean read the shared token first; makes no request to the token endpoint

---@class central.auth.Client
local Client = {}

local methods = {}

-- --- arguments -----------------------------------------------------------------------------------------------------

-- Checks the options of a method with one option; returns its value.
local function check_option(options, known, kind, call)
  if options == nil then
    return nil
  elseif type(options) == "table" and type(options.token) == "function" then
    errors.argument_error(("call functions of the module with a dot: auth.%s()"):format(call))
  end
  errors.check_options(options, { [known] = kind })
  return options[known]
end

--- Returns `min_valid` of the options. Raises if they are not valid.
---@param options? central.auth.TokenOptions
---@return number?
function methods.check_min_valid(options)
  local seconds = check_option(options, "min_valid", "any", "token")
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds < 0) then
    errors.argument_error("min_valid: 0 or more seconds expected")
  end
  return seconds
end

local function check_shared(options)
  return check_option(options, "shared", "boolean", "token")
end

local function check_token(token)
  if token ~= nil and type(token) ~= "string" then
    errors.argument_error("invalidate: token: string expected, got " .. type(token))
  end
end

local function check_close(options)
  return check_option(options, "revoke", "boolean", "close") or false
end

local CHECKS = {
  token = methods.check_min_valid, header = methods.check_min_valid, pending = methods.check_min_valid,
  invalidate = check_token, renew = function() end, status = check_shared, close = check_close,
}

--- Raises if the arguments of a method are not valid.
---@param method string
function methods.check(method, ...)
  local check = CHECKS[method] or api_methods.checks[method]
  check(...)
end

local function check_self(self, method)
  return errors.check_self(self, "_token", "a client", "client:" .. method)
end

-- --- methods -------------------------------------------------------------------------------------------------------

--- Gets a new token now, whatever the state of the current one. On failure the current one remains in use.
---@return string? token
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:renew()
  return check_self(self, "renew"):_with_source(calls.renew)
end

--- Starts to get a token and does not wait for it. For event loops.
---@param options? central.auth.TokenOptions
---@return central.auth.Pending? pending
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:pending(options)
  return check_self(self, "pending"):_with_source(pending.new, methods.check_min_valid(options))
end

--- Forgets a token that an API refused (401), if it is still the current one. The next `token` gets another.
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

-- Returns the state of the token; `closed` for a closed client.
local function status_of(client)
  return status.of(not client._source.closed and client._source or nil)
end

--- Returns the state of the token and of its renewal, without secrets; `print` shows all of it. Reads the shared token
--- only with `shared`, or after the first token request.
---@param options? central.auth.StatusOptions
---@return central.auth.Status? status
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:status(options)
  check_self(self, "status")
  if check_shared(options) and not self._source.closed then
    local is_read, message, code, detail = self:_with_source(shared_records.take)
    if not is_read then
      return nil, message, code, detail
    end
  end
  return status_of(self)
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
  local source = self._source
  if not check_close(options) or source.closed then
    source:close()
    return true
  end
  local revoked, message, code, detail = self:_with_source(invalidation.revoke)
  source:close()
  return revoked, message, code, detail
end

--- Returns the method with this name, here or in api/methods.
---@param client central.auth.Client
---@param name any
---@return any
function methods.look_up(client, name)
  return Client[name] or api_methods.look_up(client, name)
end

--- Describes the client in a few words.
---@param client central.auth.Client
---@return string
function methods.describe(client)
  return ("central.auth.client (%s)"):format(status_of(client).state)
end

return methods

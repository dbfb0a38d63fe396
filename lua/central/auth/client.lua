-- A client: one identity, one token, the methods people call. Arguments are checked here; the policy is in `renew`.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"
local renew = require "central.auth.token.source"

local by_hand = lazy "central.auth.token.operations"
local calls = lazy "central.auth.api.methods"
local errors = lazy "central.auth.errors"
local pending = lazy "central.auth.token.pending"
local revocation = lazy "central.auth.token.revocation"
local status = lazy "central.auth.token.status"
local turns = lazy "central.auth.token.single_flight"

---@class central.auth.TokenOptions
---@field min_valid? number seconds the token must still be good for

---@class central.auth.StatusOptions
---@field shared? boolean look at what other processes share first; the server is not asked

---@class central.auth.Client
local Client = {}
local metatable = { __name = "central.auth.client", __metatable = false }

-- What stands in `calls` is loaded when it is first used.
function metatable:__index(name)
  return Client[name] or calls.look_up(self, name)
end

local client = {}

-- The options of a call, of which there is one: its value.
local function check_one(options, known, kind)
  if options == nil then
    return nil
  elseif type(options) == "table" and type(options.token) == "function" then
    errors.mistake("call functions of the module with a dot: auth.token()")
  end
  errors.check_options(options, { [known] = kind })
  return options[known]
end

local function check_options(options)
  local seconds = check_one(options, "min_valid", "any")
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds < 0) then
    errors.mistake("min_valid: a number of seconds, 0 or more, expected")
  end
  return seconds
end

local function check_status(options)
  return check_one(options, "shared", "boolean")
end

-- In an event loop within a task: a secret may come from a command.
local function look(renewal)
  if not renewal.config.wait then
    return turns.look(renewal)
  end
  return renewal.host:run(function() return turns.look(renewal) end, renewal.clock:boot() + renewal.config.timeout)
end

local function check_token(token)
  if token ~= nil and type(token) ~= "string" then
    errors.mistake("invalidate: the token, a string, expected, got " .. type(token))
  end
end

local function check_none() end

local function check_close(options)
  if type(options) == "table" and type(options.token) == "function" then
    errors.mistake("call functions of the module with a dot: auth.close()")
  end
  errors.check_options(options, { revoke = "boolean" })
  return options ~= nil and options.revoke or false
end

local CHECKS = {
  token = check_options, header = check_options, pending = check_options, invalidate = check_token, renew = check_none,
  status = check_status, close = check_close,
}

--- Raises a mistake in the arguments of a method.
---@param method string
function client.check(method, ...)
  local check = CHECKS[method] or calls.checks[method]
  check(...)
end

-- What was called with a colon, as it must be.
local function own(self, method)
  if type(self) ~= "table" or not rawget(self, "_token") then
    errors.mistake(("call methods of a client with a colon: client:%s()"):format(method))
  end
  return self
end

-- The renewal; nil once it was closed, by this client or by that of the MSP.
local function open_renewal(self)
  local renewal = self._renewal
  return not renewal.closed and renewal or nil
end

-- Does something with the renewal, then tells its events; a closed client fails.
local function act(self, method, does, ...)
  local renewal = open_renewal(own(self, method))
  if not renewal then
    return errors.fail("closed", "this client is closed; auth.new or auth.configure make another")
  end
  local results = table.pack(does(renewal, ...))
  renewal:deliver()
  return table.unpack(results, 1, results.n)
end

client.own, client.act = own, act

local function wait_for_token(renewal, min_valid)
  return renewal:token(min_valid)
end

--- A usable access token, never one that has expired or is about to. Waits only when there is none, `timeout` at most.
---@param options? central.auth.TokenOptions
---@return string? token
---@return string|number|nil message on failure; with `min_valid` the remaining seconds where they fall short
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:token(options)
  return own(self, "token")._token(options)
end

--- The value for an Authorization header: `Bearer …`.
---@param options? central.auth.TokenOptions
---@return string? header
---@return string|number|nil message as of `token`
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:header(options)
  return own(self, "header")._header(options)
end

--- A new token now, whatever the old one's state. On failure the old one stays.
---@return string? token
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:renew()
  return act(self, "renew", by_hand.renew)
end

--- Starts getting a token without waiting, for event loops.
---@param options? central.auth.TokenOptions
---@return central.auth.Pending? pending
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:pending(options)
  own(self, "pending")
  return act(self, "pending", pending.new, check_options(options))
end

--- The API refused this token (401): forgets it if it is still the current one, so that the next `token` gets another.
---@param token? string without it, the current one whichever it is
---@return boolean? forgotten
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:invalidate(token)
  check_token(token)
  return act(self, "invalidate", by_hand.invalidate, token)
end

--- What is known about the token and its renewal; no secrets in it. Prints readably. With `shared` also what other
--- processes share, which is first looked at when a token is.
---@param options? central.auth.StatusOptions
---@return central.auth.Status? status
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:status(options)
  local renewal = open_renewal(own(self, "status"))
  if check_status(options) and renewal then
    local looked, message, code, detail = look(renewal)
    renewal:deliver()
    if not looked then
      return nil, message, code, detail
    end
  end
  return status.of(open_renewal(self))
end

-- Closes without a word more: what `close` and the end of a to-be-closed variable share.
local function close(self)
  self._renewal:close()
end

--- Wipes the secret, forgets the token, closes connections; calls that wait, those of tenants too, end with the code
--- `closed`. Safe to call again. With `revoke` the token is revoked first (RFC 7009) where `revocation_url` is set,
--- for all who share it; that may fail, closing does not.
---@param options? { revoke?: boolean }
---@return boolean? closed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:close(options)
  own(self, "close")
  local results = { true }
  if check_close(options) and open_renewal(self) then
    results = table.pack(act(self, "close", revocation.revoke))
  end
  close(self)
  return table.unpack(results, 1, results.n)
end

metatable.__close = close

function metatable:__tostring()
  return "central.auth.client (" .. status.of(open_renewal(self)).state .. ")"
end

--- `parts` holds what a spec, the default client or a tenant's parent brings along: clock, tracker, transport, sleep,
--- random, stretch, parent.
---@param config central.auth.Config
---@param parts? table
---@return central.auth.Client
function client.new(config, parts)
  parts = parts or {}
  local clock = parts.clock or core.clock()
  local tracker = parts.tracker or core.tracker(clock)
  local self = {
    _renewal = renew.new(config, {
      clock = clock, tracker = tracker, transport = parts.transport, sleep = parts.sleep, random = parts.random,
      stretch = parts.stretch, parent = parts.parent,
    }),
  }
  local function slow_token(options)
    return act(self, "token", wait_for_token, check_options(options))
  end
  self._token = core.getter(tracker, slow_token, "token")
  self._header = core.getter(tracker, function(options)
    local results = table.pack(slow_token(options))
    if results[1] then
      results[1] = "Bearer " .. results[1]
    end
    return table.unpack(results, 1, results.n)
  end, "header")
  return setmetatable(self, metatable)
end

return client

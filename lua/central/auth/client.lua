-- A client: one identity, one token, the methods people call. Arguments are checked here; the policy is in `renew`.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"
local renew = require "central.auth.renew"

local by_hand = lazy "central.auth.by_hand"
local credentials = lazy "central.auth.credentials"
local errors = lazy "central.auth.errors"
local pages = lazy "central.auth.pages"
local pending = lazy "central.auth.pending"
local request = lazy "central.auth.request"
local revocation = lazy "central.auth.revocation"
local status = lazy "central.auth.status"
local tenant = lazy "central.auth.tenant"
local turns = lazy "central.auth.turns"

---@class central.auth.TokenOptions
---@field min_valid? number seconds the token must still be good for

---@class central.auth.StatusOptions
---@field shared? boolean look at what other processes share first; the server is not asked

---@class central.auth.Client
local Client = {}
local metatable = { __index = Client, __name = "central.auth.client", __metatable = false }

-- `client.credentials`, loaded when it is used.
local of_credentials = {
  __index = function(_, name) return credentials.methods[name] end,
  __name = "central.auth.credentials", __metatable = false,
}

local client = {}

-- The options of a call, of which there is one: its value.
local function check_one(options, known)
  if options == nil then
    return nil
  elseif type(options) == "table" and type(options.token) == "function" then
    errors.mistake("call functions of the module with a dot: auth.token()")
  end
  errors.check_options(options, { [known] = "any" })
  return options[known]
end

local function check_options(options)
  local seconds = check_one(options, "min_valid")
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds < 0) then
    errors.mistake("min_valid: a number of seconds, 0 or more, expected")
  end
  return seconds
end

local function check_status(options)
  return check_one(options, "shared")
end

local function check_token(token)
  if token ~= nil and type(token) ~= "string" then
    errors.mistake("invalidate: the token, a string, expected, got " .. type(token))
  end
end

local function check_close(options)
  if options ~= nil and (type(options) ~= "table" or next(options) and next(options) ~= "revoke") then
    errors.mistake("close takes { revoke = true } or nothing")
  end
  return options ~= nil and options.revoke or false
end

local CHECKS = {
  token = check_options, header = check_options, pending = check_options, invalidate = check_token,
  request = function(...) request.check(...) end, pages = function(...) pages.check(...) end,
  tenant = function(...) tenant.check(...) end,
  status = check_status,
}
for _, name in ipairs { "get", "post", "put", "patch", "delete" } do
  CHECKS[name] = function(...) request.check(name, ...) end
end

--- Raises a mistake in the arguments of a method.
---@param method string
function client.check(method, ...)
  if CHECKS[method] then
    CHECKS[method](...)
  end
end

-- What was called with a colon, as it must be.
local function own(self, method)
  if type(self) ~= "table" or not rawget(self, "_token") then
    errors.mistake(("call methods of a client with a colon: client:%s()"):format(method))
  end
  return self
end

-- Does something with the renewal, then tells its events; a closed client fails.
local function act(self, method, does, ...)
  local renewal = own(self, method)._renewal
  if not renewal then
    return errors.fail("closed", "this client is closed; auth.new or auth.configure make another")
  end
  local results = table.pack(does(renewal, ...))
  renewal:deliver()
  return table.unpack(results, 1, results.n)
end

Client._act = act

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

--- One authorized API call: with a valid token, once more with another after a 401, later where the server is busy.
---@param method string GET, POST, …
---@param target string a path below base_url, or a URL of its host or of one of `hosts`
---@param options? central.auth.RequestOptions
---@return central.auth.Reply? reply
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:request(method, target, options)
  own(self, "request")
  request.check(method, target, options)
  return act(self, "request", request.run, method, target, options)
end

-- `request` with the method in its name.
local function short(method)
  local name = method:lower()
  return function(self, target, options)
    return own(self, name):request(method, target, options)
  end
end

---@alias central.auth.Call fun(self: central.auth.Client, target: string, options?: central.auth.RequestOptions):
---central.auth.Reply?, string?, central.auth.Code?, central.auth.Detail?

--- GET. See `request`.
---@type central.auth.Call
Client.get = short "GET"

--- POST. See `request`.
---@type central.auth.Call
Client.post = short "POST"

--- PUT. See `request`.
---@type central.auth.Call
Client.put = short "PUT"

--- PATCH. See `request`.
---@type central.auth.Call
Client.patch = short "PATCH"

--- DELETE. See `request`.
---@type central.auth.Call
Client.delete = short "DELETE"

--- The items of a paged collection, for the generic `for`: `for ap in client:pages(path) do … end`. A failure is
--- raised there, as a table with `message`, `code` and `detail` that prints as its message.
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function Client:pages(path, options)
  own(self, "pages")
  return pages.walk(function(...) return self:get(...) end, path, options)
end

--- A client for a tenant of this MSP, by token exchange (RFC 8693); the same one for the same workspace. It ends with
--- this client.
---@param workspace_id string
---@param options? central.auth.TenantOptions
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:tenant(workspace_id, options)
  own(self, "tenant")
  tenant.check(workspace_id, options)
  return act(self, "tenant", function(renewal)
    local config, message, code, detail = tenant.config(renewal.config, workspace_id, options)
    if not config then
      return nil, message, code, detail
    end
    local known = self._tenant_at[config.token_url]
    if known and known._renewal and not options then
      return known
    end
    local made = client.new(config, { clock = renewal.clock, parent = renewal, sleep = renewal.host.sleep })
    self._tenants[made], self._tenant_at[config.token_url] = true, made
    return made
  end)
end

--- What is known about the token and its renewal; no secrets in it. Prints readably. With `shared` also what other
--- processes share, which is first looked at when a token is.
---@param options? central.auth.StatusOptions
---@return central.auth.Status? status
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:status(options)
  local renewal = own(self, "status")._renewal
  if check_status(options) and renewal then
    local looked, message, code, detail = turns.look(renewal)
    renewal:deliver()
    if not looked then
      return nil, message, code, detail
    end
  end
  return status.of(renewal)
end

-- Closes without a word more: what `close` and the end of a to-be-closed variable share.
local function close(self)
  local renewal = self._renewal
  self._renewal = nil
  if renewal then
    for one in pairs(self._tenants) do
      close(one)
    end
    renewal:close()
  end
end

--- Wipes the secret, forgets the token, closes connections. Any number of times. With `revoke` the token is revoked
--- first (RFC 7009) where `revocation_url` is set, for all who share it; that may fail, closing does not.
---@param options? { revoke?: boolean }
---@return boolean? closed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Client:close(options)
  own(self, "close")
  local results = { true }
  if check_close(options) and self._renewal then
    results = table.pack(act(self, "close", revocation.revoke))
  end
  close(self)
  return table.unpack(results, 1, results.n)
end

metatable.__close = close

function metatable:__tostring()
  return "central.auth.client (" .. (self._renewal and status.of(self._renewal).state or "closed") .. ")"
end

--- `parts` holds what a spec, the default client or a tenant's parent brings along: clock, tracker, transport, sleep,
--- random, parent.
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
      parent = parts.parent,
    }),
    _tenants = setmetatable({}, { __mode = "k" }), _tenant_at = setmetatable({}, { __mode = "v" }),
  }
  self.credentials = setmetatable({ _client = self }, of_credentials)
  local function slow_token(options)
    return act(self, "token", wait_for_token, check_options(options))
  end
  self._token = core.getter(tracker, slow_token, "token")
  self._header = core.getter(tracker, function(options)
    local token, message, code, detail = slow_token(options)
    return token and "Bearer " .. token, message, code, detail
  end, "header")
  return setmetatable(self, metatable)
end

return client

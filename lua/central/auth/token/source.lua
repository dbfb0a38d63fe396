-- The token source: owns all state of one token, and returns it. A token in the cache is taken without a
-- thread; else the call waits (call.lua) for a renewal (renewals.lua). A usable token is returned whatever fails.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.token.cache"
local client_secret = require "central.auth.token.client_secret"
local core = require "central.auth.core"
local current_token = require "central.auth.token.current_token"
local response = require "central.auth.token.response"

local errors = require("central.auth.util").lazy "central.auth.errors"

local token_source = {}

---@class central.auth.TokenSource
---@field config central.auth.Config
---@field clock userdata
---@field tracker userdata
---@field random fun(): number 0 to below 1, for jitter
---@field client_secret central.auth.ClientSecret
---@field subject central.auth.Subject|false of a tenant: gives the token that is exchanged for its own
---@field current central.auth.CurrentToken
---@field cache central.auth.Cache
---@field closed boolean
---@field parts table see `new`
---@field parent central.auth.TokenSource | false of a tenant
---@field listens boolean events are wanted, by `on_event` or for the log
---@field events central.auth.Events this and the following are made when they are first used
---@field renewals central.auth.Renewals
---@field failures central.auth.Failures
---@field resets central.auth.Resets
---@field tenants central.auth.Subject
---@field waiter central.auth.Waiter
---@field transfers central.auth.Transfers of a tenant its parent's, likewise the pool
---@field pool central.auth.Pool
local TokenSource = {}

-- What is made when it is first used: the modules in this folder.
local PARTS = {
  events = "events", renewals = "renewals", failures = "failures", resets = "resets", tenants = "subject",
  waiter = "waiter", transfers = "transfers", pool = "connection_pool",
}
local SHARED = { transfers = true, pool = true } -- a tenant has its parent's

local metatable = {}

-- Keeps what is found, methods too: each is found at once the next time.
function metatable:__index(name)
  local value, module, parent = TokenSource[name], PARTS[name], rawget(self, "parent")
  if module then
    value = parent and SHARED[name] and parent[name] or require("central.auth.token." .. module).new(self)
  end
  self[name] = value
  return value
end

--- A part, if it was ever made.
---@param name string
---@return any
function TokenSource:made(name)
  return rawget(self, name)
end

--- `parts`: clock and tracker (native); of a tenant `parent`, whose token is exchanged for this one, and whose
--- credential and connections it uses; and for specs `transfer`, `folder_store`, `budget`, `sleep`, `random`, `jitter`.
---@param config central.auth.Config
---@param parts table
---@return central.auth.TokenSource
function token_source.new(config, parts)
  local parent, clock = parts.parent, parts.clock
  local own = parent and parent.parts or parts
  local self = setmetatable({
    config = config, clock = clock, tracker = parts.tracker, parts = own, closed = false,
    random = own.random or core.random, client_secret = parent and parent.client_secret or client_secret.new(config),
    subject = parent and parent.tenants or false, parent = parent or false,
    listens = (config.on_event or config.log) ~= nil, _has_read_records = false,
  }, metatable)
  self.current = current_token.new(self)
  self.cache = cache.new(self) -- now, for the environment names its folder
  if parent then
    self.subject:add(self)
  end
  return self
end

--- When a call must return.
---@param seconds? number that it may take, by default the option `timeout`
---@param began? number boot time, by default now
---@return central.auth.Deadline
function TokenSource:deadline(seconds, began)
  return require("central.auth.deadline").new(self.clock, seconds or self.config.timeout, began)
end

-- --- events --------------------------------------------------------------------------------------------------------

--- Notes an event; see Events:add.
---@param name string
---@param fields table
---@param private? table
function TokenSource:note(name, fields, private)
  if self.listens and not self.closed then
    self.events:add(name, fields, private)
  end
end

--- Delivers the events that were noted. A tenant's configuration is a copy of its parent's: both listen, or
--- neither.
function TokenSource:deliver()
  if self.listens then
    if self.parent then
      self.parent:deliver()
    end
    self.events:deliver()
  end
end

-- --- what replies and records bring --------------------------------------------------------------------------------

--- A token is there, or another secret: what failed before is over.
function TokenSource:succeeded()
  local failures = self:made "failures"
  if failures then
    failures:succeeded()
  end
end

--- How many failures there were since the last success, and the seconds for which the token endpoint is left alone.
---@return integer count
---@return number left
function TokenSource:backoff()
  local failures = self:made "failures"
  return failures and failures.count or 0, failures and failures:left() or 0
end

--- Takes the token, or else the failure, that records hold.
---@param token? central.auth.RawReply
---@param last? central.auth.RawReply
---@param since? number boot time
---@return boolean found
---@return central.auth.Failure? failure
function TokenSource:take_records(token, last, since)
  local is_new = last and self.cache:mark_seen(last)
  if token then
    self.cache:mark_seen(token)
  end
  local found = self.current:take_record(token, since) -- first: a server that repeats a token prolongs no life
  found = self.current:take_record(last, since) or found
  if found then
    self:note("shared", { expires_in = select(3, self.current:state()) })
    self:succeeded()
    return true
  end
  return false, is_new and not response.read(last) and self.failures:take_shared(last) or nil
end

--- The same with the records of this machine, which needs no thread.
---@param since? number boot time
---@return boolean found
---@return central.auth.Failure? failure
function TokenSource:read_local_records(since)
  local token, last = self.cache:read()
  if token or last then
    return self:take_records(token, last, since)
  end
  return false
end

-- --- the secret ----------------------------------------------------------------------------------------------------

--- Reads the secret, if it is not read yet and the fetch does not read it. A failure is noted.
---@return boolean? ready
---@return central.auth.Failure? failure
function TokenSource:prepare()
  local ready, failure = self.client_secret:prepare()
  if self.closed then -- by a function that gives the secret
    return nil, errors.closed()
  elseif failure then
    self.failures:failed_before_request(failure)
  end
  return ready, failure
end

-- --- the token -----------------------------------------------------------------------------------------------------

--- Advances the renewal under way and takes its result if there is one. Returns whether it goes on.
---@return boolean
function TokenSource:advance_renewal()
  local made = self:made "renewals"
  return made ~= nil and made:under_way() ~= nil
end

-- Reads the machine's records before the first fetch, and once the token held has expired.
function TokenSource:_read_records_first(state)
  if self.client_secret.kind == "function" or state == "none" and self._has_read_records then
    return
  end
  self._has_read_records = true
  local ready, failure = self:prepare()
  if ready then
    self:read_local_records()
  end
  self._has_read_records = failure == nil
  return failure
end

--- Whether a call has to wait for a renewal; with a failure none can begin. A stale token is renewed meanwhile.
---@param min_valid? number seconds
---@param deadline? central.auth.Deadline
---@return boolean
---@return central.auth.Failure? failure
function TokenSource:needs_renewal(min_valid, deadline)
  if self.closed then
    return false, errors.closed()
  end
  local is_under_way = self:advance_renewal()
  local usable, state = self.current:state()
  if not usable and not is_under_way then
    local failure = self:_read_records_first(state)
    if failure then
      return false, failure
    end
    usable, state = self.current:state()
  end
  if not usable or min_valid and self.current:is_too_short_for(min_valid) then
    return true
  elseif state == "stale" and not (deadline and deadline:over()) then
    self.renewals:start_in_background()
  end
  return false
end

--- What came of a call: the token that is held, with its remaining life where that is less than `min_valid`; or the
--- failure, where there is none to use.
---@param min_valid? number
---@param failure? central.auth.Failure
---@return string? token
---@return number|central.auth.Failure|nil remaining or failure
function TokenSource:outcome(min_valid, failure)
  local usable, state, remaining = self.current:state()
  if self.closed then
    return nil, errors.closed()
  elseif failure and not usable then
    return nil, failure
  elseif state == "none" then
    return nil, errors.failure("timeout", "the new token was invalidated before the call returned it")
  elseif not usable and not self.current:can_be_returned() then
    return nil, errors.failure("timeout", "the new token expired before the call returned it")
  end
  if min_valid and remaining < min_valid then
    return self.current:token(), remaining
  end
  return self.current:token()
end

--- A usable token, or a failure.
---@param min_valid? number seconds
---@param deadline? central.auth.Deadline by default `timeout` from now
---@return string? token
---@return number|central.auth.Failure|nil remaining where it is less than `min_valid`, or failure
function TokenSource:token(min_valid, deadline)
  local fresh = not min_valid and self.tracker:fresh()
  if fresh then
    return fresh
  end
  local began = self.clock:boot()
  local needs_renewal, failure = self:needs_renewal(min_valid, deadline)
  if failure or not needs_renewal and self.current:can_be_returned() then
    return self:outcome(min_valid, failure)
  end -- without both it has expired while a function of the user's ran for the renewal in the background
  local purpose = { min_valid = min_valid, deadline = deadline or self:deadline(nil, began) }
  return require("central.auth.token.call").new(self, purpose):run()
end

--- Ends all that is under way, waiting calls and tenants included, with `closed`. Safe to call again.
function TokenSource:close()
  self:deliver() -- what a coroutine that was dropped has left, too
  if self.closed then
    return
  end
  self.closed = true
  self.current:forget()
  for _, name in ipairs { "tenants", "renewals", "waiter", "pool", "transfers" } do
    local part = self:made(name)
    if part and not (self.parent and name == "transfers") then
      part:close()
    end
  end
  if not self.parent then
    self.client_secret:close()
  end
end

token_source.token = TokenSource.token

return token_source

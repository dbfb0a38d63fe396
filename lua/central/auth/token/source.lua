-- The token source: owns all state of one token, and returns it. What lies ready in the cache is taken over without a
-- thread; else the call waits (call.lua) for a renewal (renewals.lua). A usable token is returned whatever fails.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.token.cache"
local client_secret = require "central.auth.token.client_secret"
local core = require "central.auth.core"
local current_token = require "central.auth.token.current_token"
local deadlines = require "central.auth.deadline"
local lazy = require("central.auth.util").lazy
local response = require "central.auth.token.response"

local calls = lazy "central.auth.token.call"
local connection_pool = lazy "central.auth.token.connection_pool"
local errors = lazy "central.auth.errors"
local failures = lazy "central.auth.token.failures"
local renewals = lazy "central.auth.token.renewals"
local request = lazy "central.auth.token.request"
local resets = lazy "central.auth.token.resets"
local subjects = lazy "central.auth.token.subject"
local transfers = lazy "central.auth.token.transfers"
local waiters = lazy "central.auth.token.waiter"

local SEEN_MAX = 8 -- ids of records: of two in each of two stores, and some that they have replaced

local token_source = {}

---@class central.auth.TokenSource
---@field config central.auth.Config
---@field clock userdata
---@field random fun(): number 0 to below 1, for jitter
---@field budget userdata
---@field current central.auth.CurrentToken
---@field client_secret central.auth.ClientSecret
---@field cache central.auth.Cache
---@field subject? central.auth.Subject of a tenant: gives the token that is exchanged for its own
---@field replacements integer tokens that replaced another
---@field skew? number seconds this machine's clock is ahead of the server's
---@field closed boolean
local TokenSource = {}
TokenSource.__index = TokenSource

--- `parts`: clock and tracker (native); of a tenant `parent`, whose token is exchanged for this one, and whose
--- credential and connections it uses; and for specs `transfer`, `folder_store`, `budget`, `sleep`, `random`, `jitter`.
---@param config central.auth.Config
---@param parts table
---@return central.auth.TokenSource
function token_source.new(config, parts)
  local parent, clock = parts.parent, parts.clock
  local own = parent and parent._parts or parts
  local self = setmetatable({
    config = config, clock = clock, closed = false, replacements = 0,
    random = own.random or core.random, budget = (own.budget or core.budget)(),
    current = current_token.new(config, clock, parts.tracker, own.jitter),
    client_secret = parent and parent.client_secret or client_secret.new(config),
    subject = parent and parent:subject_of_tenants(),
    _parent = parent, _parts = own, _events = {},
    _seen = {}, -- ids of the records that were read last, the newest first
  }, TokenSource)
  self.cache = cache.new(config, { clock = clock, random = self.random, folder_store = own.folder_store },
    function(why) self:note("cache_error", { message = why }) end)
  if parent then
    self.subject:add(self)
  end
  return self
end

-- --- what it is made of, from the first use on -----------------------------------------------------------------------

--- The renewal under way, and when another may begin.
---@return central.auth.Renewals
function TokenSource:renewals()
  self._renewals = self._renewals or renewals.new(self)
  return self._renewals
end

--- Seconds for which the token endpoint is left alone after a failure.
---@return number
function TokenSource:backoff_left()
  return self._failures and self._failures:left() or 0
end

--- What follows from failures.
---@return central.auth.Failures
function TokenSource:failures()
  self._failures = self._failures or failures.new(self)
  return self._failures
end

--- How this program waits.
---@return central.auth.Waiter
function TokenSource:waiter()
  self._waiter = self._waiter or waiters.new(self.clock, self.config.wait, self._parts.sleep)
  return self._waiter
end

--- The transfers of this client; those of a tenant are its parent's.
---@return central.auth.Transfers
function TokenSource:transfers()
  if self._parent then
    return self._parent:transfers()
  end
  self._transfers = self._transfers or transfers.new(self.clock, self._parts.transfer)
  return self._transfers
end

--- API calls, and looks at shared records beside the renewal; likewise.
---@return central.auth.Pool
function TokenSource:pool()
  if self._parent then
    return self._parent:pool()
  end
  self._pool = self._pool or connection_pool.new(self.config, self.clock, self:waiter(), self:transfers())
  return self._pool
end

--- Resets of the credential by this client.
---@return central.auth.Resets
function TokenSource:resets()
  self._resets = self._resets or resets.new(self)
  return self._resets
end

--- What gives its tenants the token that they exchange for theirs.
---@return central.auth.Subject
function TokenSource:subject_of_tenants()
  self._subject_of_tenants = self._subject_of_tenants or subjects.new(self)
  return self._subject_of_tenants
end

-- --- events --------------------------------------------------------------------------------------------------------

--- Notes an event, to be delivered when the call that caused it returns.
---@param name string
---@param fields table
function TokenSource:note(name, fields)
  if self.config.on_event and not self.closed then
    fields.event = name
    self._events[#self._events + 1] = fields
  end
end

--- Delivers what was noted, so that a handler may call anything here. Errors of the handler are its own.
function TokenSource:deliver()
  if self._parent then
    self._parent:deliver()
  end
  while self._events[1] do
    pcall(self.config.on_event, table.remove(self._events, 1))
  end
end

-- --- what replies and records bring --------------------------------------------------------------------------------

--- Takes notice of a record, which is not to end a fetch again. Whether it was new.
---@param raw central.auth.RawReply
---@return boolean
function TokenSource:saw(raw)
  local seen, is_new = self._seen, true
  for i = #seen, 1, -1 do
    if seen[i] == raw.id then
      table.remove(seen, i)
      is_new = false
    end
  end
  if raw.id then
    table.insert(seen, 1, raw.id)
    seen[SEEN_MAX + 1] = nil
  end
  return is_new
end

-- A token is there, so what failed before it is over.
function TokenSource:_succeeded()
  if self._failures then
    self._failures:succeeded()
  end
end

--- Takes a token from the network into use. Whether it can be used.
---@param token central.auth.TokenResponse
---@param raw central.auth.RawReply
---@return boolean
function TokenSource:take(token, raw)
  local current = self.current
  self:saw(raw)
  self:_succeeded()
  if current:outlives(token, raw) then
    self:renewals():has_renewed(0)
    self:note("odd_reply", { what = "the new token had expired when its reply was looked at" })
    return true
  end
  local same = current:take(token, raw)
  local _, _, remaining = current:state()
  self:renewals():has_renewed(same and remaining / 2 or 0)
  self.replacements = self.replacements + (current.replaced and 1 or 0)
  self.skew = raw.date and raw.received_wall - raw.date
  response.check_scope(token, self.config.scope)
  self:note(current.replaced and "renewed" or "fetched", { expires_in = remaining })
  for _, what in ipairs(token.odd) do
    self:note("odd_reply", { what = what })
  end
  return current:is_there()
end

--- Takes over what records say: whether they brought a token, and else another process's failure.
---@param token? central.auth.RawReply
---@param last? central.auth.RawReply
---@param since? number boot time
---@return boolean found
---@return central.auth.Failure? failure
function TokenSource:take_records(token, last, since)
  local is_new = last and self:saw(last)
  if token then
    self:saw(token)
  end
  local found = self.current:take_record(token, since) -- first: a server that repeats a token prolongs no life
  found = self.current:take_record(last, since) or found
  if found then
    self:note("shared", { expires_in = select(3, self.current:state()) })
    self:_succeeded()
    return true
  end
  return false, is_new and self:failures():take_shared(last) or nil
end

--- The same with the records of this machine, which needs no thread.
---@param since? number boot time
---@return boolean found
---@return central.auth.Failure? failure
function TokenSource:look_locally(since)
  local token, last = self.cache:read()
  if token or last then
    return self:take_records(token, last, since)
  end
  return false
end

-- --- the secret, and what a fetch needs ----------------------------------------------------------------------------

-- The results of a method of the secret, during which a function of the user's may have closed the client.
function TokenSource:_after_secret(result, failure)
  if self.closed then
    return nil, errors.pack(errors.closed())
  end
  self.cache:attach(self.client_secret.current)
  return result, failure
end

--- Reads the secret, if it is not read yet and the fetch does not read it. A failure is noted.
---@return boolean? ready
---@return central.auth.Failure? failure
function TokenSource:prepare()
  local ready, failure = self:_after_secret(self.client_secret:prepare())
  if failure then
    self:failures():before_request(failure)
  end
  return ready, failure
end

--- After a refusal: whether the secret's source gives another secret by now.
---@return boolean
function TokenSource:reread_secret()
  local changed = self:_after_secret(self.client_secret:reread())
  if changed then
    self:_succeeded()
  end
  return changed or false
end

--- What every fetch of this source needs; an assertion is got for it, which may take its time.
---@param deadline central.auth.Deadline
---@return table? order
---@return central.auth.Failure? failure
function TokenSource:order(deadline)
  local order = {}
  local ready, failure = self:_after_secret(self.client_secret:complete(order))
  if not ready then
    return nil, failure
  end
  request.complete(order, self.config)
  self.cache:complete(order)
  order.timeout, order.seen, order.budget = math.max(deadline:left(), 0.001), self._seen, self.budget
  order.good = self.current:state() and self.current.id or nil
  order.failures = self._failures and self._failures.count or 0
  return order
end

--- Takes over what a fetch found beside its outcome. Returns the secret that it read, if it did.
---@param result table
---@return userdata? secret
function TokenSource:note_result(result)
  self.cache:note(result)
  if result.secret then
    self.client_secret:take(result.secret)
    self.cache:attach(self.client_secret.current)
    return self.client_secret.current
  end
end

-- --- the token -----------------------------------------------------------------------------------------------------

--- Takes over what the renewal under way has brought by now. Whether it goes on.
---@return boolean
function TokenSource:catch_up()
  return self._renewals ~= nil and self._renewals:under_way() ~= nil
end

-- Looks whether a token lies ready in the machine's records: once, and when ours has expired.
function TokenSource:_look_before_fetch(state)
  if self.client_secret.kind == "function" or state == "none" and self._has_looked then
    return
  end
  self._has_looked = true
  local ready, failure = self:prepare()
  if ready then
    self:look_locally()
  end
  self._has_looked = failure == nil
  return failure
end

--- Whether a call has to wait for a renewal; with a failure none can begin. A stale token is renewed meanwhile.
---@param min_valid? number seconds
---@param deadline central.auth.Deadline
---@return boolean
---@return central.auth.Failure? failure
function TokenSource:needs_renewal(min_valid, deadline)
  if self.closed then
    return false, errors.pack(errors.closed())
  end
  local is_under_way = self:catch_up()
  local usable, state = self.current:state()
  if not usable and not is_under_way then
    local failure = self:_look_before_fetch(state)
    if failure then
      return false, failure
    end
    usable, state = self.current:state()
  end
  if not usable or min_valid and self.current:falls_short(min_valid) then
    return true
  elseif state == "stale" and not deadline:over() then
    self:renewals():start_in_background()
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
    return nil, errors.pack(errors.closed())
  elseif failure and not usable then
    return nil, failure
  elseif state == "none" then
    return nil, errors.failure("timeout", "the new token was invalidated before the call returned it")
  elseif not self.current:is_there() then
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
  deadline = deadline or deadlines.new(self.clock, self.config.timeout)
  local needs_renewal, failure = self:needs_renewal(min_valid, deadline)
  if not needs_renewal then
    local token, more = self:outcome(min_valid, failure)
    if more == nil then
      return token
    elseif token or failure then
      return token, more
    end -- else it has expired within the last microsecond
  end
  return calls.new(self, { min_valid = min_valid, deadline = deadline }):run()
end

--- Ends all that is under way, waiting calls and tenants included, with `closed`. Safe to call again.
function TokenSource:close()
  if self.closed then
    return
  end
  self.closed = true
  self.current:forget()
  for _, name in ipairs { "_subject_of_tenants", "_renewals", "_waiter", "_pool", "_transfers" } do
    if self[name] then
      self[name]:close()
    end
  end
  if not self._parent then
    self.client_secret:close()
    client_secret.wipe(self.config.cache_secret)
  end
  self.cache:close()
end

token_source.token = TokenSource.token

return token_source

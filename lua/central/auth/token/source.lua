-- The token source: owns all state of one token and decides when another is fetched. Whoever needs one waits for the
-- renewal under way (renewal.lua), whose fetches run on threads; a usable token is returned whatever happens to that.
-- SPDX-License-Identifier: MIT

local cache = require "central.auth.token.cache"
local client_secret = require "central.auth.token.client_secret"
local core = require "central.auth.core"
local current_token = require "central.auth.token.current_token"
local deadlines = require "central.auth.deadline"
local defer = require("central.auth.util").defer
local lazy = require("central.auth.util").lazy
local response = require "central.auth.token.response"

local backoff = lazy "central.auth.token.backoff"
local connection_pool = lazy "central.auth.token.connection_pool"
local errors = lazy "central.auth.errors"
local renewals = lazy "central.auth.token.renewal"
local request = lazy "central.auth.token.request"
local response_error = lazy "central.auth.token.response_error"
local transfers = lazy "central.auth.token.transfers"
local waiters = lazy "central.auth.token.waiter"

local SLACK = 0.05           -- seconds: a fetch that ends at the same deadline says better why
local MIN_ATTEMPT = 0.1      -- seconds an attempt needs at least
local MIN_INTERVAL = 1       -- seconds between renewals of a usable token
local LOOK_AGAIN = 1         -- seconds between looks at what other machines have, while the server is left alone
local BLOCK = 1              -- seconds between looks at signals: Ctrl-C reaches Lua at least so often
local STEP = 0.02            -- seconds between looks whether a reset of the credential has ended
local SEEN_MAX = 8           -- ids of records: of two in each of two stores, and some that they have replaced
local NEW_SUBJECT_AFTER = 15 -- seconds between subject tokens that are given up because an exchange was refused

local token_source = {}

---@class central.auth.TokenSource
---@field config central.auth.Config
---@field clock userdata
---@field closed boolean
---@field resets integer of the credential, by this client
---@field subject? fun(deadline, early): string?, central.auth.Renewal?, central.auth.Failure? of tenants: see `lend`
local TokenSource = {}
TokenSource.__index = TokenSource

--- `parts`: clock and tracker (native); of a tenant `parent`, whose token is exchanged for this one, and whose
--- credential and connections it uses; and for specs `transfer`, `folder_store`, `budget`, `sleep`, `random`, `jitter`.
---@param config central.auth.Config
---@param parts table
---@return central.auth.TokenSource
function token_source.new(config, parts)
  local parent, clock = parts.parent, parts.clock
  local self = setmetatable({
    config = config, clock = clock, closed = false, resets = 0,
    _parts = parts, _parent = parent, _random = parts.random or core.random, _budget = (parts.budget or core.budget)(),
    _current = current_token.new(config, clock, parts.tracker, parts.jitter),
    _hold_until = 0, _renewals = 0,                  -- boot time before which no usable token is renewed
    _seen = {},                                      -- ids of the records that were read last, the newest first
    _events = {},
    _resetting = setmetatable({}, { __mode = "k" }), -- resets of the credential under way: each one's deadline
    _children = setmetatable({}, { __mode = "k" }),  -- sources of tenants
    _in_function = setmetatable({}, { __mode = "k" }), -- coroutines in a function that gives the secret
  }, TokenSource)
  self._cache = cache.new(config, { clock = clock, random = self._random, folder_store = parts.folder_store },
    function(why) self:note("cache_error", { message = why }) end)
  if parent then
    self._secret, self.subject = parent:lend(self)
  else
    self._secret = client_secret.new(config)
  end
  return self
end

-- --- what it is made of --------------------------------------------------------------------------------------------

-- How this program waits: made when first used.
function TokenSource:_waiting()
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

-- API calls, and looks at shared records beside the renewal.
function TokenSource:_calls()
  if self._parent then
    return self._parent:_calls()
  end
  self._pool = self._pool or connection_pool.new(self.config, self.clock, self:_waiting(), self:transfers())
  return self._pool
end

-- Failures, from the first one on.
function TokenSource:_failures()
  self._backoff = self._backoff or backoff.new(self.clock, self._random)
  return self._backoff
end

--- 0 to below 1, for jitter.
---@return number
function TokenSource:random()
  return self._random()
end

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

-- --- failures and the back-off -------------------------------------------------------------------------------------

--- Seconds for which the token endpoint is left alone after a failure.
---@return number
function TokenSource:backoff_left()
  return self._backoff and self._backoff:left() or 0
end

--- When the next request may be made after a failure, boot time.
---@return number
function TokenSource:next_try()
  return self:_failures().next_try
end

--- The failure that is answered from memory.
---@return central.auth.Failure
function TokenSource:remembered()
  return self:_failures():remembered()
end

--- Leaves a usable token alone for so many seconds.
---@param seconds number
function TokenSource:hold(seconds)
  self._hold_until = math.max(self._hold_until, self.clock:boot() + seconds)
end

--- Takes notice of a failure: see Backoff:failed. A refusal says where the credential came from.
---@param failure central.auth.Failure
---@param at? number
---@param count? integer
function TokenSource:failed(failure, at, count)
  local origin = self._secret:origin()
  if origin and not self._parent and response_error.rejected(failure.code, failure.detail) then
    failure.message = ("%s (client_id from %s, %s from %s)"):format(failure.message, self.config.from.client_id,
      origin.name, origin.from)
  end
  self:_failures():failed(failure, at, count)
  if failure.code == "config" then -- who has no token may ask again at once: that costs the server nothing
    self:hold(self._backoff:rest())
  end
end

--- Takes notice of what keeps this client from making a request, if anything does.
---@param failure? central.auth.Failure
function TokenSource:note_before_request(failure)
  if failure and failure.code ~= "closed" then
    self:note("failed", { code = failure.code, message = failure.message })
    self:failed(failure)
  end
end

--- A function that makes text from elsewhere fit to print: without our secrets and tokens.
---@param assertion? userdata
---@param subject_token? string
---@return fun(text: string): string
function TokenSource:cleaner(assertion, subject_token)
  return request.cleaner(self.config, self._secret.current, assertion, self._current:token(), subject_token)
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

--- Takes a token from the network into use. Whether it can be used.
---@param token central.auth.TokenResponse
---@param raw central.auth.RawReply
---@return boolean
function TokenSource:take(token, raw)
  local current = self._current
  self:saw(raw)
  if current:outlives(token, raw) then
    self:hold(MIN_INTERVAL)
    self:_failures():succeeded()
    self:note("odd_reply", { what = "the new token had expired when its reply was looked at" })
    return true
  end
  local same = current:take(token, raw)
  local _, _, remaining = current:state()
  self._hold_until = self.clock:boot() + (same and math.max(remaining / 2, MIN_INTERVAL) or MIN_INTERVAL)
  self._renewals = self._renewals + (current.replaced and 1 or 0)
  self._skew = raw.date and raw.received_wall - raw.date
  if self._backoff then
    self._backoff:succeeded()
  end
  response.check_scope(token, self.config.scope)
  self:note(current.replaced and "renewed" or "fetched", { expires_in = remaining })
  for _, what in ipairs(token.odd) do
    self:note("odd_reply", { what = what })
  end
  return current:is_there()
end

-- The failure in a record of another process; nil where it is none that is worth sharing, or an older one.
function TokenSource:_shared_failure(raw)
  local known = math.max(self._current.sent_boot or 0, self._backoff and self._backoff.at or 0)
  if raw.received_boot <= known then
    return nil
  end
  local _, failure = response.read(raw, self:cleaner())
  if failure and (raw.status >= 400 or failure.code == "oauth") then
    self:failed(failure, raw.received_boot, raw.failures)
    self._must_reread = response_error.rejected(failure.code, failure.detail) -- only our secret may be the former one
    return failure
  end
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
  local found = self._current:take_record(token, since) -- first: a server that repeats a token prolongs no life
  found = self._current:take_record(last, since) or found
  if found then
    self:note("shared", { expires_in = select(3, self._current:state()) })
    if self._backoff then
      self._backoff:succeeded()
    end
    return true
  end
  return false, is_new and self:_shared_failure(last) or nil
end

-- The same with the records of this machine, which needs no thread.
function TokenSource:_look_locally(since)
  local token, last = self._cache:read()
  return (token or last) and self:take_records(token, last, since) or false
end

-- --- the secret ----------------------------------------------------------------------------------------------------

-- Runs a method of the secret, which may call a function of the user's: that may yield, and may not ask for this token.
function TokenSource:_ask_secret(method, ...)
  local thread = coroutine.running()
  if self._in_function[thread] then
    return nil, errors.failure("config",
      "a token was asked for by the function that provides the client's own secret or assertion")
  end
  -- First, for it needs memory: a mark that stayed would refuse each later call.
  local _ <close> = defer(function() self._in_function[thread] = nil end)
  self._in_function[thread] = true
  local result, failure = method(self._secret, ...)
  if self.closed then
    return nil, errors.pack(errors.closed())
  end
  self._cache:attach(self._secret.current)
  return result, failure
end

-- Reads the secret, if it is not read yet and the fetch does not read it. A failure is noted.
function TokenSource:_prepare()
  local ready, failure = self:_ask_secret(self._secret.prepare)
  self:note_before_request(failure)
  return ready, failure
end

-- After a refusal: whether the secret's source gives another secret by now.
function TokenSource:_reread()
  self._must_reread = false
  local changed = self:_ask_secret(self._secret.reread)
  if changed then
    self:_failures():succeeded()
  end
  return changed or false
end

--- After the secret that a fetch used was refused: "changed" (another one is there), "reread" (the next fetch reads its
--- source again) or "unchanged".
---@param used? userdata
---@return "changed" | "reread" | "unchanged"
function TokenSource:secret_after_refusal(used)
  self._must_reread = false
  if used and used ~= self._secret.current then
    return "changed"
  elseif self._secret:is_read_by_fetch() then
    return "reread"
  elseif self._secret:is_function() then -- called when somebody waits
    self._must_reread = true
    return "unchanged"
  end
  return self:_reread() and "changed" or "unchanged"
end

---@return userdata? secret as it was last read
function TokenSource:secret()
  return self._secret.current
end

---@return boolean
function TokenSource:asserts_by_function()
  return self._secret:asserts_by_function()
end

--- A failure to read what this option names.
---@param option string
---@param problem string
---@return central.auth.Failure
function TokenSource:secret_failure(option, problem)
  return self._secret:failure(option, problem)
end

-- --- fetches -------------------------------------------------------------------------------------------------------

--- What every fetch of this source needs, for so many seconds; an assertion is got for it.
---@param seconds number
---@return table? order
---@return central.auth.Failure? failure
function TokenSource:order(seconds)
  local current = self._current
  local order = {
    timeout = math.max(seconds, 0.001), seen = self._seen, budget = self._budget,
    good = current:state() and current.id or nil, failures = self._backoff and self._backoff.failures or 0,
  }
  request.complete(order, self.config)
  self._cache:complete(order)
  local ready, failure = self:_ask_secret(self._secret.complete, order)
  return ready and order or nil, failure
end

--- Takes over what a fetch found beside its outcome. Returns the secret that it read, if it did.
---@param result table
---@return userdata? secret
function TokenSource:note_result(result)
  self._cache:note(result)
  if result.secret then
    self._secret:take(result.secret)
    self._cache:attach(self._secret.current)
    return self._secret.current
  end
end

-- The renewal under way, moved on as far as it goes; nil where there is none. One that another coroutine moves on does
-- not count: that coroutine may have been dropped.
function TokenSource:_under_way()
  local renewal = self._renewal
  if renewal and (renewal:is_moving() or renewal:advance()) and self._renewal == renewal then
    self._renewal = nil
  end
  return self._renewal
end

--- Of a renewal that starts: whether it is the one under way, unless another has become that meanwhile.
---@param renewal central.auth.Renewal
---@return boolean
function TokenSource:claim(renewal)
  local other = self._renewal
  if other and other ~= renewal and not other.done and not other:is_moving() then
    return false
  end
  self._renewal = renewal
  return true
end

-- The renewal under way, which goes on for this call, too, if somebody waits for that.
function TokenSource:_join(call)
  if not call.early then
    self._renewal:join(call.deadline)
  end
  return self._renewal
end

-- Starts a renewal, or joins the one that another coroutine started while this one read its secret.
function TokenSource:_start(purpose)
  local ready, failure = self:_prepare()
  if not ready then
    return nil, failure
  elseif self:_under_way() then
    return self:_join(purpose)
  end
  local renewal = renewals.new(self, purpose)
  renewal:start(purpose)
  if not renewal.done then
    return renewal
  elseif self._renewal == renewal then
    self._renewal = nil
  end
  return nil, renewal.failure
end

-- --- calls ---------------------------------------------------------------------------------------------------------

-- After a refusal: whether a renewal is worth while because the secret's source gives another one by now. A command is
-- run by the renewal, and what it gives may be the same.
function TokenSource:_may_have_other_secret(purpose)
  if self._must_reread and self._secret:is_command() then
    self._must_reread, purpose.reread, purpose.refusal = false, true, self:remembered()
    return true
  end
  return self._must_reread and self:_reread() or false
end

-- A renewal that nobody waits for; its failure costs nothing.
function TokenSource:_renew_in_background()
  if self._renewal or self:backoff_left() > 0 or self.clock:boot() < self._hold_until then
    return
  end
  local purpose = { early = true, deadline = deadlines.new(self.clock, self.config.timeout) }
  local found, failure = self:_look_locally()
  local is_worth_while = not failure and not (found and select(2, self._current:state()) == "fresh")
  if is_worth_while or failure and not self._secret:is_function() and self:_may_have_other_secret(purpose) then
    self:_start(purpose)
  end
end

-- Where the token endpoint is left alone: whether it is time to look at what other machines have.
function TokenSource:_may_look()
  local now = self.clock:boot()
  if not self._cache:has_remote() or now < (self._next_look or 0) then
    return false
  end
  self._next_look = now + LOOK_AGAIN
  return true
end

-- A renewal to wait for; nil: a token is there after all, or none can be had now, as the failure behind says.
function TokenSource:_begin(call, usable)
  local left = self:backoff_left()
  if self._renewal then
    return self:_join(call)
  elseif usable and (left > 0 or self.clock:boot() < self._hold_until) then
    return nil
  elseif left == 0 or call.not_before then
    return self:_start(call)
  elseif self:_look_locally() then
    return nil
  end
  local purpose = { deadline = call.deadline, early = call.early }
  if self:_may_have_other_secret(purpose) then
    return self:_start(purpose)
  elseif self:_may_look() then
    return self:_start { look_only = true, deadline = call.deadline, early = call.early }
  elseif self:backoff_left() == 0 then -- another coroutine got a token while a function of the user's yielded
    return nil
  end
  return nil, self:remembered()
end

-- The same by force: a refusal in memory is passed over, a Retry-After is not.
function TokenSource:_begin_refresh(call)
  if not self._renewal and self._current.adoptions == call.adoptions then
    self:_look_locally(call.since)
  end
  if self._current.adoptions ~= call.adoptions and self._current:is_there() then
    return nil
  end
  call.adoptions = self._current.adoptions -- what was taken meanwhile is expired or invalidated by now
  local not_before = self._backoff and self._backoff.not_before or 0
  if self._renewal then
    self._renewal:join(call.deadline, not_before)
    return self._renewal
  elseif not_before > call.deadline.at then
    return nil, self:remembered()
  end
  call.not_before = not_before > self.clock:boot() and not_before or nil
  if self._must_reread then
    self:_reread()
  end
  return self:_start(call)
end

-- Looks whether a token lies ready in the machine's records, which needs no thread: once, and when ours has expired.
function TokenSource:_look_before_fetch(state)
  if self._renewal or self._secret:is_function() or state == "none" and self._has_looked then
    return
  end
  self._has_looked = true
  local ready, failure = self:_prepare()
  if ready then
    self:_look_locally()
  end
  return failure
end

-- The renewal that a call has to wait for; nil: the token is there, or can't be had now, as the failure says.
function TokenSource:_need(call)
  if self.closed then
    return nil, errors.pack(errors.closed())
  end
  self:_under_way()
  if call.adoptions then
    return self:_begin_refresh(call)
  end
  local usable, state = self._current:state()
  if not usable then
    local failure = self:_look_before_fetch(state)
    if failure then
      self._has_looked = false
      return nil, failure
    end
    usable, state = self._current:state()
  end
  if usable and not (call.min_valid and self._current:falls_short(call.min_valid)) then
    if state == "stale" and not call.deadline:over() then
      self:_renew_in_background()
    end
    return nil
  end
  return self:_begin(call, usable)
end

-- Whether a call that failed goes on: a function of the user's may give another secret, or another assertion.
function TokenSource:_goes_on(call, failure)
  if self.closed or call.deadline:over() then
    return false
  elseif response_error.rejected(failure.code, failure.detail) then
    if call.waits and self:is_resetting() then
      self:pause(STEP)
      return true
    end
    return self._must_reread and self:_reread() or false
  elseif self._secret:asserts_by_function() and response_error.transient(failure.code, failure.detail) then
    call.tries = (call.tries or 1) + 1
    call.not_before = self:next_try()
    return call.tries <= renewals.TRIES and call.not_before + MIN_ATTEMPT < call.deadline.at
  end
  return false
end

-- Whether a renewal that ended without a failure leaves nothing to wait for: it may have been cancelled, or its token
-- invalidated or expired meanwhile.
function TokenSource:_is_settled(call)
  return self.closed or call.deadline:over()
    or self._current:is_there() and self._current.adoptions ~= call.adoptions
end

--- Moves a call on as far as it can go without waiting. Whether it is done: then `outcome` has its result; else
--- `call.renewal` is to be waited for.
---@param call { deadline: central.auth.Deadline, min_valid?: number, renewal?: central.auth.Renewal }
---@return boolean done
function TokenSource:step(call)
  while true do
    local renewal = call.renewal
    if renewal and renewal:is_moving() then
      call.renewal = nil -- as in _under_way
    elseif renewal then
      if not renewal:advance() then
        return false
      end
      call.renewal, call.failure = nil, renewal.failure
      if not call.failure and self:_is_settled(call) then
        return true
      end
    else
      call.renewal, call.failure = self:_need(call)
      if not call.renewal and not call.failure and self:_is_settled(call) then
        return true
      end
    end
    if call.failure and not self:_goes_on(call, call.failure) then
      return true
    end
  end
end

--- Waits for a call until its deadline.
---@param call table
function TokenSource:await(call)
  call.waits = true
  while not self:step(call) do
    local left = call.deadline.at + SLACK - self.clock:boot()
    local failure
    if left <= 0 then
      failure = errors.failure("timeout", "no token in time: a request for one is still under way")
    elseif self.config.wait then
      failure = self:_waiting():wait_for(call.renewal, left)
    else
      call.renewal:block(math.min(left, BLOCK))
    end
    if failure then
      call.renewal, call.failure = nil, failure
      return
    end
  end
end

--- What came of a call: the token that is held, with its remaining life where that is less than `min_valid`; or the
--- failure, where there is none to use.
---@param min_valid? number
---@param failure? central.auth.Failure
---@return string? token
---@return number|central.auth.Failure|nil remaining or failure
function TokenSource:outcome(min_valid, failure)
  local usable, state, remaining = self._current:state()
  if self.closed then
    return nil, errors.pack(errors.closed())
  elseif failure and not usable then
    return nil, failure
  elseif state == "none" then
    return nil, errors.failure("timeout", "the new token was invalidated before the call returned it")
  elseif not self._current:is_there() then
    return nil, errors.failure("timeout", "the new token expired before the call returned it")
  end
  if min_valid and remaining < min_valid then
    return self._current:token(), remaining
  end
  return self._current:token()
end

-- The outcome of a call that is waited for. A token that was there may expire, or be invalidated, before it is
-- returned: then the call begins anew.
function TokenSource:_run(call)
  local token, more
  repeat
    self:await(call)
    if call.failure and call.adoptions then
      return nil, call.failure
    end
    token, more = self:outcome(call.min_valid, call.failure)
  until token or call.failure or self.closed or call.deadline:over()
  if more == nil then
    return token
  end
  return token, more
end

--- A usable token, or a failure.
---@param min_valid? number seconds
---@param deadline? central.auth.Deadline by default `timeout` from now
---@return string? token
---@return number|central.auth.Failure|nil remaining where it is less than `min_valid`, or failure
function TokenSource:token(min_valid, deadline)
  return self:_run { min_valid = min_valid, deadline = deadline or deadlines.new(self.clock, self.config.timeout) }
end

--- A new token now, whatever the old one's state. On failure the old one stays.
---@return string? token
---@return central.auth.Failure? failure
function TokenSource:refresh()
  return self:_run {
    deadline = deadlines.new(self.clock, self.config.timeout), since = self.clock:boot(),
    adoptions = self._current.adoptions,
  }
end

-- --- tenants -------------------------------------------------------------------------------------------------------

--- For the source of a tenant, which is closed with this one: the secret, and a function that gives the token to be
--- exchanged, or the renewal to wait for, or a failure.
---@param tenant central.auth.TokenSource
---@return central.auth.ClientSecret secret
---@return fun(deadline: table, early: boolean): string?, central.auth.Renewal?, central.auth.Failure? subject
function TokenSource:lend(tenant)
  self._children[tenant] = true
  return self._secret, function(deadline, early)
    local call = { deadline = deadline, early = early } -- `early`: nobody waits for the tenant's token
    if self.closed then
      return nil, nil, errors.failure("closed", "the client of the tenant's MSP was closed")
    elseif not self:step(call) then
      return nil, call.renewal
    end
    local token, failure = self:outcome(nil, call.failure)
    return token, nil, token == nil and failure or nil
  end
end

local DEAD_SUBJECT = { invalid_grant = true, invalid_token = true, invalid_request = true }

--- Of a tenant: whether another exchange is worth while because this one was refused for what may be a dead subject
--- token. Then there is, or will be, another.
---@param subject_token string
---@param failure central.auth.Failure
---@return boolean
function TokenSource:has_new_subject(subject_token, failure)
  return (response_error.rejected(failure.code, failure.detail) or DEAD_SUBJECT[failure.detail.oauth_error] or false)
    and self._parent:give_up(subject_token)
end

--- Of a parent: invalidates a token whose exchange was refused, unless one was given up only now. Whether the tenant
--- may expect another.
---@param subject_token string
---@return boolean
function TokenSource:give_up(subject_token)
  local now = self.clock:boot()
  if self._current:token() == subject_token then
    if now < (self._next_subject or 0) then
      return false
    end
    self._next_subject = now + NEW_SUBJECT_AFTER
    self:invalidate(subject_token)
  end
  return true
end

-- --- looks, and giving tokens up -----------------------------------------------------------------------------------

-- Runs a fetch that makes no request, beside the renewal, until the deadline at most; its result, or nil.
function TokenSource:_look(deadline, more)
  local order = self:order(deadline:left())
  local result = order and self:_calls():look(order, more, deadline)
  if result and not self.closed then
    self:note_result(result)
  end
  return result
end

--- Takes over what other processes share, token or failure; makes no request to the token endpoint.
---@return boolean? looked
---@return central.auth.Failure? failure
function TokenSource:look()
  local ready, failure = self:_prepare()
  if not ready then
    return nil, failure
  end
  self:_under_way()
  if not self._secret.current and self._secret:is_read_by_fetch() then
    local result = self:_look(deadlines.new(self.clock, self.config.timeout))
    if result and result.outcome == "config" then
      return nil, self:secret_failure(result.option, result.problem)
    end
  end
  self:_look_locally()
  return true
end

--- What is wrong with the remote cache, asking it now; nil where nothing is.
---@return string?
function TokenSource:remote_problem()
  local result = self._cache:has_remote() and self:_look(deadlines.new(self.clock, self.config.timeout))
  return result and result.remote_problem or nil
end

-- The ids of the machine's records that bring a token.
function TokenSource:_ids_of(token)
  if not self._secret:is_function() then
    self:_prepare()
  end
  return self._current:ids_of(token, self._cache:read())
end

-- Removes a token from all records. Whether it was in one, and whether that was allowed (see Cache:forget).
function TokenSource:_remove_records(token, deadline, ids, sent_wall, proven)
  local removed, allowed = self._cache:forget(ids, self._budget, sent_wall, proven)
  if allowed and self._cache:has_remote() then
    local result = self:_look(deadline, { forget = ids })
    local rest = result and self._current:ids_of(token, result.token, result.last)
    if rest and rest[1] then
      removed = true
      self:_look(deadline, { forget = rest })
    end
  end
  return removed, allowed
end

--- Forgets a token, by default the current one, here and in the cache. Whether it was the current one, or a shared one.
---@param token? string
---@param deadline? central.auth.Deadline until which the cache may be waited for
---@return boolean
function TokenSource:invalidate(token, deadline)
  self:_under_way() -- a thread may have brought it by now
  token = token or self._current:token()
  if not token then
    return false
  end
  deadline = deadline or deadlines.new(self.clock, self.config.timeout)
  local ids = self:_ids_of(token)
  local was_held = self._current:invalidate(token) -- first: no other coroutine gets it while this one waits
  local removed = self:_remove_records(token, deadline, ids)
  if was_held or removed then
    self:note("invalidated", {})
  end
  return was_held or removed
end

--- Likewise, of a token that an API refused, if that may cost another token. Whether it may. `proven`: the same call
--- succeeded with it before.
---@param token string
---@param sent_wall number when it was asked for
---@param proven boolean
---@param deadline central.auth.Deadline
---@return boolean
function TokenSource:replace(token, sent_wall, proven, deadline)
  self:_under_way()
  if self._current:token() ~= token or self:_look_locally() then
    return true -- it has been replaced already
  end
  local _, allowed = self:_remove_records(token, deadline, self:_ids_of(token), sent_wall, proven)
  if allowed then
    self._current:invalidate(token)
    self:note("invalidated", {})
  end
  return allowed
end

--- Revokes the token that is held, or else the shared one (RFC 7009), and forgets it here and in the cache. True also
--- where there is none.
---@return boolean? revoked
---@return central.auth.Failure? failure
function TokenSource:revoke()
  if not self.config.revocation_url then
    return nil, errors.failure("config", "to revoke a token the option revocation_url is needed",
      { option = "revocation_url" })
  end
  local deadline = deadlines.new(self.clock, self.config.timeout)
  local looked, failure = self:look()
  local token = self._current:token()
  if not looked then
    return nil, failure
  elseif self._renewal then -- what it brings would outlive the revocation
    self._renewal:cancel()
    self._renewal = nil
  end
  if not token then
    return true
  end
  self:invalidate(token, deadline)
  local assertion
  assertion, failure = self._secret:assertion(deadline:left())
  local _ <close> = assertion
  if failure then
    return nil, failure
  end
  local raw
  raw, failure = self:call(request.revocation(self.config, token, self._secret.current, assertion), deadline)
  return request.revoked(raw, failure, request.cleaner(self.config, self._secret.current, assertion, token))
end

-- --- another secret ------------------------------------------------------------------------------------------------

--- Notes that this client resets its credential until the returned value is closed: a refused secret is expected then.
---@param deadline central.auth.Deadline
---@return any
function TokenSource:begin_reset(deadline)
  local key = {}
  self._resetting[key] = deadline
  return setmetatable(key, { __close = function() self._resetting[key] = nil end })
end

--- Whether a reset of this client's credential is under way.
---@return boolean
function TokenSource:is_resetting()
  for _, deadline in pairs(self._resetting) do
    if not deadline:over() then
      return true
    end
  end
  return false
end

--- Goes on with another secret, here and in the cache; tokens of the former one are dead.
---@param secret userdata
---@param deadline central.auth.Deadline until which the cache may be waited for
function TokenSource:set_secret(secret, deadline)
  local _ <close> = self:begin_reset(deadline)
  self._cache:forget(nil, self._budget)
  if self._cache:has_remote() then
    self:_look(deadline, { forget_all = true })
  end
  self._secret:replace(secret)
  if self.closed then
    return
  end
  self._cache:attach(secret)
  self._current:forget()
  self:_failures():succeeded()
  self.resets = self.resets + 1
end

-- --- for the rest of the client ------------------------------------------------------------------------------------

--- When the token that is held was asked for, by the boot clock and by the wall clock.
---@return number sent_boot
---@return number sent_wall
function TokenSource:sent()
  return self._current.sent_boot or 0, self._current.sent_wall or 0
end

--- Makes a request over the client's connections.
---@param call table
---@param deadline central.auth.Deadline
---@return central.auth.RawReply? raw
---@return central.auth.Failure? failure
function TokenSource:call(call, deadline)
  return self:_calls():call(call, deadline)
end

--- Lets so many seconds pass, fewer where the client is closed.
---@param seconds number
function TokenSource:pause(seconds)
  self:_waiting():pause(seconds)
end

--- What `status` shows.
---@return table
function TokenSource:snapshot()
  local shown = self._current:snapshot()
  shown.renewals, shown.backoff, shown.skew = self._renewals, self._backoff, self._skew
  shown.cache = self._cache:where()
  return shown
end

--- What a client of a tenant is made of, with this one as `parent`.
---@return table
function TokenSource:tenant_parts()
  local own = self._parts
  return { parent = self, clock = self.clock, sleep = own.sleep, random = own.random, jitter = own.jitter,
    folder_store = own.folder_store, budget = own.budget }
end

--- Ends all that is under way, waiting calls and tenants included, with `closed`. Safe to call again.
function TokenSource:close()
  if self.closed then
    return
  end
  self.closed = true
  self._current:forget()
  for child in pairs(self._children) do
    child:close()
  end
  if self._renewal then
    self._renewal:cancel(errors.pack(errors.closed()))
    self._renewal = nil
  end
  if self._waiter then
    self._waiter:close()
  end
  if not self._parent then
    if self._pool then
      self._pool:close()
    end
    if self._transfers then
      self._transfers:close()
    end
    self._secret:close()
    client_secret.wipe(self.config.cache_secret)
  end
  self._cache:close()
end

token_source.token, token_source.refresh = TokenSource.token, TokenSource.refresh
token_source.invalidate, token_source.revoke = TokenSource.invalidate, TokenSource.revoke

return token_source

-- Makes an API call with a valid token. Retries with another token after a 401, and later if the server is busy. Sends
-- a token only to the host of base_url or of GreenLake's API, as the call says, and to those in `hosts`.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.api.call"
local core = require "central.auth.core"
local deadlines = require "central.auth.deadline"
local errors = require "central.auth.errors"
local response = require "central.auth.api.response"
local response_error = require "central.auth.token.response_error"
local unauthorized = require "central.auth.api.unauthorized"
local util = require "central.auth.util"

local proxy = util.lazy "central.auth.config.proxy"

local request = {}

local FIRST_PAUSE = 0.5 -- seconds of back-off; doubles, with full jitter

-- --- attempts ------------------------------------------------------------------------------------------------------

-- Returns whether a retry is safe: the method is idempotent, or the server certainly did not act.
local function is_repeatable(call, raw, code)
  return not call.request.is_once or code == "connect" or code == "resolve" or (raw and raw.status == 429)
end

local ACTED_CODES = { timeout = true, network = true, reply = true, closed = true }

-- Returns whether the server may have acted on this attempt: the status does not exclude it, or the reply was lost.
local function may_have_acted(raw, failure)
  local status = raw and raw.status
  if status then
    return status < 300 or status >= 500 and status ~= 501 and status ~= 503
  end
  return ACTED_CODES[failure.code] and (failure.may_be_sent or failure.detail.reached == "server") or false
end

-- Returns the seconds before the retry; nil without a retry.
local function retry_delay(source, call, raw, failure, retry_after)
  local code, detail = failure and failure.code or "http", failure and failure.detail or { status = raw.status }
  if call.attempts >= call.attempts_max or not is_repeatable(call, raw, failure and code)
    or not response_error.transient(code, detail) then
    return nil
  end
  return (retry_after or 0) + source.random() * util.backoff(FIRST_PAUSE, call.attempts - 1)
end

-- A retried DELETE gets 404 or 410 if the previous attempt deleted the resource.
local function is_deleted(call, raw)
  return call.request.method == "DELETE" and (raw.status == 404 or raw.status == 410)
    and (call.may_have_acted or raw.sent_twice)
end

-- Makes text from the server fit to print.
local function cleaner(source, call)
  return function(text)
    return errors.printable(core.redact(text, call.token, source.client_secret.current))
  end
end

-- Returns whether the body of a reply that was not decoded should have been JSON, or is encoded.
local function is_unreadable(prepared, reply)
  return not prepared.raw and (response.is_json(reply)
    or prepared.wants_identity and reply.body ~= "" and response_error.has_encoding(reply))
end

-- Returns the result of a call whose reply is no failure; nil and the failure if it can't be read.
local function finish(source, call, reply)
  if reply.json == nil and is_unreadable(call.request, reply) then
    call.may_have_acted = true
    return nil, response.unreadable(call, reply, cleaner(source, call))
  end
  return reply
end

-- Returns where the base of a call's path was set, for messages; empty for a URL, and for the default.
local function base_source(config, base)
  local option = base == "base_url" and config.from.cluster and "cluster" or base
  return option and config.from[option] and (", %s from %s"):format(option, config.from[option]) or ""
end

-- After an attempt without success: returns the seconds before the retry; or nil and the result of the call; or nil,
-- nil and the failure.
local function after_failure(source, call, raw, failure)
  local prepared = call.request
  local reply = raw and response.new(raw, not prepared.raw)
  local retry_after = reply and response.retry_after(reply)
  local delay = retry_delay(source, call, reply, failure, retry_after)
  if delay and delay < call:left() then
    source:note("retry", { code = failure and failure.code or "http", message = ("%s: %s"):format(calls.name(prepared),
      failure and cleaner(source, call)(failure.message) or ("HTTP status %d"):format(reply.status)) })
    return delay
  elseif reply and (prepared.raw or is_deleted(call, reply)) then
    return nil, finish(source, call, reply)
  elseif reply then
    return nil, nil, response.failure(call, reply, cleaner(source, call), retry_after)
  elseif failure.code == "closed" then
    return nil, nil, errors.failure("closed", ("%s: %s"):format(calls.name(prepared), failure.message))
  end
  local config, address = source.config, prepared.address
  return nil, nil, errors.failure(failure.code, ("%s: %s (asking %s%s%s%s)"):format(calls.name(prepared),
    cleaner(source, call)(failure.message), address.host, base_source(config, address.base),
    proxy.source(config, prepared.url), response_error.trust_advice(config, failure.code)), failure.detail)
end

-- Waits for a token. Returns nil and the failure, if there is none in time.
local function wait_for_token(source, call)
  local token, failure = source:token(nil, call)
  local name = calls.name(call.request)
  if not token then
    local prefix = call.refused_at and name .. ": the API refused the token, and getting another failed: " or ""
    return nil, errors.failure(failure.code, prefix .. failure.message, failure.detail)
  elseif call:over() then
    return nil, errors.failure("timeout", name .. ": no time is left for the request after the wait for a token")
  end
  return token
end

-- Makes one attempt with a token. Returns what `after_failure` does.
local function attempt(source, call, purpose)
  local raw, failure
  local token = source.tracker:fresh()
  if not token then
    token, failure = wait_for_token(source, call)
    if not token then
      return nil, nil, failure
    end
  end
  local prepared, attempts = call.request, call.attempts + 1
  call.token, call.attempts = token, attempts
  call.sent_boot, call.seen_resets = source.current.sent_boot or 0, source.resets.count
  if prepared.is_once or attempts >= call.attempts_max then
    call.no_repeat = true -- the transfer repeats it by itself, too
  end
  do -- a reset is under way during the request alone, not while a 401 is handled
    local _ <close> = purpose == "reset" and source.resets:begin(call) or nil
    raw, failure = source.pool:call(prepared, call, source, purpose == "early")
  end
  local status = raw and raw.status or 0
  if status >= 200 and status < 300 or status == 304 then
    unauthorized.succeeded(source, call)
    return nil, finish(source, call, response.new(raw, not prepared.raw))
  elseif raw and raw.sent_twice then
    call.attempts = attempts + 1
  end
  call.may_have_acted = call.may_have_acted or may_have_acted(raw, failure)
  if status == 401 and unauthorized.replace(source, call, token) then
    call.attempts_max = call.attempts_max + 1
    return 0
  end
  return after_failure(source, call, raw, failure)
end

--- Makes a call.
---@param source central.auth.TokenSource
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
---@param purpose? "reset" | "early" it resets this client's credential; it yields once it is sent, and is not retried
---@return central.auth.Reply? reply
---@return central.auth.Failure? failure whose `may_have_acted` says whether the server may have acted
function request.run(source, method, target, options, purpose)
  local prepared, failure = calls.prepare(source.config, method, target, options)
  if not prepared then
    return nil, source.closed and errors.closed() or failure
  end
  local call = deadlines.new(source.clock, prepared.call_timeout, nil, {
    request = prepared, attempts = 0, attempts_max = prepared.attempts_max, -- and of the last attempt:
    token = "", sent_boot = 0, seen_resets = 0,
  })
  local delay, reply
  repeat
    if delay then
      source.waiter:pause(delay)
    end
    delay, reply, failure = attempt(source, call, purpose)
  until not delay or purpose == "early"
  if failure then
    failure.may_have_acted = call.may_have_acted
  end
  return reply, failure
end

return request

-- Makes an API call with a valid token. Retries with another token after a 401, and later if the server is busy. Sends
-- a token only to the host of base_url or of GreenLake's API, as the call says, and to those in `hosts`.
-- SPDX-License-Identifier: MIT

local response = require "central.auth.api.response"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local json_body = require "central.auth.api.json_body"
local util = require "central.auth.util"
local response_error = require "central.auth.token.response_error"
local targets = require "central.auth.api.target"
local unauthorized = require "central.auth.api.unauthorized"
local url = require "central.auth.url"

local proxy = util.lazy "central.auth.config.proxy"

---@class central.auth.RequestOptions
---@field app? "central" | "greenlake" whose API a path belongs to; default "central"
---@field query? table<string, any> strings, numbers, booleans; a list repeats the name
---@field json? any the body, encoded by lua-cjson
---@field body? string the body, sent unchanged
---@field content_type? string the type of `body`, default application/octet-stream; or of `json`
---@field headers? table<string, string | number> further header fields; not Authorization or Host
---@field timeout? number seconds for the whole call: token, attempts and pauses
---@field retry? false | integer the number of attempts, 1 to 10, default 4; false: one. The one retry with another
--- token after a 401 does not count
---@field try_timeout? number seconds for each attempt, at most `timeout`
---@field raw? boolean return the reply for any status, and do not decode its body

local request = {}

local ATTEMPTS, ATTEMPTS_MAX = 4, 10       -- by default; as an option
local FIRST_PAUSE = 0.5                    -- seconds of back-off; doubles, with full jitter
local IDENTITY = "Accept-Encoding: identity"
local USUAL_LINES = "Accept: application/json\n" .. IDENTITY -- of a call without a body
local LINES_MAX = 61                       -- header fields of a call
local BODY_MAX = 16 * 1024 * 1024          -- bytes of a request's body, and of a reply's
local ADDRESSES_MAX = 256                  -- that are remembered
local NONE = {}

-- Idempotent methods: the call may be retried even if the server has acted on it (RFC 9110, 9.2.2).
local IDEMPOTENT = {
  GET = true, HEAD = true, OPTIONS = true, PUT = true, DELETE = true, POST = false, PATCH = false,
}
local CARRIES_BODY = {
  GET = false, HEAD = false, OPTIONS = false, DELETE = false, POST = true, PUT = true, PATCH = true,
}

--- The options of a call, and their types.
request.options = {
  app = "string", query = "table", json = "any", body = "string", content_type = "string", headers = "table",
  timeout = "number", retry = "any", try_timeout = "number", raw = "boolean",
}

-- For each app the option with the base of its paths.
local BASES = { central = "base_url", greenlake = "greenlake_url" }

-- Header fields that this module or libcurl sets.
local RESERVED = {
  authorization = true, host = true, connection = true, ["content-length"] = true, ["content-type"] = true,
  ["transfer-encoding"] = true, ["user-agent"] = true, expect = true, te = true, upgrade = true,
}

--- Raises if the arguments have wrong types or names.
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
function request.check(method, target, options)
  if IDEMPOTENT[method] == nil and (type(method) ~= "string" or IDEMPOTENT[method:upper()] == nil) then
    errors.argument_error(("the method %s is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"):format(
      errors.printable(tostring(method))))
  elseif type(target) ~= "string" then
    errors.argument_error("target: string expected (a path or a URL), got " .. type(target))
  end
  if options == nil then
    return
  end
  errors.check_options(options, request.options)
  if options.retry and type(options.retry) ~= "number" then
    errors.argument_error("option retry: a number of attempts or false expected, got " .. type(options.retry))
  elseif options.app and not BASES[options.app] then
    errors.argument_error(('app: "central" or "greenlake" expected, got %q'):format(errors.printable(options.app)))
  end
end

-- --- the request ----------------------------------------------------------------------------------------------------

-- Returns the body and its content type; false without a body; nil and the problem if they are not valid.
local function body_of(method, options)
  if options.json ~= nil and options.body then
    return nil, "json and body conflict; set only one of them"
  elseif options.content_type and not options.body and options.json == nil then
    return nil, "content_type is set, but there is no body"
  end
  local text, problem, content_type = options.body, nil, options.content_type
  if options.json ~= nil then
    text, problem = json_body.encode(options.json)
    content_type = content_type or "application/json"
  end
  content_type = content_type or "application/octet-stream"
  if problem then
    return nil, "json: " .. problem
  elseif text and #text > BODY_MAX then
    return nil, ("the body has %d bytes; the maximum is %d"):format(#text, BODY_MAX)
  end
  return text or (CARRIES_BODY[method] and ""), text and content_type or ""
end

--- Returns why a call cannot have this header field; nil if it can.
---@param name any
---@param value any
---@return string? problem
function request.header_problem(name, value)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    return ("%q is not the name of a header field"):format(errors.printable(tostring(name)))
  elseif RESERVED[name:lower()] then
    return ("%s is set by central-auth and cannot be changed"):format(name)
  elseif type(value) ~= "string" and type(value) ~= "number" then
    return ("%s: string expected, got %s"):format(name, type(value))
  elseif type(value) == "string" and value:find("[%c\x7F]") then
    return ("%s: the value contains a control character"):format(name)
  end
end

-- Returns the lines of the header, and whether they ask for a body without encoding; or nil and the problem.
local function lines_of(options, content_type, body)
  if not options.headers and not body then
    return USUAL_LINES, true
  end
  local lines, set = { "Content-Type:" .. (content_type ~= "" and " " .. content_type or "") }, {}
  for name, value in pairs(options.headers or {}) do
    local problem = request.header_problem(name, value)
    if problem then
      return nil, "headers: " .. problem
    end
    value = targets.text(value)
    lines[#lines + 1] = name .. (value == "" and ";" or ": " .. value) -- libcurl's syntax for an empty field
    set[name:lower()] = true
  end
  lines[#lines + 1] = not set.accept and "Accept: application/json" or nil
  lines[#lines + 1] = not set["accept-encoding"] and IDENTITY or nil
  if #lines > LINES_MAX then
    return nil, ("headers: %d fields; the maximum is %d"):format(#lines, LINES_MAX)
  end
  return table.concat(lines, "\n"), lines[#lines] == IDENTITY
end

-- Returns the call's name in messages.
local function name_of(method, target)
  local shown = target:match("^[^?#]*"):gsub("//[^/]*@", "//…@") -- without a password
  return ("%s %s"):format(method, errors.printable(shown))
end

-- What targets lead to, by config, option with the base, and target: a program has few, and calls each many times.
local known = setmetatable({}, { __mode = "k" })

local function addresses_of(config, base)
  local by_base = known[config] or {}
  known[config] = by_base
  by_base[base] = by_base[base] or { count = 0, of = {} }
  return by_base[base]
end

-- Returns the address of a target: its URL, origin and host, and the kinds of calls to it; or nil and the problem.
local function address_of(config, target, base)
  local addresses = addresses_of(config, base)
  local address = addresses.of[target]
  if address then
    return address
  end
  local full, problem = targets.resolve(target, config[base], config.hosts, base)
  if not full then
    return nil, problem
  elseif addresses.count == ADDRESSES_MAX then
    addresses.count, addresses.of = 0, {}
  end
  local origin, host = url.split(full)
  address = { url = full, origin = origin, host = host, base = target:find "^/" and base, kinds = {} }
  addresses.count, addresses.of[target] = addresses.count + 1, address
  return address
end

-- Returns the number of attempts, the time-out of the call, and that of an attempt or nil; or nil and the problem.
local function limits_of(config, options)
  local attempts = options.retry or options.retry == nil and ATTEMPTS or 1
  local timeout, try_timeout = options.timeout or config.timeout, options.try_timeout
  if not (timeout > 0 and timeout <= 3600) then
    return nil, "timeout: a number of seconds above 0 and up to 3600 expected"
  elseif not (attempts >= 1 and attempts <= ATTEMPTS_MAX and attempts % 1 == 0) then
    return nil, ("retry: false or a whole number from 1 to %d expected"):format(ATTEMPTS_MAX)
  elseif try_timeout and not (try_timeout > 0 and try_timeout <= timeout) then
    return nil, ("try_timeout: a number of seconds above 0 and up to the call's timeout, %g, expected"):format(timeout)
  end
  return attempts, timeout, try_timeout
end

-- Returns what calls with these arguments have in common, as the metatable of each; or nil and the problem.
local function new_kind(config, method, target, options, address)
  local query, body, content_type, lines, wants_identity, problem = ""
  if options.query then
    query, problem = targets.query(options.query)
  end
  if not problem then
    body, content_type = body_of(method, options)
    problem = body == nil and content_type or nil
  end
  if not problem and content_type:find("[%c\x7F]") then
    problem = "content_type: the value contains a control character"
  elseif not problem then
    lines, wants_identity = lines_of(options, content_type, body)
    problem = not lines and wants_identity or nil
  end
  local attempts_max, timeout, try_timeout = limits_of(config, options)
  problem = problem or not attempts_max and timeout
  if problem then
    return nil, problem
  end
  local kind = {
    name = name_of(method, target), method = method, url = targets.extend(address.url, query), origin = address.origin,
    host = address.host, base = address.base, headers = lines, body = body or nil, body_max = BODY_MAX,
    is_once = not IDEMPOTENT[method], raw = options.raw, attempts_max = attempts_max, call_timeout = timeout,
    try_timeout = try_timeout, wants_identity = wants_identity,
  }
  kind.__index = kind
  return kind
end

-- Returns the call as a table, which the transfer reads, too; or nil and the problem. Most calls have no options: what
-- they have in common is worked out once for each target.
local function new_call(config, method, target, options)
  local address, problem = address_of(config, target, BASES[options.app or "central"])
  local kind = address and options == NONE and address.kinds[method]
  if address and not kind then
    kind, problem = new_kind(config, method, target, options, address)
  end
  if not kind then
    return nil, problem
  elseif options == NONE then
    address.kinds[method] = kind
  end
  return setmetatable({
    -- what an attempt adds, so that the table has room for it from the start:
    attempts = 0, token = nil, sent_boot = nil, sent_wall = nil, seen_resets = nil, no_repeat = nil,
    connection = nil, timeout = nil, connect_timeout = nil,
  }, kind)
end

-- --- attempts ------------------------------------------------------------------------------------------------------

local function send(source, call, deadline)
  call.attempts = call.attempts + 1
  call.no_repeat = call.is_once or call.attempts >= call.attempts_max -- the transfer repeats it by itself, too
  local _ <close> = call.resets and source.resets:begin(deadline) or nil
  local raw, failure = source.pool:call(call, deadline, source)
  call.may_be_sent = failure and (failure.may_be_sent or failure.detail.reached == "server")
  return raw, failure
end

-- Returns whether a retry is safe: the method is idempotent, or the server certainly did not act.
local function is_repeatable(call, raw, code)
  return IDEMPOTENT[call.method] or code == "connect" or code == "resolve" or (raw and raw.status == 429)
end

local ACTED_CODES = { timeout = true, network = true, reply = true, closed = true }

-- Returns whether the server may have acted on this attempt: the status does not exclude it, or the reply was lost.
local function may_have_acted(call, raw, code)
  local status = raw and raw.status
  if status then
    return status < 300 or status >= 500 and status ~= 501 and status ~= 503
  end
  return call.may_be_sent and ACTED_CODES[code] or false
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

local function is_success(raw)
  return raw.status >= 200 and raw.status < 300 or raw.status == 304
end

-- A retried DELETE gets 404 or 410 if the previous attempt deleted the resource.
local function is_deleted(call, raw)
  return call.method == "DELETE" and (raw.status == 404 or raw.status == 410)
    and (call.may_have_acted or raw.sent_twice)
end

-- Makes text from the server fit to print.
local function cleaner(source, call)
  return function(text)
    return errors.printable(core.redact(text, call.token, source.client_secret.current))
  end
end

-- Returns the results of a call that ends with this reply.
local function finish(source, call, raw, reply, retry_after)
  if not is_success(raw) and not is_deleted(call, raw) and not call.raw then
    return response.failure(call, raw, reply, cleaner(source, call), retry_after)
  elseif not call.raw and reply.json == nil and (response.is_json(reply)
    or call.wants_identity and reply.body ~= "" and response_error.has_encoding(raw)) then
    return response.unreadable(call, raw, reply, cleaner(source, call))
  end
  return reply
end

-- Returns where the base of a call's path was set, for messages; empty for a URL, and for the default.
local function base_source(config, call)
  local option = call.base == "base_url" and config.from.cluster and "cluster" or call.base
  return option and config.from[option] and (", %s from %s"):format(option, config.from[option]) or ""
end

-- After an attempt without success: returns the seconds before the retry; or nil and the results of the call.
local function after_failure(source, call, raw, failure, deadline)
  local reply = raw and response.new(raw, not call.raw)
  local retry_after = raw and response.retry_after(raw, reply)
  local delay = retry_delay(source, call, raw, failure, retry_after)
  if delay and delay < deadline:left() then
    source:note("retry", { code = failure and failure.code or "http", message = ("%s: %s"):format(call.name,
      failure and cleaner(source, call)(failure.message) or ("HTTP status %d"):format(raw.status)) })
    return delay
  elseif raw then
    return nil, finish(source, call, raw, reply, retry_after)
  end
  local config = source.config
  return nil, errors.fail(failure.code, ("%s: %s (asking %s%s%s%s)"):format(call.name,
    cleaner(source, call)(failure.message), call.host, base_source(config, call), proxy.source(config, call.url),
    response_error.trust_advice(config, failure.code)), failure.detail)
end

-- Makes one attempt with a token. Returns the seconds before the retry; or nil and the results of the call.
local function attempt(source, call, deadline)
  local token, failure = source:token(nil, deadline)
  if not token then
    local prefix = call.refused_at and call.name .. ": the API refused the token, and getting another failed: " or ""
    return nil, nil, prefix .. failure.message, failure.code, failure.detail
  elseif deadline:over() then
    return nil, errors.fail("timeout", call.name .. ": no time is left for the request after the wait for a token")
  end
  call.token = token
  call.sent_boot, call.sent_wall = source.current.sent_boot or 0, source.current.sent_wall or 0
  call.seen_resets = source.resets.count
  local raw
  raw, failure = send(source, call, deadline)
  call.attempts = call.attempts + (raw and raw.sent_twice and 1 or 0)
  if raw and is_success(raw) then
    call.may_have_acted = true
    unauthorized.succeeded(source, call)
    return nil, finish(source, call, raw, response.new(raw, not call.raw))
  end
  call.may_have_acted = call.may_have_acted or may_have_acted(call, raw, failure and failure.code)
  if raw and raw.status == 401 and unauthorized.replace(source, call, token, deadline) then
    call.attempts_max = call.attempts_max + 1
    return 0
  end
  return after_failure(source, call, raw, failure, deadline)
end

-- Returns the results of a call after an attempt; nothing, after a pause, where a retry is to follow.
local function conclude(source, call, context, delay, ...)
  if context then
    context.may_have_acted = call.may_have_acted
  end
  if not delay or call.is_early then
    return ...
  end
  source.waiter:pause(delay)
end

--- Makes a call.
---@param source central.auth.TokenSource
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
---@param context? { resets?: boolean, is_early?: boolean, may_have_acted?: boolean } whether the call resets this
---client's credential; whether it yields once it is sent, and is not retried; set at the end: whether the server may
---have acted although the call failed
---@return central.auth.Reply? reply
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function request.run(source, method, target, options, context)
  method = IDEMPOTENT[method] ~= nil and method or method:upper()
  local call, problem = new_call(source.config, method, target, options or NONE)
  if not call then
    return errors.fail("config", ("%s: %s"):format(name_of(method, target), problem))
  elseif context then
    call.resets, call.is_early = context.resets, context.is_early
  end
  local deadline = source:deadline(call.call_timeout)
  local reply, message, code, detail
  repeat
    if source.closed then
      return errors.closed(call.name)
    end
    reply, message, code, detail = conclude(source, call, context, attempt(source, call, deadline))
  until reply or message or call.is_early
  if reply then
    return reply
  end
  return nil, message, code, detail
end

return request

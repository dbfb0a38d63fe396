-- One authorized API call: with a valid token, again with another after a 401, and later where the server is busy. A
-- token goes to the base URL's host and to those that `hosts` names, never elsewhere.
-- SPDX-License-Identifier: MIT

local api_reply = require "central.auth.api.response"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local lazy = require "central.auth.lazy"
local refusal = require "central.auth.token.refusal"
local unauthorized = require "central.auth.api.unauthorized"
local url = require "central.auth.url"

local proxy = lazy "central.auth.config.proxy"

---@class central.auth.RequestOptions
---@field query? table<string, any> strings, numbers, booleans; a list repeats the name
---@field json? any the body, encoded by lua-cjson
---@field body? string the body as it is
---@field content_type? string of `body`; default application/octet-stream
---@field headers? table<string, string | number>
---@field timeout? number seconds, over all: token, tries, pauses
---@field raw? boolean hand the reply out whatever its status, and do not decode it

local request = {}

local TRIES = 4
local FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60 -- seconds of back-off, with full jitter
local IDENTITY = "Accept-Encoding: identity"
local LINES_MAX = 61                        -- header fields of a call
local BODY_MAX = 16 * 1024 * 1024          -- bytes, either way

-- Whether a method may be repeated although the server may have acted (RFC 9110, 9.2.2).
local METHODS = {
  GET = true, HEAD = true, OPTIONS = true, PUT = true, DELETE = true, POST = false, PATCH = false,
}
local CARRIES_BODY = {
  GET = false, HEAD = false, OPTIONS = false, DELETE = false, POST = true, PUT = true, PATCH = true,
}

--- The options of a call, and their types.
request.options = {
  query = "table", json = "any", body = "string", content_type = "string", headers = "table", timeout = "number",
  raw = "boolean",
}

-- Header fields that are set by what they say: the token, the connection, the length.
local RESERVED = {
  authorization = true, host = true, connection = true, ["content-length"] = true, ["content-type"] = true,
  ["transfer-encoding"] = true, ["user-agent"] = true, expect = true, te = true, upgrade = true,
}

--- Raises mistakes of the caller: of types and names.
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
function request.check(method, target, options)
  if type(method) ~= "string" or METHODS[method:upper()] == nil then
    errors.mistake(("the method %s is none of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"):format(
      errors.printable(tostring(method))))
  elseif type(target) ~= "string" then
    errors.mistake("a path or a URL, a string, expected, got " .. type(target))
  end
  errors.check_options(options, request.options)
end

-- --- the call as it is sent ---------------------------------------------------------------------------------------

local function body_of(method, options)
  if options.json ~= nil and options.body then
    return nil, "json and body are two ways to give the same thing"
  elseif options.content_type and not options.body and options.json == nil then
    return nil, "content_type describes a body, and there is none"
  end
  local text, problem, kind = options.body, nil, options.content_type
  if options.json ~= nil then
    text, problem = json.encode(options.json)
    kind = kind or "application/json"
  end
  kind = kind or "application/octet-stream"
  if problem then
    return nil, "json: " .. problem
  elseif text and #text > BODY_MAX then
    return nil, ("the body has %d bytes; %d may be sent"):format(#text, BODY_MAX)
  end
  return text or (CARRIES_BODY[method] and ""), text and kind or "" -- false: none at all
end

local function header_problem(name, value)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    return ("headers: %q is no name of a header field"):format(errors.printable(tostring(name)))
  elseif RESERVED[name:lower()] then
    return ("headers: %s is not for the caller to set"):format(name)
  elseif type(value) ~= "string" and type(value) ~= "number" then
    return ("headers: %s: a string is needed, not a %s"):format(name, type(value))
  elseif type(value) == "string" and value:find("[%c\x7F]") then
    return ("headers: %s: it holds a control character"):format(name)
  end
end

local function lines_of(options, content_type)
  local lines, own = { "Content-Type:" .. (content_type ~= "" and " " .. content_type or "") }, {}
  for name, value in pairs(options.headers or {}) do
    local problem = header_problem(name, value)
    if problem then
      return nil, problem
    end
    value = url.text(value)
    lines[#lines + 1] = name .. (value == "" and ";" or ": " .. value) -- libcurl's way to say that it is empty
    own[name:lower()] = true
  end
  lines[#lines + 1] = not own.accept and "Accept: application/json" or nil
  lines[#lines + 1] = not own["accept-encoding"] and IDENTITY or nil
  if #lines > LINES_MAX then
    return nil, ("headers: %d fields; %d may be sent"):format(#lines, LINES_MAX)
  end
  return lines
end

-- The call, or nil and what is wrong with it.
local function describe(config, method, target, options, base)
  local address, problem = url.resolve(target, base or config.base_url, config.hosts)
  local query, body, kind, lines
  if address then
    query, problem = url.query(options.query or {})
  end
  if query then
    body, kind = body_of(method, options)
    problem = body == nil and kind or nil
  end
  if not problem and kind:find("[%c\x7F]") then
    problem = "content_type: it holds a control character"
  elseif not problem then
    lines, problem = lines_of(options, kind)
  end
  local timeout = options.timeout or config.timeout
  if not problem and not (timeout > 0 and timeout <= 3600) then
    problem = "timeout: a number of seconds above 0 and up to 3600 is needed"
  end
  if problem then
    return nil, problem
  end
  local origin, host = url.split(address)
  return {
    method = method, url = url.extend(address, query), origin = origin, host = host, lines = lines, body = body,
    timeout = timeout, raw = options.raw, tries = 0, wants_identity = lines[#lines] == IDENTITY,
  }
end

-- --- tries ---------------------------------------------------------------------------------------------------------

local function send(renewal, call, token, deadline)
  call.tries = call.tries + 1
  renewal.resetting[call] = call.resets and deadline or nil
  local _ <close> = setmetatable({}, { __close = function() renewal.resetting[call] = nil end })
  return renewal.host:run(function(alarm)
    call.may_be_sent = true -- until a failure says how far the request came: the client may be closed before that
    local raw, message, code, detail = renewal.pool:exchange({
      url = call.url, method = call.method, headers = call.lines, body = call.body and core.secret(call.body) or nil,
      authorization = core.secret("Authorization: Bearer " .. token), body_max = BODY_MAX, http2 = true,
      once = not METHODS[call.method],
    }, deadline, { alarm = alarm })
    call.may_be_sent = raw ~= nil or detail.reached == "server"
    return raw, message, code, detail
  end, deadline)
end

-- Whether the server surely did not act, or acting twice does not matter.
local function is_repeatable(call, raw, code)
  return METHODS[call.method] or code == "connect" or code == "resolve" or (raw and raw.status == 429)
end

local ACTED_CODES = { timeout = true, network = true, reply = true, closed = true }

-- Whether the server may have acted on this try: it says so, its reply was lost, or is one of those by which servers
-- and the proxies before them say that something broke on the way.
local function may_have_acted(call, raw, code)
  local status = raw and raw.status
  if status then
    return status < 300 or status >= 500 and status ~= 501 and status ~= 503
  end
  return call.may_be_sent and ACTED_CODES[code] or false
end

-- Seconds until the call may be tried again; nil where another try makes no sense.
local function pause(renewal, call, raw, code, detail, said)
  if call.tries >= TRIES or not is_repeatable(call, raw, code)
    or not refusal.transient(code or "http", detail or { status = raw.status }) then
    return nil
  end
  return (said or 0) + renewal.random() * math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ (call.tries - 1))
end

local function is_success(raw)
  return raw.status >= 200 and raw.status < 300 or raw.status == 304
end

-- A DELETE that is repeated finds nothing any more where the try before it was the one that deleted.
local function is_deleted(call, raw)
  return call.method == "DELETE" and (raw.status == 404 or raw.status == 410)
    and (call.may_have_acted or raw.sent_twice)
end

local function conclude(call, raw, reply, clean, said)
  if not is_success(raw) and not is_deleted(call, raw) and not call.raw then
    return api_reply.failure(call, raw, reply, clean, said)
  elseif not call.raw and reply.json == nil and (api_reply.claims_json(reply)
    or call.wants_identity and reply.body ~= "" and refusal.encoding(raw, clean) ~= "") then
    return api_reply.unreadable(call, raw, reply, clean)
  end
  return reply
end

-- One try, with a token. Its end: the results of the call; or nil, and how many seconds to wait before another.
local function try(renewal, call, deadline)
  local token, message, code, detail = renewal:token(nil, deadline)
  if not token then
    local after = call.refused_at and call.name .. ": the API refused the token, and there is no other: " or ""
    return true, nil, after .. message, code, detail
  end
  call.sent_boot, call.seen_resets = renewal.sent_boot or 0, renewal.resets
  local function clean(text)
    return errors.printable(core.redact(text, token, renewal.credential.secret))
  end
  local raw
  raw, message, code, detail = send(renewal, call, token, deadline)
  call.tries = call.tries + (raw and raw.sent_twice and 1 or 0)
  call.may_have_acted = call.may_have_acted or may_have_acted(call, raw, code)
  if raw and raw.status == 401 and unauthorized.replace(renewal, call, token, deadline) then
    return nil, 0
  elseif raw and is_success(raw) then
    unauthorized.succeeded(renewal, call)
  end
  local reply = raw and api_reply.of(raw, not call.raw)
  local said = raw and api_reply.retry_after(raw, reply)
  local wait = pause(renewal, call, raw, code, detail, said)
  if wait and renewal.clock:boot() + wait < deadline then
    renewal:note("retry", { code = code or "http", message = ("%s: %s"):format(call.name,
      code and clean(message) or ("HTTP status %d"):format(raw.status)) })
    return nil, wait
  elseif raw then
    return true, conclude(call, raw, reply, clean, said)
  end
  return true, errors.fail(code, ("%s: %s (asking %s%s)"):format(call.name, clean(message), call.host,
    proxy.source(renewal.config, call.url)), detail)
end

--- Makes a call.
---@param renewal central.auth.Renewal
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
---@param means? { base?: string, resets?: boolean, may_have_acted?: boolean } in place of base_url; whether it resets
---this client's credential; set at the end: whether the server may have acted, though the call failed
---@return central.auth.Reply? reply
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function request.run(renewal, method, target, options, means)
  method = method:upper()
  local shown = target:match("^[^?#]*"):gsub("//[^/]*@", "//…@") -- there may be a password before it
  local name = ("%s %s"):format(method, errors.printable(shown))
  local call, problem = describe(renewal.config, method, target, options or {}, means and means.base)
  if not call then
    return errors.fail("config", ("%s: %s"):format(name, problem))
  end
  call.name, call.resets = name, means and means.resets
  local deadline = renewal.clock:boot() + call.timeout
  while true do
    if renewal.closed then
      return errors.closed(name)
    end
    local ended = table.pack(try(renewal, call, deadline))
    if means then
      means.may_have_acted = call.may_have_acted
    end
    if ended[1] then
      return table.unpack(ended, 2, ended.n)
    end
    renewal.host:pause(ended[2])
  end
end

return request

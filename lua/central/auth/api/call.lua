-- What is sent for an API call, as its arguments say. Calls with the same arguments share it.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local json_body = require "central.auth.api.json_body"
local targets = require "central.auth.api.target"
local url = require "central.auth.url"

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

local call = {}

local ATTEMPTS, ATTEMPTS_MAX = 4, 10       -- by default; as an option
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

-- For each app the option with the base of its paths.
local BASES = { central = "base_url", greenlake = "greenlake_url" }

-- Header fields that this module or libcurl sets.
local RESERVED = {
  authorization = true, host = true, connection = true, ["content-length"] = true, ["content-type"] = true,
  ["transfer-encoding"] = true, ["user-agent"] = true, expect = true, te = true, upgrade = true,
}

--- The options of a call, and their types.
call.options = {
  app = "string", query = "table", json = "any", body = "string", content_type = "string", headers = "table",
  timeout = "number", retry = "any", try_timeout = "number", raw = "boolean",
}

--- Raises if the arguments have wrong types or names.
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
function call.check(method, target, options)
  if IDEMPOTENT[method] == nil and (type(method) ~= "string" or IDEMPOTENT[method:upper()] == nil) then
    errors.argument_error(("the method %s is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"):format(
      errors.printable(tostring(method))))
  elseif type(target) ~= "string" then
    errors.argument_error("target: string expected (a path or a URL), got " .. type(target))
  end
  if options == nil then
    return
  end
  errors.check_options(options, call.options)
  if options.retry and type(options.retry) ~= "number" then
    errors.argument_error("option retry: a number of attempts or false expected, got " .. type(options.retry))
  elseif options.app and not BASES[options.app] then
    errors.argument_error(('app: "central" or "greenlake" expected, got %q'):format(errors.printable(options.app)))
  end
end

-- Ends `prepare` with this problem.
local function refuse(problem, ...)
  errors.raise(problem:format(...), "config")
end

-- Returns the body and its content type; nothing without a body.
local function body_of(method, options)
  local text, content_type, problem = options.body, options.content_type, nil
  if options.json ~= nil and text then
    refuse "json and body conflict; set only one of them"
  elseif options.json ~= nil then
    text, problem = json_body.encode(options.json)
    content_type = content_type or "application/json"
  elseif content_type and not text then
    refuse "content_type is set, but there is no body"
  end
  if problem then
    refuse("json: %s", problem)
  elseif text and #text > BODY_MAX then
    refuse("the body has %d bytes; the maximum is %d", #text, BODY_MAX)
  elseif (content_type or ""):find("[%c\x7F]") then
    refuse "content_type: the value contains a control character"
  elseif text then
    return text, content_type or "application/octet-stream"
  end
  return CARRIES_BODY[method] and "" or nil, ""
end

--- Returns why a call cannot have this header field; nil if it can.
---@param name any
---@param value any
---@return string? problem
function call.header_problem(name, value)
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

-- Returns the lines of the header, and whether they ask for a body without encoding.
local function lines_of(options, content_type, body)
  if not options.headers and not body then
    return USUAL_LINES, true
  end
  local lines, set = { "Content-Type:" .. (content_type ~= "" and " " .. content_type or "") }, {}
  for name, value in pairs(options.headers or NONE) do
    local problem = call.header_problem(name, value)
    if problem then
      refuse("headers: %s", problem)
    end
    value = targets.text(value)
    lines[#lines + 1] = name .. (value == "" and ";" or ": " .. value) -- libcurl's syntax for an empty field
    set[name:lower()] = true
  end
  lines[#lines + 1] = not set.accept and "Accept: application/json" or nil
  lines[#lines + 1] = not set["accept-encoding"] and IDENTITY or nil
  if #lines > LINES_MAX then
    refuse("headers: %d fields; the maximum is %d", #lines, LINES_MAX)
  end
  return table.concat(lines, "\n"), lines[#lines] == IDENTITY
end

--- Returns the call's name in messages.
---@param request { method: string, target: string }
---@return string
function call.name(request)
  local shown = request.target:match("^[^?#]*"):gsub("//[^/]*@", "//…@") -- without a password
  return ("%s %s"):format(request.method, errors.printable(shown))
end

-- What targets lead to, by option with the base, config and target: a program has few, and calls each many times.
local known = { base_url = setmetatable({}, { __mode = "k" }), greenlake_url = setmetatable({}, { __mode = "k" }) }

-- Returns the address of a target: its URL, origin and host, and by method what is sent to it without options.
local function address_of(config, target, base)
  local addresses = known[base][config]
  local address = addresses and addresses.of[target]
  if address then
    return address
  end
  local full, problem = targets.resolve(target, config[base], config.hosts, base)
  if not full then
    refuse("%s", problem)
  elseif not addresses or addresses.count == ADDRESSES_MAX then
    addresses = { count = 0, of = {} }
    known[base][config] = addresses
  end
  local origin, host = url.split(full)
  address = { url = full, origin = origin, host = host, base = target:find "^/" and base, plain = {} }
  addresses.count, addresses.of[target] = addresses.count + 1, address
  return address
end

-- Returns the number of attempts, the time-out of the call, and that of an attempt or nil.
local function limits_of(config, options)
  local attempts = options.retry or options.retry == nil and ATTEMPTS or 1
  local timeout, try_timeout = options.timeout or config.timeout, options.try_timeout
  if not (timeout > 0 and timeout <= 3600) then
    refuse "timeout: a number of seconds above 0 and up to 3600 expected"
  elseif not (attempts >= 1 and attempts <= ATTEMPTS_MAX and attempts % 1 == 0) then
    refuse("retry: false or a whole number from 1 to %d expected", ATTEMPTS_MAX)
  elseif try_timeout and not (try_timeout > 0 and try_timeout <= timeout) then
    refuse("try_timeout: a number of seconds above 0 and up to the call's timeout, %g, expected", timeout)
  end
  return attempts, timeout, try_timeout
end

local function query_of(options)
  local query, problem = targets.query(options.query or NONE)
  return query or refuse("%s", problem)
end

local function new_request(config, method, target, options)
  local address = address_of(config, target, BASES[options.app or "central"])
  local full = targets.extend(address.url, query_of(options))
  local body, content_type = body_of(method, options)
  local lines, wants_identity = lines_of(options, content_type, body)
  local attempts_max, timeout, try_timeout = limits_of(config, options)
  local request = {
    target = target, method = method, url = full, key = method .. " " .. full, address = address,
    headers = lines, body = body, body_max = BODY_MAX, is_once = not IDEMPOTENT[method], raw = options.raw,
    attempts_max = attempts_max, call_timeout = timeout, timeout = try_timeout, wants_identity = wants_identity,
    is_brief = not (config.on_event or config.log), -- which tell how long it took
  }
  if options == NONE then
    address.plain[method] = request
  end
  return request
end

--- Returns what is sent. The transfer reads it, too: it must not be changed. Most calls have no options: then it is
--- worked out once for each method and target. Raises as `check`.
---@param config central.auth.Config
---@param method string
---@param target string
---@param options? central.auth.RequestOptions
---@return table? request
---@return central.auth.Failure? failure
function call.prepare(config, method, target, options)
  local addresses = not options and known.base_url[config]
  local address = addresses and addresses.of[target]
  local request = address and address.plain[method]
  if request then
    return request
  end
  call.check(method, target, options)
  if method ~= method:upper() then
    return call.prepare(config, method:upper(), target, options)
  end
  local made, problem, code = errors.catch(new_request, config, method, target, options or NONE)
  if not made then
    return nil, errors.failure(code, ("%s: %s"):format(call.name { method = method, target = target }, problem))
  end
  return made
end

return call

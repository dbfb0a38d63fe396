-- Failures as values with a closed list of codes; argument errors, which raise; text from servers made safe to print.
-- SPDX-License-Identifier: MIT

---@alias central.auth.Code
---| "config"       # an option, environment variable, profile or secret file is missing or not valid
---| "resolve"      # the host name has no address
---| "connect"      # the server or the proxy refused the connection
---| "tls"          # the server's certificate or protocol is not acceptable
---| "timeout"      # no reply in time
---| "network"      # the connection broke
---| "http"         # an HTTP status without an OAuth error
---| "reply"        # a reply that does not follow RFC 6749
---| "oauth"        # an OAuth error; detail.oauth_error
---| "rate_limited" # too many requests; detail.retry_after
---| "api"          # an API call failed
---| "expired"      # a ready-made token has expired or was refused, and there is no other
---| "closed"       # the client was closed

---@class central.auth.Detail
---@field status? integer HTTP status
---@field oauth_error? string RFC 6749, 5.2; for an API call, that of the Bearer challenge (RFC 6750, 3)
---@field error_description? string from the server's reply, like the next four fields
---@field error_uri? string
---@field errorCode? string GreenLake's error code
---@field message? string
---@field debugId? string GreenLake's identifier of the request; HPE's support needs it
---@field retry_after? number seconds to wait before a retry
---@field option? string the option concerned
---@field source? string where its value came from
---@field reached? "address" | "connection" | "tunnel" | "server" the last stage that a request without a reply reached
---@field proxy_status? integer HTTP status with which a proxy refused the connection
---@field reply? central.auth.Reply the reply to an API call

local sorted_names = require("central.auth.util").sorted_names

local errors = {}

errors.codes = {
  "config", "resolve", "connect", "tls", "timeout", "network",
  "http", "reply", "oauth", "rate_limited", "api", "expired", "closed",
}

local FOREIGN_TEXT_MAX = 200 -- characters

-- Control characters, and characters that hide text or change its direction.
local function is_hidden(code)
  return code < 0x20
    or (code >= 0x7F and code <= 0x9F)
    or code == 0x061C
    or (code >= 0x200B and code <= 0x200F)
    or (code >= 0x2028 and code <= 0x202E)
    or (code >= 0x2060 and code <= 0x206F)
    or code == 0xFEFF
    or (code >= 0xE0000 and code <= 0xE0FFF)
end

--- Makes text from a server or a library safe to print: one line, no control or bidirectional characters, valid UTF-8,
--- at most 200 characters.
---@param text string
---@return string
function errors.printable(text)
  if #text <= FOREIGN_TEXT_MAX and not text:find("[^\x20-\x7E]") then
    return text
  end
  local out, at = {}, 1
  while at <= #text and #out < FOREIGN_TEXT_MAX do
    local after = utf8.len(text, at, at) and utf8.offset(text, 2, at)
    local code = after and utf8.codepoint(text, at)
    if not code then
      out[#out + 1] = ("\\x%02X"):format(text:byte(at))
    elseif is_hidden(code) then
      out[#out + 1] = ("\\u{%X}"):format(code)
    else
      out[#out + 1] = text:sub(at, after - 1)
    end
    at = after or at + 1
  end
  return table.concat(out) .. (at <= #text and "…" or "")
end

local Detail = { __name = "central.auth.detail" }

-- With this, print(auth.token()) shows all of a failure.
function Detail:__tostring()
  local parts = {}
  for name, value in pairs(self) do
    parts[#parts + 1] = name .. " = " .. tostring(value)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

--- Returns a failure as every public function does.
---@param code central.auth.Code
---@param message string
---@param detail? central.auth.Detail
---@return nil, string, central.auth.Code, central.auth.Detail
function errors.fail(code, message, detail)
  return nil, message, code, setmetatable(detail or {}, Detail)
end

---@class central.auth.Failure a failure as one value; used inside this package
---@field code central.auth.Code
---@field message string
---@field detail central.auth.Detail
---@field may_be_sent? boolean the client was closed during the request, which the server may have received
---@field may_have_acted? boolean of an API call: the server may have acted although the call failed
local Failure = { __name = "central.auth.failure" }

function Failure:__tostring()
  return self.message
end

--- Returns a failure as one value; nil without a code.
---@param code? central.auth.Code
---@param message? string
---@param detail? central.auth.Detail
---@return central.auth.Failure?
function errors.failure(code, message, detail)
  return code and setmetatable({ message = message, code = code, detail = setmetatable(detail or {}, Detail) }, Failure)
end

--- Returns the failure of a call on a closed client.
---@return central.auth.Failure
function errors.closed()
  return errors.failure("closed", "this client was closed; make another with auth.new or auth.configure")
end

--- Returns a failure's parts, as a public function does.
---@param failure central.auth.Failure
---@return nil, string, central.auth.Code, central.auth.Detail
function errors.unpack(failure)
  return nil, failure.message, failure.code, failure.detail
end

--- Raises a failure, which public functions return by `catch`; an iterator raises it in the program.
---@param message string
---@param code central.auth.Code
---@param detail? central.auth.Detail
function errors.raise(message, code, detail)
  error(errors.failure(code, message, detail), 0)
end

--- Returns a raised failure as a public function does. Raises anything else again.
---@param raised any
---@return nil, string, central.auth.Code, central.auth.Detail
function errors.unpack_raised(raised)
  if getmetatable(raised) ~= Failure then
    error(raised, 0)
  end
  return errors.unpack(raised)
end

local function results_of(ok, ...)
  if ok then
    return ...
  end
  return errors.unpack_raised((...))
end

--- Calls a function that raises failures. Returns its results, or the failure as a public function does.
---@param act function
---@param ... any
---@return any
function errors.catch(act, ...)
  return results_of(pcall(act, ...))
end

--- Returns the failure of an option with an invalid value.
---@param name string
---@param from string where the value was set
---@param problem string
---@return central.auth.Failure
function errors.invalid_option(name, from, problem)
  return errors.failure("config", ("%s (from %s): %s"):format(name, from, problem), { option = name, source = from })
end

-- The prefixes of this package's chunk names, precompiled and as source.
local function package_prefixes()
  local path = package.searchpath("central.auth", package.path)
  return { "@central/auth/", path and "@" .. path:gsub("%.lua$", "/") }
end

local function is_in_package(info, prefixes)
  for _, prefix in ipairs(prefixes) do
    if info.what == "C" or info.source:find(prefix, 1, true) == 1 then
      return true
    end
  end
end

--- Raises an error in the caller's arguments, at the first line outside this package.
---@param message string
function errors.argument_error(message)
  local level, prefixes = 2, package_prefixes()
  while debug do
    local info = debug.getinfo(level, "S")
    if not info or not is_in_package(info, prefixes) then
      break
    end
    level = level + 1
  end
  error(message, level)
end

--- Returns the object that a method was called on. Raises if the method was called with a dot, or on another object.
---@param self any
---@param field string a private field that every such object has
---@param kind string "a client"
---@param call string "client:token"
---@return table
function errors.check_self(self, field, kind, call)
  if type(self) ~= "table" or rawget(self, field) == nil then
    errors.argument_error(("call methods of %s with a colon: %s()"):format(kind, call))
  end
  return self
end

-- Returns why an option is not valid; nil if it is valid.
local function option_problem(name, value, types)
  local kind = types[name]
  if not kind then
    return ("unknown option %q%s"):format(tostring(name), errors.suggest(tostring(name), sorted_names(types)))
  elseif kind ~= "any" and type(value) ~= kind then
    return ("option %s: %s expected, got %s"):format(name, kind, type(value))
  end
end

--- Raises unless `options` is nil or a table whose names are all in `types` and whose values have these types ("any"
--- allows all). Of several errors it reports the first, in the order of names.
---@param options any
---@param types table<string, string>
function errors.check_options(options, types)
  if options == nil then
    return
  elseif type(options) ~= "table" then
    errors.argument_error("a table of options expected, got " .. type(options))
  end
  local first, problem
  for name, value in pairs(options) do
    local found = option_problem(name, value, types)
    if found and (not first or tostring(name) < first) then
      first, problem = tostring(name), found
    end
  end
  if problem then
    errors.argument_error(problem)
  end
end

local function edit_distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

--- Returns `; did you mean "…"?` if one of the known names is similar, or ends with the name as a word of its own;
--- else an empty string.
---@param name string
---@param known string[]
---@return string
function errors.suggest(name, known)
  local best, nearest = nil, math.max(2, #name // 3) + 1
  for _, candidate in ipairs(known) do
    local d = edit_distance(name:lower(), candidate:lower())
    if d < nearest and d < #candidate then -- else no letter of it remains
      best, nearest = candidate, d
    end
  end
  for _, candidate in ipairs(best and {} or known) do
    best = best or candidate:sub(-#name - 1) == "_" .. name:lower() and candidate or nil
  end
  return best and ("; did you mean %q?"):format(best) or ""
end

return errors

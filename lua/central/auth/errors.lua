-- Failures as values: the closed list of codes, and text from elsewhere made fit to print.
-- SPDX-License-Identifier: MIT

---@alias central.auth.Code
---| "config"       # an option, environment variable, profile or secret file is missing or wrong
---| "resolve"      # the host name has no address
---| "connect"      # the server or the proxy refused
---| "tls"          # the server's certificate or protocol is not acceptable
---| "timeout"      # no answer within the limits
---| "network"      # the connection broke
---| "http"         # an HTTP status that is no token and no OAuth error
---| "reply"        # a reply that is not what RFC 6749 says
---| "oauth"        # an OAuth error; detail.oauth_error
---| "rate_limited" # too many requests; detail.retry_after
---| "api"          # an API call failed
---| "closed"       # the client was closed

---@class central.auth.Detail
---@field status? integer HTTP status
---@field oauth_error? string RFC 6749, 5.2; of an API call that of a Bearer challenge (RFC 6750, 3)
---@field error_description? string what the server says; so are the next ones
---@field error_uri? string
---@field errorCode? string GreenLake's
---@field message? string
---@field debugId? string what HPE's support asks for
---@field retry_after? number seconds until a new try makes sense
---@field option? string the option concerned
---@field source? string where its value came from
---@field reached? "address" | "connection" | "tunnel" | "server" how far a request came that had no reply
---@field proxy_status? integer HTTP status of a proxy that did not let us through
---@field reply? central.auth.Reply of an API call

local sorted_names = require "central.auth.sorted_names"

local errors = {}

errors.codes = {
  "config", "resolve", "connect", "tls", "timeout", "network",
  "http", "reply", "oauth", "rate_limited", "api", "closed",
}

local LIMIT = 200 -- characters of foreign text in a message

-- Characters that turn the direction of text or hide it: a message must read as it is.
local function hides(code)
  return code < 0x20
    or (code >= 0x7F and code <= 0x9F)
    or code == 0x061C
    or (code >= 0x200B and code <= 0x200F)
    or (code >= 0x2028 and code <= 0x202E)
    or (code >= 0x2060 and code <= 0x206F)
    or code == 0xFEFF
    or (code >= 0xE0000 and code <= 0xE0FFF)
end

--- Text from a server or a library as it may be shown: one line, no control or bidirectional characters, no
--- invalid UTF-8, cut at 200 characters.
---@param text string
---@return string
function errors.printable(text)
  if #text <= LIMIT and not text:find("[^\x20-\x7E]") then
    return text
  end
  local out, at = {}, 1
  while at <= #text and #out < LIMIT do
    local after = utf8.len(text, at, at) and utf8.offset(text, 2, at)
    local code = after and utf8.codepoint(text, at)
    if not code then
      out[#out + 1] = ("\\x%02X"):format(text:byte(at))
    elseif hides(code) then
      out[#out + 1] = ("\\u{%X}"):format(code)
    else
      out[#out + 1] = text:sub(at, after - 1)
    end
    at = after or at + 1
  end
  return table.concat(out) .. (at <= #text and "…" or "")
end

local Detail = { __name = "central.auth.detail" }

-- So that print(auth.token()) shows a failure whole.
function Detail:__tostring()
  local parts = {}
  for name, value in pairs(self) do
    parts[#parts + 1] = name .. " = " .. tostring(value)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

--- A failure as every function returns it.
---@param code central.auth.Code
---@param message string
---@param detail? central.auth.Detail
---@return nil, string, central.auth.Code, central.auth.Detail
function errors.fail(code, message, detail)
  return nil, message, code, setmetatable(detail or {}, Detail)
end

--- The failure of everything that a client does, or waits for, once it is closed.
---@param call? string the call's name
function errors.closed(call)
  return errors.fail("closed", (call and call .. ": " or "") .. "the client was closed")
end

local Failure = { __name = "central.auth.failure" }

function Failure:__tostring()
  return self.message
end

--- Raises a failure where there is nobody to return it to: a table with `message`, `code` and `detail`.
---@param message string
---@param code central.auth.Code
---@param detail? central.auth.Detail
function errors.raise(message, code, detail)
  error(setmetatable({ message = message, code = code, detail = detail or {} }, Failure), 0)
end

--- A wrong option, by name and by where it was set.
---@param name string
---@param from string
---@param problem string
function errors.wrong(name, from, problem)
  return errors.fail("config", ("%s (from %s): %s"):format(name, from, problem), { option = name, source = from })
end

-- How the chunk names of this package begin, precompiled and as text: a mistake is reported where the user made it.
local function ours()
  local face = package.loaded["central.auth"]
  local path = not face and package.searchpath("central.auth", package.path)
  local source = face and debug.getinfo(face.new, "S").source or path and "@" .. path
  return { "@central/auth/", source, source and source:gsub("%.lua$", "/") }
end

local function is_one_of(info, beginnings)
  for _, beginning in ipairs(beginnings) do
    if info.what == "C" or info.source:find(beginning, 1, true) == 1 then
      return true
    end
  end
end

--- Raises a mistake of the caller at the first line outside this package.
---@param message string
function errors.mistake(message)
  local level, beginnings = 2, ours()
  while debug do
    local info = debug.getinfo(level, "S")
    if not info or not is_one_of(info, beginnings) then
      break
    end
    level = level + 1
  end
  error(message, level)
end

-- What is wrong with one option; nil where nothing is.
local function option_problem(name, value, types)
  local kind = types[name]
  if not kind then
    return ("unknown option %q%s"):format(tostring(name), errors.suggest(tostring(name), sorted_names(types)))
  elseif kind ~= "any" and type(value) ~= kind then
    return ("option %s: %s expected, got %s"):format(name, kind, type(value))
  end
end

--- Raises a mistake in what should be a table of options, or nil: a name that is not known, a value of another type
--- than the name has there ("any" takes all). Of several mistakes it names the first, in order of names.
---@param options any
---@param types table<string, string>
function errors.check_options(options, types)
  if options ~= nil and type(options) ~= "table" then
    errors.mistake("a table of options expected, got " .. type(options))
  end
  local first, problem
  for name, value in pairs(options or {}) do
    local wrong = option_problem(name, value, types)
    if wrong and (not first or tostring(name) < first) then
      first, problem = tostring(name), wrong
    end
  end
  if problem then
    errors.mistake(problem)
  end
end

local function distance(a, b)
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

--- `; did you mean "…"?` when one of the known names is near, else an empty string.
---@param name string
---@param known string[]
---@return string
function errors.suggest(name, known)
  local best, nearest = nil, math.max(2, #name // 3) + 1
  for _, candidate in ipairs(known) do
    local d = distance(name:lower(), candidate:lower())
    if d < nearest then
      best, nearest = candidate, d
    end
  end
  return best and ("; did you mean %q?"):format(best) or ""
end

return errors

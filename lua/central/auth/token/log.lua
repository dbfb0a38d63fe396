-- Writes what happens to standard error, or gives it to a function: a line for each event, and for a request with
-- `debug` also its trace. Secrets are removed by value, in all forms in which they are sent. Loaded only if the option
-- log is set.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local proxy = require "central.auth.config.proxy"
local url = require "central.auth.url"

local log = {}

local SOURCES = { "ready_made", "secret", "assertion", "cache_secret" } -- of a configuration
local FIELDS = {
  "method", "host", "path", "status", "code", "seconds", "attempt", "expires_in", "what", "message",
}

-- --- secrets -------------------------------------------------------------------------------------------------------

-- Adds the password of a proxy, as it was set and decoded, and as it is in a header.
local function add_proxy(needles, login)
  local user, password = login:match "^([^:]*):(.*)$"
  if password and password ~= "" then
    local decoded = url.decode(password)
    needles[#needles + 1] = password
    needles[#needles + 1] = decoded
    needles[#needles + 1] = core.basic(url.decode(user), decoded, false)
  end
end

-- The latest assertion of each client, which nobody else keeps.
local assertions = setmetatable({}, { __mode = "k" })

-- Returns the secrets of the client and of one request, strings or native memory.
local function needles_of(source, private)
  local config, secret = source.config, source.client_secret.current
  assertions[source] = private.assertion or assertions[source]
  local needles = { assertions[source] }
  for name, value in pairs(private) do
    needles[#needles + 1] = name ~= "trace" and value or nil
  end
  for _, value in ipairs { secret or false, private.secret or false } do
    needles[#needles + 1] = value or nil
    needles[#needles + 1] = value and core.basic(config.client_id, value, true) or nil
    needles[#needles + 1] = value and core.basic(config.client_id, value, false) or nil
  end
  for _, name in ipairs(SOURCES) do
    needles[#needles + 1] = config[name] and config[name].kind == "value" and config[name].value or nil
  end
  for _, login in ipairs(proxy.logins(config)) do
    add_proxy(needles, login)
  end
  needles[#needles + 1] = source.current:token()
  needles[#needles + 1] = source.parent and source.parent.current:token() or nil
  return needles
end

-- --- lines ---------------------------------------------------------------------------------------------------------

local function text_of(value, clean)
  if math.type(value) == "float" then
    return (("%.3f"):format(value):gsub(",", ".")) -- in some locales
  end
  local text = clean(tostring(value)):gsub("%c", " ")
  return text:find '[ "]' and '"' .. text:gsub('["\\]', "\\%0") .. '"' or text
end

-- Returns the lines without secrets, each fit to print. A redirect's query or fragment may have secrets
-- that nobody here knows.
local function lines_of(source, name, fields, private)
  local needles, parts = needles_of(source, private), { name }
  local function clean(text)
    return core.redact(text, table.unpack(needles))
  end
  for _, field in ipairs(FIELDS) do
    parts[#parts + 1] = fields[field] ~= nil and field .. "=" .. text_of(fields[field], clean) or nil
  end
  local lines = { table.concat(parts, " ") }
  for line in clean(private.trace or ""):gmatch "[^\n]+" do
    lines[#lines + 1] = errors.printable(line:find "^< " and line:gsub("([?#])[^%s>;]*", "%1...") or line)
  end
  return lines
end

-- By one system call, so that lines of several processes do not mix.
local function write(source, lines)
  local now = source.clock:wall()
  local time = os.date("!%Y-%m-%dT%H:%M:%S", now // 1 | 0)
  if io.type(io.stderr) == "file" then
    io.stderr:write(("%s.%03dZ central-auth: %s\n"):format(time, now % 1 * 1000 // 1 | 0, table.concat(lines, "\n  ")))
  end
end

--- Logs an event. `private`: secrets that only this event knows, by any name, and `trace`. With a function as option
--- the lines are added to `queue`.
---@param source central.auth.TokenSource
---@param name central.auth.EventName
---@param fields table
---@param private table
---@param queue any[]
function log.event(source, name, fields, private, queue)
  local lines = lines_of(source, name, fields, private)
  if type(source.config.log) == "function" then
    table.move(lines, 1, #lines, #queue + 1, queue)
  else
    write(source, lines)
  end
end

return log

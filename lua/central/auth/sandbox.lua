-- A stand-in for HPE GreenLake and Central on the loopback address, over TLS: to try central.auth in the REPL and to
-- test scripts without credentials or network. Outages, revocation and short lives at will. It serves in a thread of
-- its own, so that the caller may block or wait at a prompt. Never loaded by central.auth.
-- SPDX-License-Identifier: MIT

-- Debian installs some pure-Lua packages for 5.3 and 5.1 alone; they work on 5.4 once they are found.
if not package.searchpath("http.server", package.path) then
  package.path = package.path .. ";/usr/share/lua/5.3/?.lua;/usr/share/lua/5.3/?/init.lua;/usr/share/lua/5.1/?.lua"
end
for _, name in ipairs { "cqueues.thread", "openssl.rand", "http.server" } do
  local ok, why = pcall(require, name)
  if not ok then
    error(("the sandbox needs lua-http with cqueues and luaossl (apt-get install lua-http): %s")
      :format(tostring(why):match("[^\n]*")), 0)
  end
end

local ca = require "central.auth.sandbox.ca"
local condition = require "cqueues.condition"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local rand = require "openssl.rand"
local thread = require "cqueues.thread"

---@class central.auth.sandbox.Options
---@field lifetime? number seconds a token lives, default 7199 as GreenLake's for Central
---@field port? integer default: any free one
---@field latency? number seconds before a token request is answered
---@field rate_limit? integer requests in a minute; over that they are answered with 429
---@field fail? { status: integer, times?: number, retry_after?: number, of?: "token" | "api" } as of Box:fail
---@field client_id? string
---@field client_secret? string

---@class central.auth.sandbox.Box
---@field token_url string
---@field base_url string
---@field ca_file string
---@field client_id string
---@field client_secret string
local Box = {}
local metatable = { __index = Box, __name = "central.auth.sandbox" }

local sandbox = {}

local START = 30  -- seconds the server may take to come up, or to end
local TURN = 0.05 -- seconds after which a coroutine that waits for its turn checks whether the one before was dropped

local function random_text(bytes)
  return (rand.bytes(bytes):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function scratch()
  local pipe = assert(io.popen("mktemp -d", "r"))
  local folder = pipe:read("l")
  pipe:close()
  return assert(folder, "mktemp -d failed")
end

-- Runs in the new thread's own Lua state: no upvalues.
local function serve(connection, path, cpath, settings)
  package.path, package.cpath = path, cpath
  require("central.auth.sandbox.server").serve(connection, require("central.auth.json").cjson().decode(settings))
end

-- A coroutine that is dropped in the middle of a command has its turn until it is collected.
local function wait_for_turn(self)
  local left = START
  while self._connection and self._asker[1] do
    if not self._free:wait(TURN) then
      left = left - TURN
      collectgarbage()
    end
    if left <= 0 then
      error("the sandbox does not answer: another coroutine waits for it", 4)
    end
  end
end

-- One command, one answer, a line of JSON each, which have the same number. Coroutines take turns; the answer to one
-- that was closed or dropped in the middle is passed over.
local function tell(self, command)
  wait_for_turn(self)
  if not self._connection then
    error("the sandbox is closed", 3)
  end
  self._asker[1], self._asked = coroutine.running(), self._asked + 1
  local _ <close> = setmetatable({}, { __close = function()
    self._asker[1] = nil
    self._free:signal()
  end })
  local number, answer = self._asked
  command.number = number
  assert(self._connection:write(json.cjson().encode(command), "\n"))
  repeat
    local line, why = self._connection:read("*l")
    answer = json.cjson().decode(line or error(("the sandbox does not answer: %s"):format(tostring(why)), 3))
  until answer.number == nil or answer.number == number
  answer.number = nil
  return answer
end

local OPTIONS = {
  lifetime = "number", port = "number", latency = "number", rate_limit = "number", fail = "table", client_id = "string",
  client_secret = "string",
}
local FAILURE = { status = "number", times = "number", retry_after = "number", of = "string" }

-- A number that JSON knows, and that makes sense here; nil where it may be left out.
local function check_number(name, value, optional)
  if not (optional and value == nil or type(value) == "number" and value >= 0 and value < math.huge) then
    errors.mistake(("%s: a number, 0 or more, expected, got %s"):format(name, tostring(value)))
  end
  return value
end

-- As the server wants it: JSON knows no infinity.
local function failure_of(failure)
  errors.check_options(failure, FAILURE)
  local status = math.tointeger(check_number("status", failure and failure.status))
  if not status or status < 200 or status > 599 then
    errors.mistake(("status: a whole number from 200 to 599 expected, got %s"):format(failure.status))
  end
  check_number("retry_after", failure.retry_after, true)
  if failure.of ~= nil and failure.of ~= "token" and failure.of ~= "api" then
    errors.mistake(("of: token or api expected, got %s"):format(failure.of))
  end
  local times = failure.times == math.huge and -1 or failure.times or 1
  return { name = "fail", status = failure.status, times = times, retry_after = failure.retry_after,
    of = failure.of or "token" }
end

--- Starts a server; it ends with `close`, or with the to-be-closed variable that holds the box.
---@param options? central.auth.sandbox.Options
---@return central.auth.sandbox.Box
function sandbox.start(options)
  errors.check_options(options, OPTIONS)
  options = options or {}
  for _, name in ipairs { "lifetime", "port", "latency", "rate_limit" } do
    check_number(name, options[name], true)
  end
  local failure = options.fail and failure_of(options.fail)
  local folder = scratch()
  local self = setmetatable({
    _folder = folder,
    _free = condition.new(),
    _asker = setmetatable({}, { __mode = "v" }), -- the coroutine that waits for an answer
    _asked = 0,
    client_id = options.client_id or random_text(16),
    client_secret = options.client_secret or random_text(16),
  }, metatable)
  local authority = ca.new { folder = folder }
  local leaf = authority:issue { name = "server" }
  self._thread, self._connection = thread.start(serve, package.path, package.cpath, json.cjson().encode {
    cert_file = leaf.cert_file, key_file = leaf.key_file, port = options.port or 0, latency = options.latency or 0,
    lifetime = options.lifetime or 7199, client_id = self.client_id, client_secret = self.client_secret,
    rate_limit = options.rate_limit, fail = failure,
  })
  self._connection:settimeout(START)
  local started = tell(self, { name = "hello" })
  if not started.port then
    self:close()
    error(("the sandbox can't start: %s"):format(started.problem), 2)
  end
  self.ca_file = authority.file
  self.base_url = ("https://127.0.0.1:%d"):format(started.port)
  self.token_url = self.base_url .. "/as/token.oauth2"
  return self
end

--- What `auth.new` or `auth.configure` needs to use this server.
---@return central.auth.Options
function Box:options()
  return {
    client_id = self.client_id, client_secret = self.client_secret, token_url = self.token_url, ca_file = self.ca_file,
    base_url = self.base_url, greenlake_url = self.base_url,
    revocation_url = self.base_url .. "/as/revoke_token.oauth2", cache = false,
  }
end

--- Every token issued so far is refused from now on.
function Box:revoke()
  tell(self, { name = "revoke" })
end

--- The next requests fail: those for tokens, or API calls; `times` may be math.huge.
---@param failure { status: integer, times?: number, retry_after?: number, of?: "token" | "api" }
function Box:fail(failure)
  tell(self, failure_of(failure))
end

--- Ends every `fail`.
function Box:recover()
  for _, of in ipairs { "token", "api" } do
    tell(self, { name = "fail", status = 0, times = 0, of = of })
  end
end

--- How long tokens live that are issued from now on.
---@param seconds number
function Box:lifetime(seconds)
  tell(self, { name = "lifetime", seconds = check_number("lifetime", seconds) })
end

--- How long token requests take from now on.
---@param seconds number
function Box:latency(seconds)
  tell(self, { name = "latency", seconds = check_number("latency", seconds) })
end

--- How many requests a minute are answered from now on; nil: all.
---@param per_minute? integer
function Box:rate_limit(per_minute)
  tell(self, { name = "rate_limit", per_minute = check_number("rate_limit", per_minute, true) })
end

--- The requests that were answered since the last call, the oldest first.
---@return { at: integer, method: string, path: string, status: integer, ms: number }[]
function Box:log()
  return tell(self, { name = "log" }).list
end

--- How many requests came so far.
---@return { token: integer, api: integer }
function Box:requests()
  return tell(self, { name = "requests" })
end

--- Stops the server and removes its files. Safe to call again.
function Box:close()
  local connection = self._connection
  if connection then
    self._connection = nil
    os.execute("rm -rf '" .. self._folder .. "'") -- first: what follows may be finalized already
    pcall(function()
      connection:write(json.cjson().encode { name = "stop" }, "\n")
      connection:read("*l")
      local _ = self._thread:join(START) or self._thread:join(START) -- the first may fail where the end has come
      connection:close()
    end)
  end
end

metatable.__close = Box.close
metatable.__gc = Box.close

return sandbox

-- A mock of HPE GreenLake and Central on the loopback address, over TLS, for trying central.auth at a prompt and for
-- testing scripts without credentials or network. Simulates outages, revocation and short lifetimes. The server runs in
-- a separate thread, so that the caller may block or wait at a prompt. central.auth never loads this module.
-- SPDX-License-Identifier: MIT

-- Debian installs some pure-Lua packages for 5.3 and 5.1 only; they work with 5.4.
if not package.searchpath("http.server", package.path) then
  package.path = package.path .. ";/usr/share/lua/5.3/?.lua;/usr/share/lua/5.3/?/init.lua;/usr/share/lua/5.1/?.lua"
end
local has_http, absent = pcall(require, "http.server")
if not has_http then
  error(("the sandbox needs lua-http with cqueues and luaossl (apt-get install lua-http): %s")
    :format(tostring(absent):match "[^\n]*"), 0)
end

local certificates = require "central.auth.sandbox.certificates"
local defer = require("central.auth.util").defer
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local socket = require "cqueues.socket"
local thread = require "cqueues.thread"

---@class central.auth.sandbox.Options
---@field lifetime? number seconds until a token expires; default 7199, and 899 for workspaces and tenants
---@field port? integer default: any free port
---@field latency? number seconds before a token request is answered
---@field rate_limit? integer limit of requests per minute; further ones get a 429
---@field fail? { status: integer, times?: number, retry_after?: number, of?: "token" | "api" } see Server:fail
---@field client_id? string default: a random one
---@field client_secret? string default: a random one

---@class central.auth.sandbox.Server
---@field token_url string its token endpoint
---@field base_url string of its APIs, GreenLake's and Central's
---@field ca_file string its certificate authority, PEM
---@field client_id string the one that it accepts
---@field client_secret string the one that it accepts
local Server = {}
local metatable = { __index = Server, __name = "central.auth.sandbox" }

local sandbox = {}

local START_MAX = 30 -- seconds that the server may take to start, to answer a command or to stop

local function temporary_folder()
  local pipe <close> = assert(io.popen "mktemp -d -t central-auth-sandbox.XXXXXXXXXX")
  return assert(pipe:read "l", "mktemp -d failed")
end

-- Runs in the new thread, in another Lua state, so it has no upvalues.
local function serve(connection, path, cpath, settings)
  package.path, package.cpath = path, cpath
  require("central.auth.sandbox.server").serve(connection, require("central.auth.json").cjson().decode(settings))
end

-- Sends a command and returns its result; raises if a field is not valid. Each command has its own pair of sockets, so
-- that coroutines may send commands at the same time, and be closed before the answer. The fields are texts, as in a
-- query, because JSON has no infinity.
local function send(self, name, fields)
  if not self._connection then
    error("the sandbox is closed", 3)
  end
  local own, other = assert(socket.pair())
  local _ <close> = defer(function() own:close() end)
  own:settimeout(START_MAX)
  assert(self._connection:sendfd("command", other))
  other:close()
  local texts = {}
  for field, value in pairs(fields or {}) do
    texts[field] = tostring(value)
  end
  assert(own:write(json.cjson().encode { name = name, fields = texts }, "\n"))
  local line, why = own:read "*l"
  local answer = json.cjson().decode(line or error(("the sandbox does not reply: %s"):format(tostring(why)), 3))
  if answer.problem then
    errors.argument_error(answer.problem)
  end
  return answer.result
end

local OPTIONS = {
  lifetime = "number", port = "number", latency = "number", rate_limit = "number", fail = "table", client_id = "string",
  client_secret = "string",
}
local FAILURE = { status = "number", times = "number", retry_after = "number", of = "string" }

-- Starts the server's thread and sends it the options.
local function start(self, options)
  local made = certificates.new()
  self.ca_file = self._folder .. "/ca.pem"
  local file <close> = assert(io.open(self.ca_file, "w"))
  assert(file:write(made.authority) and file:flush())
  self._thread, self._connection = thread.start(serve, package.path, package.cpath, json.cjson().encode {
    certificate = made.server, key = made.key, port = options.port or 0, client_id = options.client_id,
    client_secret = options.client_secret,
  })
  local started = send(self, "hello")
  if not started.port then
    error(("the sandbox can't start: %s"):format(started.problem), 0)
  end
  for _, name in ipairs { "lifetime", "latency", "rate_limit", "fail" } do
    if options[name] ~= nil then
      self[name](self, options[name])
    end
  end
  self.client_id, self.client_secret = started.client_id, started.client_secret
  self.base_url = ("https://127.0.0.1:%d"):format(started.port)
  self.token_url = self.base_url .. "/as/token.oauth2"
end

--- Starts a server. It stops with `close`, or when the to-be-closed variable that holds it goes out of scope.
---@param options? central.auth.sandbox.Options
---@return central.auth.sandbox.Server
function sandbox.start(options)
  errors.check_options(options, OPTIONS)
  options = options or {}
  local self = setmetatable({ _folder = temporary_folder() }, metatable)
  local ok, why = pcall(start, self, options)
  if not ok then
    self:close()
    error(why, 0)
  end
  return self
end

--- Returns options for `auth.new` or `auth.configure` to use this server.
---@return central.auth.Options
function Server:options()
  return {
    client_id = self.client_id, client_secret = self.client_secret, token_url = self.token_url, ca_file = self.ca_file,
    base_url = self.base_url, greenlake_url = self.base_url,
    revocation_url = self.base_url .. "/as/revoke_token.oauth2", cache = false,
  }
end

--- Revokes all tokens issued so far.
function Server:revoke()
  send(self, "revoke")
end

--- Makes the next requests fail: token requests, or API calls. `times` may be math.huge.
---@param failure { status: integer, times?: number, retry_after?: number, of?: "token" | "api" }
function Server:fail(failure)
  errors.check_options(failure, FAILURE)
  send(self, "fail", failure or {})
end

--- Cancels every `fail`.
function Server:recover()
  send(self, "recover")
end

--- Sets the lifetime of tokens issued from now on.
---@param seconds number
function Server:lifetime(seconds)
  send(self, "lifetime", { seconds = seconds })
end

--- Sets how long token requests take from now on.
---@param seconds number
function Server:latency(seconds)
  send(self, "latency", { seconds = seconds })
end

--- Limits the requests per minute from now on; nil: no limit.
---@param per_minute? integer
function Server:rate_limit(per_minute)
  send(self, "rate_limit", { per_minute = per_minute })
end

--- Returns the requests answered since the last call, oldest first.
---@return { at: integer, method: string, path: string, status: integer, ms: number }[]
function Server:log()
  return send(self, "log")
end

--- Returns the number of requests received so far.
---@return { token: integer, api: integer }
function Server:requests()
  return send(self, "requests")
end

--- Stops the server and removes its files. Safe to call again.
function Server:close()
  local connection = self._connection
  if connection then
    self._connection = nil
    os.execute("rm -rf '" .. self._folder .. "'") -- first, as the thread and the connection may already be finalized
    pcall(function()
      connection:close()
      local _ = self._thread:join(START_MAX) or self._thread:join(START_MAX) -- one fails if the thread has just ended
    end)
  end
end

metatable.__close = Server.close
metatable.__gc = Server.close

return sandbox

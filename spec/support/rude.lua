-- A loopback server for specs that misbehaves on purpose, byte by byte, over TLS or plain TCP. It runs in a thread with
-- a Lua state of its own, because the client under test may block the state of the spec.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local socket = require "cqueues.socket"
local thread = require "cqueues.thread"
local with = require "spec.support.with"

local rude = {}

local LIMIT = 5 -- seconds that one handshake, read or write may take
local OVER = "the connection is over" -- how a handler ends whose client hangs up: not a fault

--- The bytes of a reply. Content-Type and Content-Length are added unless `headers` has them (`false`: left out).
function rude.reply(status, headers, body)
  body = body or ""
  local all = with({ ["Content-Type"] = "application/json", ["Content-Length"] = #body }, headers)
  local lines = { ("HTTP/1.1 %d Status"):format(status) }
  for name, value in pairs(all) do
    lines[#lines + 1] = value and ("%s: %s"):format(name, value) or nil
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

--- Plain values as Lua source: what passes between the two Lua states.
local function literal(value)
  if type(value) ~= "table" then
    return ("%q"):format(value)
  end
  local fields = {}
  for key, field in pairs(value) do
    fields[#fields + 1] = ("[%q]=%s"):format(key, literal(field))
  end
  return "{" .. table.concat(fields, ",") .. "}"
end

rude.literal = literal

local function send(pipe, value)
  local text = literal(value)
  assert(pipe:write(("%d\n"):format(#text), text))
end

local function receive(pipe)
  local size = assert(tonumber(pipe:read("*l")), "the server's thread has ended")
  return load("return " .. assert(pipe:read(size)), "=message", "t", {})()
end

local function quiet(handle)
  handle:onerror(function(_, _, code)
    return code
  end)
  handle:setmode("bn", "bn")
  handle:settimeout(LIMIT)
  return handle
end

-- What a handler gets: one accepted connection. Its `data` is the table given to `rude.start`.
local Connection = {}
Connection.__index = Connection

Connection.sleep = function(_, seconds)
  cqueues.sleep(seconds)
end

function Connection:write(...)
  if not self.socket:write(...) then
    error(OVER, 0)
  end
end

--- Writes `bytes` again and again until the client hangs up, at most 64 MB.
function Connection:flood(bytes)
  bytes = bytes:rep(math.ceil(0x4000 / #bytes))
  for _ = 1, 0x4000000 // #bytes do
    self:write(bytes)
  end
end

--- Reads one request: { method, path, head, headers, body }, header names in lower case.
function Connection:read_request()
  local lines, headers = {}, {}
  repeat
    local line = self.socket:read("*L") or error(OVER, 0)
    lines[#lines + 1] = line
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if name then
      headers[name:lower()] = value
    end
  until line == "\r\n"
  local method, path = lines[1]:match("^(%S+) (%S+)")
  local size = tonumber(headers["content-length"]) or 0
  local body = size > 0 and self.socket:read(size) or ""
  return { method = method, path = path, head = table.concat(lines), headers = headers, body = body }
end

--- Ends the handler such that the client sees "connection reset by peer": SO_LINGER 0, which cqueues does not offer.
function Connection:reset()
  local handle = require("socket").tcp()
  handle:setfd(self.socket:pollfd())
  assert(handle:setoption("linger", { on = true, timeout = 0 }))
  handle:setfd(-1)
  error(OVER, 0)
end

local function tls_context(options)
  local context = require "openssl.ssl.context"
  local x509 = require "openssl.x509"
  local ctx = context.new("TLS", true)
  local off = { context.OP_NO_TLSv1, context.OP_NO_TLSv1_1, context.OP_NO_TLSv1_2, context.OP_NO_TLSv1_3 }
  for minor, option in pairs(options.tls_minor and off or {}) do
    if minor - 1 ~= options.tls_minor then
      ctx:setOptions(option)
    end
  end
  ctx:setCipherList("ALL:@SECLEVEL=0") -- else OpenSSL would not speak TLS 1.0 and 1.1
  ctx:setCertificate(x509.new(process.read(options.leaf.cert_file)))
  ctx:setPrivateKey(require("openssl.pkey").new(process.read(options.leaf.key_file)))
  if options.client_ca then
    local store = require("openssl.x509.store").new()
    store:add(x509.new(process.read(options.client_ca)))
    ctx:setStore(store)
    ctx:setVerify(context.VERIFY_PEER + context.VERIFY_FAIL_IF_NO_PEER_CERT)
  end
  return ctx
end

local function talk(server, peer)
  if server.ctx then
    if not peer:starttls(server.ctx) then
      return cqueues.sleep(0.05) -- closing at once would overtake the alert that tells the client why
    end
    server.log.tls = peer:checktls():getVersion()
  end
  local conn = setmetatable({ socket = peer, data = server.options.data }, Connection)
  local request
  if not server.options.raw then
    request = conn:read_request()
    table.insert(server.log.requests, request)
  end
  local n = #server.log.requests
  if server.handler then
    server.handler(conn, request, n)
  else
    local replies = server.options.replies
    conn:write(replies[math.min(n, #replies)])
  end
  peer:shutdown("rw")
end

local function accept(server, peer)
  server.log.connections = server.log.connections + 1
  server.peers[peer] = true
  local ok, why = pcall(talk, server, quiet(peer))
  if not ok and why ~= OVER then
    server.log.fault = tostring(why)
  end
  server.peers[peer] = nil
  peer:close()
end

--- The thread's side: serves until the other end of `pipe` closes. Only for `rude.start`.
function rude.serve(pipe, text)
  local options = load("return " .. text, "=options", "t", {})()
  local listener = assert(socket.listen { host = options.host, port = options.port })
  local server = {
    options = options,
    ctx = options.leaf and tls_context(options),
    handler = options.handler and assert(load(options.handler, "=handler", "b")),
    log = { connections = 0, requests = {} },
    peers = {},
  }
  assert(listener:listen())
  send(pipe, { port = select(3, listener:localname()) })
  local queue, running = cqueues.new(), true
  queue:wrap(function()
    for peer in listener:clients() do
      queue:wrap(accept, server, peer)
    end
  end)
  queue:wrap(function()
    for _ in pipe:lines("*l") do
      send(pipe, server.log)
    end
    running = false
  end)
  while running do
    assert(queue:step())
  end
  for peer in pairs(server.peers) do
    peer:close()
  end
  listener:close()
end

local Server = {}
Server.__index = Server

-- The handler as bytes; what it captured could not follow it into the other state.
local function dump(handler)
  local name = debug.getupvalue(handler, 1)
  assert((name == nil or name == "_ENV") and not debug.getupvalue(handler, 2), "a handler cannot use upvalues")
  return string.dump(handler)
end

--- Starts a server. `options.replies`: the bytes for the first, second … request (a string: for all); or
--- `options.handler(conn, request, n)` with `options.data`, before any byte is read when `options.raw`. TLS with
--- `options.leaf`, only 1.`options.tls_minor`; `options.client_ca` asks for client certificates.
function rude.start(options)
  local host = options.host or "127.0.0.1"
  local text = literal {
    host = host,
    port = options.port or 0,
    leaf = options.leaf and { cert_file = options.leaf.cert_file, key_file = options.leaf.key_file } or false,
    tls_minor = options.tls_minor or false,
    client_ca = options.client_ca or false,
    raw = options.raw or false,
    data = options.data or {},
    handler = options.handler and dump(options.handler) or false,
    replies = type(options.replies) == "string" and { options.replies } or options.replies or false,
  }
  local worker, pipe = thread.start(function(ours, path, cpath, ...)
    package.path, package.cpath = path, cpath
    ours:setmode("bn", "bn")
    require("spec.support.rude").serve(ours, ...)
  end, package.path, package.cpath, text)
  quiet(pipe)
  local self = setmetatable({ _worker = worker, _pipe = pipe }, Server)
  local started, first = pcall(receive, pipe)
  if not started then
    self:close()
    error(first, 2)
  end
  self.port = first.port
  local scheme = options.scheme or options.leaf and "https" or "http"
  local name = options.name or host:find(":", 1, true) and "[" .. host .. "]" or host
  self.url = ("%s://%s:%d/as/token.oauth2"):format(scheme, name, self.port)
  return self
end

--- What has happened so far: `connections`, `requests`, `tls` (the version last agreed on). Fails when a handler has.
function Server:log()
  self._pipe:write("log\n")
  local log = receive(self._pipe)
  return log.fault and error("in the handler: " .. log.fault, 2) or log
end

function Server:requests()
  return self:log().requests
end

function Server:close()
  if self._worker then
    self._pipe:close()
    local ended, why = process.join(self._worker, LIMIT)
    self._worker = nil
    assert(ended, "the server's thread did not end")
    assert(not why, why)
  end
end

Server.__close = Server.close

return rude

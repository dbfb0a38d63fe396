-- The sandbox's server: GreenLake's token endpoint and a few of Central's API calls, on lua-http, told what to do by
-- commands on a socket. Runs in a thread's own Lua state.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local cqueues = require "cqueues"
local http_headers = require "http.headers"
local http_server = require "http.server"
local http_util = require "http.util"
local pkey = require "openssl.pkey"
local rand = require "openssl.rand"
local ssl_context = require "openssl.ssl.context"
local x509 = require "openssl.x509"

local server = {}

local BODY_MAX = 64 * 1024
local WAIT = 10 -- seconds for a request's body

-- Devices as Central describes them, enough for two pages.
local DEVICES = {
  ["/network-monitoring/v1/aps"] = { "AP-635", "lobby", 12 },
  ["/network-monitoring/v1/switches"] = { "CX-6300M", "closet", 4 },
  ["/network-monitoring/v1/gateways"] = { "9106", "core", 2 },
}

local function random_base64url(bytes)
  local base64 = require("basexx").to_base64(rand.bytes(bytes))
  return (base64:gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function answer(stream, status, body, more)
  local headers = http_headers.new()
  headers:append(":status", tostring(status))
  headers:append("content-type", "application/json")
  headers:append("cache-control", "no-store")
  headers:append("date", http_util.imf_date())
  for name, value in pairs(more or {}) do
    headers:append(name, value)
  end
  local text = body and cjson.encode(body) or ""
  assert(stream:write_headers(headers, false))
  assert(stream:write_chunk(text, true))
end

-- --- the token endpoint (RFC 6749, 4.4 and 5) ---------------------------------------------------------------------

local function form_fields(text)
  local fields = {}
  for name, value in http_util.query_args(text) do
    fields[name] = value
  end
  return fields
end

local function form_decode(text)
  return http_util.decodeURIComponent((text:gsub("+", " ")))
end

local function credentials(request_headers, fields)
  local encoded = (request_headers:get("authorization") or ""):match("^[Bb]asic +(.+)$")
  local pair = encoded and require("basexx").from_base64(encoded)
  local id, secret = (pair or ""):match("^([^:]*):(.*)$")
  if id then
    return form_decode(id), form_decode(secret)
  end
  return fields.client_id, fields.client_secret
end

local function issue(state)
  local now = cqueues.monotime()
  for token, entry in pairs(state.tokens) do
    if entry < now then
      state.tokens[token] = nil
    end
  end
  local token = ("%s.%s.%s"):format(random_base64url(24), random_base64url(90), random_base64url(32))
  state.tokens[token] = now + state.lifetime
  return { access_token = token, token_type = "Bearer", expires_in = math.tointeger(state.lifetime) or state.lifetime }
end

local function token_endpoint(state, stream, request_headers)
  if state.fail.times ~= 0 then
    state.fail.times = state.fail.times - 1
    local after = state.fail.retry_after
    return answer(stream, math.tointeger(state.fail.status), nil, after and { ["retry-after"] = ("%d"):format(after) })
  end
  local text = stream:get_body_chars(BODY_MAX, WAIT)
  local fields = form_fields(text or "")
  local id, secret = credentials(request_headers, fields)
  if not (fields.grant_type and id) then
    return answer(stream, 400, { error = "invalid_request" })
  elseif id ~= state.client_id or secret ~= state.client_secret then
    return answer(stream, 401, { error = "invalid_client", error_description = "Invalid client credentials." })
  elseif fields.grant_type ~= "client_credentials" then
    return answer(stream, 400, { error = "unsupported_grant_type" })
  end
  return answer(stream, 200, issue(state))
end

-- --- Central's API ------------------------------------------------------------------------------------------------

local function authorized(state, request_headers)
  local token = (request_headers:get("authorization") or ""):match("^[Bb]earer +(.+)$")
  local until_ = token and state.tokens[token]
  return until_ and until_ > cqueues.monotime()
end

local function device(kind, n)
  return {
    deviceName = ("%s-%02d"):format(kind[2], n), model = kind[1], serialNumber = ("CN%08d"):format(n * 7919),
    status = n % 5 == 0 and "OFFLINE" or "ONLINE", ipv4 = ("10.1.%d.%d"):format(n % 4, n), siteName = "headquarters",
  }
end

local function list(stream, kind, query)
  local fields = form_fields(query or "")
  local first = math.tointeger(tonumber(fields.next)) or 1
  local limit = math.max(1, math.min(math.tointeger(tonumber(fields.limit)) or 100, 100))
  local items = setmetatable({}, cjson.array_mt)
  for n = first, math.min(first + limit - 1, kind[3]) do
    items[#items + 1] = device(kind, n)
  end
  local after = first + #items
  answer(stream, 200, {
    items = items, count = #items, total = kind[3], next = after <= kind[3] and tostring(after) or cjson.null,
  })
end

local function api(state, stream, request_headers, path, query)
  state.requests.api = state.requests.api + 1
  if not authorized(state, request_headers) then
    return answer(stream, 401, { message = "The access token is missing, expired or revoked.", httpStatusCode = 401 },
      { ["www-authenticate"] = 'Bearer error="invalid_token"' })
  elseif request_headers:get(":method") ~= "GET" or not DEVICES[path] then
    return answer(stream, 404, { message = "There is no such resource in the sandbox.", httpStatusCode = 404 })
  end
  return list(stream, DEVICES[path], query)
end

local function route(state, stream)
  local request_headers = assert(stream:get_headers(WAIT))
  local path, query = request_headers:get(":path"):match("^([^?]*)%??(.*)$")
  local is_token = path == "/as/token.oauth2" or path:find("^/authorization/v2/oauth2/[^/]+/token$")
  if is_token and request_headers:get(":method") == "POST" then
    state.requests.token = state.requests.token + 1
    cqueues.sleep(state.latency)
    token_endpoint(state, stream, request_headers)
  else
    api(state, stream, request_headers, path, query)
  end
end

-- --- commands -----------------------------------------------------------------------------------------------------

local COMMANDS = {
  hello = function(state) return { port = state.port } end,
  revoke = function(state) state.tokens = {} end,
  fail = function(state, command) state.fail = command end,
  lifetime = function(state, command) state.lifetime = command.seconds end,
  latency = function(state, command) state.latency = command.seconds end,
  requests = function(state) return state.requests end,
  stop = function(state) state.stopped = true end,
}

local function obey(state, connection)
  for line in connection:lines("*l") do
    local command = cjson.decode(line)
    local result = COMMANDS[command.name](state, command) or { done = true }
    connection:write(cjson.encode(result), "\n")
    connection:flush()
    if state.stopped then
      break
    end
  end
  state.stopped = true
end

local function listen(state, settings)
  local context = ssl_context.new("TLS", true)
  context:setOptions(ssl_context.OP_NO_SSLv3 + ssl_context.OP_NO_TLSv1 + ssl_context.OP_NO_TLSv1_1)
  context:setCertificate(x509.new(read_file(settings.cert_file)))
  context:setPrivateKey(pkey.new(read_file(settings.key_file)))
  local http = assert(http_server.listen {
    host = "127.0.0.1", port = math.tointeger(settings.port), tls = true, ctx = context, version = 1.1,
    onstream = function(_, stream) route(state, stream) end,
    onerror = function() end, -- a client that hangs up is no matter here
  })
  assert(http:listen())
  state.http = http
  state.port = select(3, http:localname())
end

--- Serves until told to stop.
---@param connection userdata the socket commands come from
---@param settings table
function server.serve(connection, settings)
  local state = {
    tokens = {}, fail = { times = 0 }, requests = { token = 0, api = 0 }, latency = settings.latency,
    lifetime = settings.lifetime, client_id = settings.client_id, client_secret = settings.client_secret,
  }
  connection:setmode("bl", "bl")
  local ok, why = pcall(listen, state, settings)
  if not ok then
    connection:read("*l")
    connection:write(cjson.encode { problem = tostring(why) }, "\n")
    connection:flush()
    return
  end
  local loop = cqueues.new()
  loop:wrap(function() obey(state, connection) end)
  loop:wrap(function() state.http:loop() end)
  repeat -- not loop(): connections that clients keep open would hold it
    assert(loop:step())
  until state.stopped
  state.http:close()
end

return server

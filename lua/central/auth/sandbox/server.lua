-- The sandbox's server, on lua-http: GreenLake's token endpoint and a few of Central's API calls. Takes commands on a
-- socket. Runs in a separate thread with its own Lua state.
-- SPDX-License-Identifier: MIT

local resources = require "central.auth.sandbox.resources"
local admin = require "central.auth.sandbox.admin"
local cqueues = require "cqueues"
local http_headers = require "http.headers"
local http_server = require "http.server"
local http_util = require "http.util"
local json = require "central.auth.json"
local pkey = require "openssl.pkey"
local rand = require "openssl.rand"
local ssl_context = require "openssl.ssl.context"
local x509 = require "openssl.x509"

local server = {}

local BODY_MAX, API_BODY_MAX = 64 * 1024, 1024 * 1024
local BODY_TIMEOUT = 10 -- seconds for a request's headers, and for its body
local LIFETIME = 7199   -- seconds of a token, like GreenLake's for Central
local WORKSPACE_LIFETIME = 899 -- of a token of a workspace or a tenant

local function random_base64url(bytes)
  local base64 = require("basexx").to_base64(rand.bytes(bytes))
  return (base64:gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

-- Sends a reply. `more`: further headers.
local function answer(stream, status, body, more)
  local headers = http_headers.new()
  headers:append(":status", tostring(status))
  headers:append("content-type", "application/json")
  headers:append("cache-control", "no-store")
  headers:append("date", http_util.imf_date())
  for name, value in pairs(more or {}) do
    headers:append(name, value)
  end
  local text = body and not stream.is_head and json.cjson().encode(body) or ""
  stream.answered = status
  assert(stream:write_headers(headers, text == ""))
  if text ~= "" then
    assert(stream:write_chunk(text, true))
  end
end

local TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
local ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

-- --- the token endpoint (RFC 6749, 4.4 and 5) ---------------------------------------------------------------------

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

-- `path`: the endpoint's. A lifetime that was set applies to all endpoints.
local function issue(state, path, more)
  local now = cqueues.monotime()
  for token, entry in pairs(state.tokens) do
    if entry < now then
      state.tokens[token] = nil
    end
  end
  local lifetime = path:find "^/authorization/" and state.workspace_lifetime or state.lifetime
  local token = ("%s.%s.%s"):format(random_base64url(24), random_base64url(90), random_base64url(32))
  state.tokens[token] = now + lifetime
  local granted = {
    access_token = token, token_type = "Bearer", expires_in = math.tointeger(lifetime) or lifetime,
  }
  for name, value in pairs(more or {}) do
    granted[name] = value
  end
  return granted
end

local function is_live(state, token)
  local expiry = token and state.tokens[token]
  return expiry and expiry > cqueues.monotime()
end

-- Token exchange (RFC 8693) as GreenLake does it: at the tenant's endpoint, without the client's credentials.
local function exchange(state, stream, fields, path)
  if not path:find("^/authorization/") or fields.subject_token_type ~= ACCESS_TOKEN then
    return answer(stream, 400, { error = "invalid_request" })
  elseif not is_live(state, fields.subject_token) then
    return answer(stream, 401, { error = "invalid_token", error_description = "The subject token is not active." })
  end
  return answer(stream, 200, issue(state, path, { issued_token_type = ACCESS_TOKEN }))
end

-- Answers with a configured failure if one is due. Returns whether it answered.
local function send_failure(failure, stream)
  if failure.times == 0 then
    return false
  end
  failure.times = failure.times - 1
  local after = failure.retry_after
  answer(stream, math.tointeger(failure.status), nil, after and { ["retry-after"] = ("%d"):format(after) })
  return true
end

local function is_authenticated(state, stream, request_headers, fields)
  local id, secret = credentials(request_headers, fields)
  if not id then
    answer(stream, 400, { error = "invalid_request" })
  elseif id ~= state.client_id or secret ~= state.client_secret then
    answer(stream, 401, { error = "invalid_client", error_description = "Invalid client credentials." })
  else
    return true
  end
end

local function token_endpoint(state, stream, request_headers, path)
  if send_failure(state.fail.token, stream) then
    return
  end
  local fields = resources.fields(stream:get_body_chars(BODY_MAX, BODY_TIMEOUT) or "")
  if fields.grant_type == TOKEN_EXCHANGE then
    return exchange(state, stream, fields, path)
  elseif not fields.grant_type then
    return answer(stream, 400, { error = "invalid_request" })
  elseif not is_authenticated(state, stream, request_headers, fields) then
    return
  elseif fields.grant_type ~= "client_credentials" then
    return answer(stream, 400, { error = "unsupported_grant_type" })
  end
  return answer(stream, 200, issue(state, path))
end

-- RFC 7009: an unknown token is not an error.
local function revocation_endpoint(state, stream, request_headers)
  local fields = resources.fields(stream:get_body_chars(BODY_MAX, BODY_TIMEOUT) or "")
  if is_authenticated(state, stream, request_headers, fields) then
    state.tokens[fields.token or ""] = nil
    answer(stream, 200)
  end
end

-- --- APIs ----------------------------------------------------------------------------------------------------------

local function api(state, stream, request_headers, path, query)
  state.requests.api = state.requests.api + 1
  local token = (request_headers:get("authorization") or ""):match("^[Bb]earer +(.+)$")
  if send_failure(state.fail.api, stream) then
    return
  elseif not is_live(state, token) then
    return answer(stream, 401, { message = "The access token is missing, expired or revoked.", httpStatusCode = 401 },
      { ["www-authenticate"] = 'Bearer error="invalid_token"' })
  end
  local call = {
    method = request_headers:get(":method"), version = stream.connection.version,
    path = path, query = query, fields = resources.fields(query),
    content_type = request_headers:get("content-type"), body = stream:get_body_chars(API_BODY_MAX, BODY_TIMEOUT) or "",
  }
  local status, body = resources.answer(state, call)
  return answer(stream, status, body, { ["ratelimit-limit"] = "600", ["ratelimit-remaining"] = "599",
    ["ratelimit-reset"] = "60" })
end

local function route(state, stream)
  local request_headers = assert(stream:get_headers(BODY_TIMEOUT))
  local path, query = request_headers:get(":path"):match("^([^?]*)%??(.*)$")
  local is_token = path == "/as/token.oauth2" or path:find("^/authorization/v2/oauth2/[^/]+/token$")
  local is_post = request_headers:get(":method") == "POST"
  stream.is_head = request_headers:get(":method") == "HEAD"
  if admin.answers(state, stream, request_headers, answer) then
    return
  elseif is_token and is_post then
    state.requests.token = state.requests.token + 1
    cqueues.sleep(state.latency)
    token_endpoint(state, stream, request_headers, path)
  elseif is_post and path == "/as/revoke_token.oauth2" then
    revocation_endpoint(state, stream, request_headers)
  else
    api(state, stream, request_headers, path, query)
  end
end

-- --- commands -----------------------------------------------------------------------------------------------------

-- Commands for the methods of central.auth.sandbox.Server only, beside those of the module admin.
local OWN_COMMANDS = {
  hello = function(state)
    return { port = state.port, problem = state.problem, client_id = state.client_id,
      client_secret = state.client_secret }
  end,
  requests = function(state) return state.requests end,
  log = admin.log,
}

-- Answers the command of one socket.
local function run_command(state, socket)
  socket:onerror(function(_, _, why) return why end) -- the caller may have gone
  local line = socket:read "*l"
  if line then
    local command = json.cjson().decode(line)
    local run = OWN_COMMANDS[command.name]
    socket:write(json.cjson().encode(run and { result = run(state) }
      or { problem = admin.run(state, command.name, command.fields) }), "\n")
  end
  socket:close()
end

-- Receives a socket for each command, until the connection is closed.
local function run_commands(state, connection, loop)
  repeat
    local _, socket = connection:recvfd()
    if socket then
      loop:wrap(run_command, state, socket)
    end
  until not socket
  state.stopped = true
end

local function listen(state, settings)
  local context = ssl_context.new("TLS", true)
  context:setOptions(ssl_context.OP_NO_SSLv3 + ssl_context.OP_NO_TLSv1 + ssl_context.OP_NO_TLSv1_1)
  context:setCertificate(x509.new(settings.certificate))
  context:setPrivateKey(pkey.new(settings.key))
  context:setAlpnSelect(function(_, protocols) -- HTTP/2 for clients that offer it
    for _, protocol in ipairs(protocols) do
      if protocol == "h2" or protocol == "http/1.1" then
        return protocol
      end
    end
  end)
  local http = assert(http_server.listen {
    host = "127.0.0.1", port = math.tointeger(settings.port), tls = true, ctx = context,
    onstream = function(_, stream) admin.logged(state, stream, route) end,
    onerror = function() end, -- a client that closes its connection is not an error
  })
  assert(http:listen())
  state.http = http
  state.port = select(3, http:localname())
end

--- Serves until the connection is closed.
---@param connection userdata the socket for commands
---@param settings table
function server.serve(connection, settings)
  local state = {
    tokens = {}, requests = { token = 0, api = 0 }, latency = 0, lifetime = LIFETIME,
    workspace_lifetime = WORKSPACE_LIFETIME,
    client_id = settings.client_id or resources.random_text(16),
    client_secret = settings.client_secret or resources.random_text(16),
  }
  admin.run(state, "recover")
  local ok, why = pcall(listen, state, settings)
  state.problem = not ok and tostring(why):gsub("^.*%.lua:%d+: ", "") or nil
  local loop = cqueues.new()
  loop:wrap(run_commands, state, connection, loop)
  if ok then
    loop:wrap(state.http.loop, state.http)
  end
  repeat -- not loop(): it would not return while clients keep connections open
    assert(loop:step())
  until state.stopped
  if ok then
    state.http:close()
  end
end

return server

-- The sandbox's server, on lua-http: GreenLake's token endpoint and a few of Central's API calls. Runs in a separate
-- thread with its own Lua state, and receives a socket for each command.
-- SPDX-License-Identifier: MIT

local resources = require "central.auth.sandbox.resources"
local admin = require "central.auth.sandbox.admin"
local cjson = require "cjson"
local cqueues = require "cqueues"
local http_headers = require "http.headers"
local http_server = require "http.server"
local http_util = require "http.util"
local json = require "central.auth.json"
local pkey = require "openssl.pkey"
local ssl_context = require "openssl.ssl.context"
local x509 = require "openssl.x509"

local random_text = resources.random_text

local server = {}

local BODY_MAX = 64 * 1024
local BODY_TIMEOUT = 10 -- seconds for a request's headers, and for its body
local LOG_MAX = 1000    -- requests
local LIFETIME = 7199   -- seconds of a token, like GreenLake's for Central
local WORKSPACE_LIFETIME = 899 -- of a token of a workspace or a tenant

-- An endpoint is a function of the state and of a request: method, path, query and its fields, headers, HTTP version,
-- and the function `body`. It returns the reply: status, body and further headers.

local TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
local ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

-- --- the token endpoint (RFC 6749, 4.4 and 5) ---------------------------------------------------------------------

local function form_decode(text)
  return http_util.decodeURIComponent((text:gsub("+", " ")))
end

local function credentials(request, fields)
  local encoded = (request.headers:get "authorization" or ""):match "^[Bb]asic +(.+)$"
  local id, secret = (encoded and require("basexx").from_base64(encoded) or ""):match "^([^:]*):(.*)$"
  if id then
    return form_decode(id), form_decode(secret)
  end
  return fields.client_id, fields.client_secret
end

-- `path`: the endpoint's. A lifetime that was set applies to all endpoints.
local function issue(state, path, issued_token_type)
  local now = cqueues.monotime()
  for token, entry in pairs(state.tokens) do
    if entry < now then
      state.tokens[token] = nil
    end
  end
  local lifetime = path:find "^/authorization/" and state.workspace_lifetime or state.lifetime
  local token = ("%s.%s.%s"):format(random_text(16), random_text(60), random_text(22))
  state.tokens[token] = now + lifetime
  return {
    access_token = token, token_type = "Bearer", expires_in = math.tointeger(lifetime) or lifetime,
    issued_token_type = issued_token_type,
  }
end

local function is_live(state, token)
  local expiry = token and state.tokens[token]
  return expiry and expiry > cqueues.monotime()
end

-- Token exchange (RFC 8693) as GreenLake does it: at the tenant's endpoint, without the client's credentials.
local function exchange(state, fields, path)
  if not path:find("^/authorization/") or fields.subject_token_type ~= ACCESS_TOKEN then
    return 400, { error = "invalid_request" }
  elseif not is_live(state, fields.subject_token) then
    return 401, { error = "invalid_token", error_description = "The subject token is not active." }
  end
  return 200, issue(state, path, ACCESS_TOKEN)
end

-- Returns the reply with a configured failure if one is due.
local function due_failure(failure)
  if failure.times == 0 then
    return nil
  end
  failure.times = failure.times - 1
  local after = failure.retry_after
  return math.tointeger(failure.status), nil, after and { ["retry-after"] = ("%d"):format(after) }
end

-- Returns the refusal of a client that is not authenticated.
local function refusal(state, request, fields)
  local id, secret = credentials(request, fields)
  if not id then
    return 400, { error = "invalid_request" }
  elseif id ~= state.client_id or secret ~= state.client_secret then
    return 401, { error = "invalid_client", error_description = "Invalid client credentials." }
  end
end

local function token_endpoint(state, request)
  local fields = resources.fields(request.body(BODY_MAX))
  if fields.grant_type == TOKEN_EXCHANGE then
    return exchange(state, fields, request.path)
  elseif not fields.grant_type then
    return 400, { error = "invalid_request" }
  end
  local status, body = refusal(state, request, fields)
  if not status and fields.grant_type ~= "client_credentials" then
    return 400, { error = "unsupported_grant_type" }
  end
  return status or 200, body or issue(state, request.path)
end

-- RFC 7009: an unknown token is not an error.
local function revocation_endpoint(state, request)
  local fields = resources.fields(request.body(BODY_MAX))
  local status, body = refusal(state, request, fields)
  if not status then
    state.tokens[fields.token or ""] = nil
  end
  return status or 200, body
end

-- --- APIs ----------------------------------------------------------------------------------------------------------

local API_LIMIT = { ["ratelimit-limit"] = "600", ["ratelimit-remaining"] = "599", ["ratelimit-reset"] = "60" }

local function api(state, request)
  if not is_live(state, (request.headers:get "authorization" or ""):match "^[Bb]earer +(.+)$") then
    return 401, { message = "The access token is missing, expired or revoked.", httpStatusCode = 401 },
      { ["www-authenticate"] = 'Bearer error="invalid_token"' }
  end
  local status, body = resources.answer(state, request)
  return status, body, API_LIMIT
end

-- --- requests ------------------------------------------------------------------------------------------------------

-- Returns the endpoint of a request, and its kind, by which requests are counted and fail.
local function endpoint_of(method, path)
  if method == "POST" and (path == "/as/token.oauth2" or path:find "^/authorization/v2/oauth2/[^/]+/token$") then
    return token_endpoint, "token"
  elseif method == "POST" and path == "/as/revoke_token.oauth2" then
    return revocation_endpoint
  end
  return api, "api"
end

local function answer(state, request)
  local endpoint, kind = endpoint_of(request.method, request.path)
  local status, body, more = admin.limit_rate(state)
  if not status and kind then
    state.requests[kind] = state.requests[kind] + 1
    cqueues.sleep(kind == "token" and state.latency or 0)
    status, body, more = due_failure(state.fail[kind])
  end
  if status then
    return status, body, more
  end
  return endpoint(state, request)
end

local function reply(stream, method, status, body, more)
  local headers = http_headers.new()
  headers:append(":status", tostring(status))
  headers:append("content-type", "application/json")
  headers:append("cache-control", "no-store")
  headers:append("date", http_util.imf_date())
  for name, value in pairs(more or {}) do
    headers:append(name, value)
  end
  local text = body and method ~= "HEAD" and json.cjson().encode(body) or ""
  assert(stream:write_headers(headers, text == ""))
  if text ~= "" then
    assert(stream:write_chunk(text, true))
  end
end

-- Answers a request, and adds it to the log unless it is an admin command.
local function serve_stream(state, stream)
  local started = cqueues.monotime()
  local headers = assert(stream:get_headers(BODY_TIMEOUT))
  local method, target = headers:get ":method", headers:get ":path"
  local path, query = target:match "^([^?]*)%??(.*)$"
  local request = {
    method = method, path = path, query = query, fields = resources.fields(query), headers = headers,
    version = stream.connection.version,
    body = function(most) return stream:get_body_chars(most, BODY_TIMEOUT) or "" end,
  }
  local command = path:match "^/sandbox/?([%w_]*)$"
  if command then
    return reply(stream, method, admin.answer(state, request, command))
  end
  local status, body, more = answer(state, request)
  reply(stream, method, status, body, more)
  if #state.log < LOG_MAX then
    state.log[#state.log + 1] = { at = os.time(), method = method, path = target, status = status,
      ms = (cqueues.monotime() - started) * 1000 }
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
  log = function(state) -- those since the last call
    local log = state.log
    state.log = {}
    return setmetatable(log, cjson.array_mt)
  end,
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
    onstream = function(_, stream) serve_stream(state, stream) end,
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
    tokens = {}, requests = { token = 0, api = 0 }, log = {}, latency = 0, lifetime = LIFETIME,
    workspace_lifetime = WORKSPACE_LIFETIME,
    client_id = settings.client_id or random_text(16),
    client_secret = settings.client_secret or random_text(16),
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

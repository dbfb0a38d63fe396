-- One access token request (RFC 6749, 4.4.2): what authenticates it, the form, the exchange, and what the reply means.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local grant = require "central.auth.grant"
local lazy = require "central.auth.lazy"
local reply = require "central.auth.reply"
local task = require "central.auth.task"

local errors = lazy "central.auth.errors"

local token_request = {}

---@class central.auth.TokenRequest
local TokenRequest = {}
TokenRequest.__index = TokenRequest

---@param config central.auth.Config
---@param credential central.auth.Credential
---@param clock userdata
---@param transport? table nil: the network
function token_request.new(config, credential, clock, transport)
  return setmetatable({
    _config = config, _credential = credential, _clock = clock,
    _transport = transport or require("central.auth.transport").new(clock),
  }, TokenRequest)
end

local function left(self, deadline)
  return math.max(deadline - self._clock:boot(), 0.001)
end

local function describe(self, body, authorization, deadline)
  local config, seconds = self._config, left(self, deadline)
  return {
    url = config.token_url, user_agent = config.user_agent, body = body, authorization = authorization,
    ca_file = config.ca_file, ca_path = config.ca_path, crl_file = config.crl_file,
    cert_file = config.cert_file, key_file = config.key_file, proxy = config.proxy,
    timeout = seconds, connect_timeout = math.min(config.connect_timeout, seconds),
  }
end

-- What the network's words leave out: whose host it was, and what may help.
local function explain(self, message, code)
  local config = self._config
  local from = config.from.token_url or config.from.workspace_id
  local hint = code == "tls" and not (config.ca_file or config.ca_path)
    and "; where the certificate is of a private authority, or a proxy's, name that in ca_file" or ""
  local proxy = config.proxy and "; proxy from " .. config.from.proxy or ""
  return ("%s (asking %s%s%s%s)"):format(message, config.token_url:match("^%w+://([^/?#]+)"),
    from and ", token_url from " .. from or "", proxy, hint)
end

-- The reply, for which the task waits; a task that is given up gives the request up.
local function exchange(self, request, share, lock, alarm)
  local transport, arrived = self._transport, false
  local _ <close> = setmetatable({}, { __close = function()
    if not arrived then
      transport:close()
    end
  end })
  transport:start(request, share, lock, alarm)
  while not transport:wait(0) do
    task.wait(transport)
  end
  arrived = true
  return transport:finish()
end

--- Sends it, within a task. The grant and the raw reply it came in; or nil, the raw reply if there was one, message,
--- code, detail. `means`: `held`, a token no message may repeat; `share`, `lock` and `alarm` as of Transport:start.
---@param deadline number boot time
---@param means table
function TokenRequest:send(deadline, means)
  local assertion, body, authorization, message, code, detail
  if self._credential:asserts() then
    assertion, message, code, detail = self._credential:assertion(left(self, deadline))
    if not assertion then
      return nil, nil, message, code, detail
    end
  end
  local secret = not assertion and self._credential.secret or nil
  body, authorization = grant.client_credentials(self._config, { secret = secret, assertion = assertion })
  local request = describe(self, body, authorization, deadline)
  local raw, granted
  raw, message, code, detail = exchange(self, request, means.share, means.lock, means.alarm)
  local function clean(text)
    local basic <close> = grant.basic(self._config, secret)
    return errors.printable(core.redact(text, secret, assertion, basic, means.held))
  end
  if raw then
    granted, message, code, detail = reply.read(raw, clean)
  else
    message = explain(self, clean(message), code)
  end
  if assertion then
    assertion:wipe()
  end
  return granted, raw, message, code, detail
end

function TokenRequest:close()
  self._transport:close()
end

return token_request

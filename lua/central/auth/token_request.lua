-- One access token request (RFC 6749, 4.4.2): what authenticates it, the form, the exchange, and what the reply means.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local grant = require "central.auth.grant"
local lazy = require "central.auth.lazy"
local reply = require "central.auth.reply"

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

local function wipe(...)
  for i = 1, select("#", ...) do
    local secret = select(i, ...)
    if secret then
      secret:wipe()
    end
  end
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

--- Sends it. The grant and the raw reply it came in; or nil, the raw reply if there was one, message, code, detail.
--- `held` is a token that no message may repeat.
---@param deadline number boot time
---@param held? string
function TokenRequest:send(deadline, held)
  local assertion, body, authorization, message, code, detail
  if self._credential:asserts() then
    assertion, message, code, detail = self._credential:assertion(left(self, deadline))
    if not assertion then
      return nil, nil, message, code, detail
    end
  end
  local secret = not assertion and self._credential.secret or nil
  body, authorization = grant.client_credentials(self._config, { secret = secret, assertion = assertion })
  local function clean(text)
    return errors.printable(core.redact(text, secret, assertion, authorization, held))
  end
  local raw, granted
  raw, message, code, detail = self._transport:send(describe(self, body, authorization, deadline))
  if raw then
    granted, message, code, detail = reply.read(raw, clean)
  else
    message = explain(self, clean(message), code)
  end
  wipe(body, authorization, assertion)
  return granted, raw, message, code, detail
end

function TokenRequest:close()
  self._transport:close()
end

return token_request

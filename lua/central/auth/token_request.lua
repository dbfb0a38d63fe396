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
---@param pool central.auth.Pool
function token_request.new(config, credential, clock, pool)
  return setmetatable({ _config = config, _credential = credential, _clock = clock, _pool = pool }, TokenRequest)
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

-- The form and the header: of a token exchange where there is a subject token.
local function form(config, proof, subject_token)
  if subject_token then
    return grant.token_exchange(config, subject_token, config.exchange.authenticate and proof or nil)
  end
  return grant.client_credentials(config, proof)
end

--- Sends it, within a task. The grant and the raw reply it came in; or nil, the raw reply if there was one, message,
--- code, detail. `means` as of Pool:exchange, and `held`, a token no message may repeat; `subject_token`, to be
--- exchanged.
---@param deadline number boot time
---@param means table
function TokenRequest:send(deadline, means)
  local assertion, body, authorization, message, code, detail
  local subject_token = means.subject_token
  if self._credential:asserts() and not (subject_token and not self._config.exchange.authenticate) then
    assertion, message, code, detail = self._credential:assertion(math.max(deadline - self._clock:boot(), 0.001))
    if not assertion then
      return nil, nil, message, code, detail
    end
  end
  local secret = not assertion and self._credential.secret or nil
  body, authorization = form(self._config, { secret = secret, assertion = assertion }, subject_token)
  local raw, granted
  raw, message, code, detail = self._pool:exchange(
    { url = self._config.token_url, body = body, authorization = authorization }, deadline, means)
  local function clean(text)
    local basic <close> = grant.basic(self._config, secret)
    return errors.printable(core.redact(text, secret, assertion, basic, means.held, subject_token))
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

return token_request

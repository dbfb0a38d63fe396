-- One access token request (RFC 6749, 4.4.2): what authenticates it, the form, the exchange, and what the reply means.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local grant = require "central.auth.token.grant"
local lazy = require "central.auth.lazy"
local reply = require "central.auth.token.response"

local errors = lazy "central.auth.errors"
local json = lazy "central.auth.json"
local proxy = lazy "central.auth.config.proxy"
local refusal = lazy "central.auth.token.refusal"

local token_request = {}

---@class central.auth.TokenRequest
local TokenRequest = {}
TokenRequest.__index = TokenRequest

--- The same for the first and every later request.
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
  return ("%s (asking %s%s%s%s)"):format(message, config.token_url:match("^%w+://([^/?#]+)"),
    from and ", token_url from " .. from or "", proxy.source(config, config.token_url), hint)
end

-- What proves that we are the client: the secret, or an assertion made for this try.
local function prove(self, deadline)
  if not self._credential:asserts() then
    return { secret = self._credential.secret }
  end
  local assertion, message, code, detail = self._credential:assertion(math.max(deadline - self._clock:boot(), 0.001))
  if not assertion then
    return nil, message, code, detail
  end
  return { assertion = assertion }
end

-- The form and the header: of a token exchange where there is a subject token.
local function form(config, proof, subject_token)
  if subject_token then
    return grant.token_exchange(config, subject_token, config.exchange.authenticate and proof or nil)
  end
  return grant.client_credentials(config, proof)
end

--- A function that makes text from elsewhere fit to print: without what proves us, and without these tokens.
---@param config central.auth.Config
---@param proof { secret?: userdata, assertion?: userdata }
---@return fun(text: string): string
function token_request.cleaner(config, proof, ...)
  local tokens = table.pack(...)
  return function(text)
    local basic <close> = grant.basic(config, proof.secret)
    return errors.printable(core.redact(text, proof.secret, proof.assertion, basic,
      table.unpack(tokens, 1, tokens.n)))
  end
end

--- Sends it, within a task. The grant and the raw reply it came in; or nil, the raw reply if there was one, message,
--- code, detail. `means` as of Pool:exchange, and `held`, a token no message may repeat; `subject_token`, to be
--- exchanged.
---@param deadline number boot time
---@param means table
function TokenRequest:send(deadline, means)
  local subject_token, proof = means.subject_token, {}
  local message, code, detail
  if not subject_token or self._config.exchange.authenticate then
    proof, message, code, detail = prove(self, deadline)
    if not proof then
      return nil, nil, message, code, detail
    end
  end
  local _ <close> = proof.assertion
  local raw, granted
  local body, authorization = form(self._config, proof, subject_token)
  raw, message, code, detail = self._pool:exchange(
    { url = self._config.token_url, body = body, authorization = authorization }, deadline, means)
  local clean = token_request.cleaner(self._config, proof, means.held, subject_token)
  if raw then
    granted, message, code, detail = reply.read(raw, clean)
  else
    message = explain(self, clean(message), code)
  end
  return granted, raw, message, code, detail
end

--- Revokes a token (RFC 7009), within a task.
---@param token string
---@param deadline number boot time
---@param alarm? userdata
---@return boolean? revoked
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function TokenRequest:revoke(token, deadline, alarm)
  local proof, message, code, detail = prove(self, deadline)
  if not proof then
    return nil, message, code, detail
  end
  local _ <close> = proof.assertion
  local body, authorization = grant.revocation(self._config, token, proof)
  local raw
  raw, message, code, detail = self._pool:exchange(
    { url = self._config.revocation_url, body = body, authorization = authorization }, deadline, { alarm = alarm })
  local clean = token_request.cleaner(self._config, proof, token)
  if raw and raw.status == 200 then
    return true
  elseif raw then
    raw, message, code, detail = refusal.of(raw, json.object(raw.body), clean)
  else
    message = clean(message)
  end
  return raw, "the token could not be revoked: " .. message, code, detail
end

return token_request

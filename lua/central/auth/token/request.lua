-- What is sent to the token endpoint, every secret of it in native memory: the forms of the grants (RFC 6749, 4.4; RFC
-- 8693; RFC 7009), and the words for what went wrong on the way.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy
local sorted_names = require("central.auth.util").sorted_names

local errors = lazy "central.auth.errors"
local json = lazy "central.auth.json"
local proxy = lazy "central.auth.config.proxy"
local response_error = lazy "central.auth.token.response_error"
local url = lazy "central.auth.url"

local request = {}

local ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

local function add(fields, name, value)
  if type(value) == "table" then
    for _, item in ipairs(value) do
      add(fields, name, item)
    end
  elseif value ~= nil then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end

local function finish(fields, config)
  add(fields, "scope", config.scope)
  add(fields, "audience", config.audience)
  add(fields, "resource", config.resource)
  for _, name in ipairs(sorted_names(config.params or {})) do
    add(fields, name, config.params[name])
  end
  return core.form(fields)
end

--- The form of a client-credentials request, without what authenticates the client: the fetch adds that.
---@param config central.auth.Config
---@return userdata form
function request.client_credentials(config)
  return finish({ "grant_type", "client_credentials" }, config)
end

--- The form of a token exchange (RFC 8693, 2.1), as GreenLake documents it for tenants.
---@param config central.auth.Config
---@param subject_token string
---@return userdata form
function request.token_exchange(config, subject_token)
  return finish({
    "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token", subject_token,
    "subject_token_type", "urn:ietf:params:oauth:token-type:access_token",
  }, config)
end

-- How the client authenticates: `style` of an order.
local function style_of(config)
  if not config.secret or config.auth_style == "post" then
    return "post"
  end
  return config.auth_style == "basic" and "basic" or "basic_raw"
end

--- Fills in what a fetch needs to know of the client and of the way to the server. A token exchange names the client
--- only where the server wants that.
---@param order table
---@param config central.auth.Config
function request.complete(order, config)
  order.url = config.token_url
  for _, name in ipairs { "user_agent", "ca_file", "ca_path", "crl_file", "cert_file", "key_file", "proxy" } do
    order[name] = config[name]
  end
  order.connect_timeout = config.connect_timeout
  if not config.exchange or config.exchange.authenticate then
    order.client_id, order.style = config.client_id, style_of(config)
  end
end

--- A revocation (RFC 7009, 2.1) as a call of a transfer.
---@param config central.auth.Config
---@param token string
---@param secret? userdata
---@param assertion? userdata
---@return table
function request.revocation(config, token, secret, assertion)
  local fields = { "token", token, "token_type_hint", "access_token" }
  local style = style_of(config)
  local authorization = style ~= "post" and core.basic(config.client_id, secret, style == "basic") or nil
  if not authorization then
    add(fields, "client_id", config.client_id)
    add(fields, "client_secret", secret)
  end
  if assertion then
    add(fields, "client_assertion_type", ASSERTION_TYPE)
    add(fields, "client_assertion", assertion)
  end
  return { url = config.revocation_url, body = core.form(fields), authorization = authorization }
end

--- A function that makes text from elsewhere fit to print: without what authenticates the client, and without these
--- tokens.
---@param config central.auth.Config
---@param secret? userdata
---@param assertion? userdata
---@param ... string?
---@return fun(text: string): string
function request.cleaner(config, secret, assertion, ...)
  local tokens = table.pack(...)
  return function(text)
    local basic <close> = secret and core.basic(config.client_id, secret, config.auth_style == "basic") or nil
    return errors.printable(core.redact(text, secret, assertion, basic, table.unpack(tokens, 1, tokens.n)))
  end
end

--- A failure of the transfer, with what libcurl's words leave out: which host was asked, and what may help.
---@param config central.auth.Config
---@param attempt table
---@param clean fun(text: string): string
---@return central.auth.Failure
function request.failure(config, attempt, clean)
  local from = config.from.token_url or config.from.workspace_id
  local hint = attempt.code == "tls" and not (config.ca_file or config.ca_path)
    and "; where the certificate is of a private authority, or a proxy's, name that in ca_file" or ""
  return errors.failure(attempt.code, ("%s (asking %s%s%s%s)"):format(clean(attempt.message),
    (select(2, url.parts(config.token_url))), from and ", token_url from " .. from or "",
    proxy.source(config, config.token_url), hint),
    { proxy_status = attempt.proxy_status, reached = attempt.reached })
end

--- What a revocation came to.
---@param raw? central.auth.RawReply
---@param failure? central.auth.Failure
---@param clean fun(text: string): string
---@return boolean? revoked
---@return central.auth.Failure? failure
function request.revoked(raw, failure, clean)
  if raw and raw.status == 200 then
    return true
  elseif raw then
    failure = select(2, response_error.of(raw, json.object(raw.body), clean))
  end
  return nil, errors.failure(failure.code, "the token could not be revoked: "
    .. (raw and failure.message or clean(failure.message)), failure.detail)
end

return request

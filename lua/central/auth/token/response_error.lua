-- A reply that brings no token, or a request without a reply -> the failure it stands for, in words, and what follows
-- from it: whether a retry may succeed, whether the credentials were refused. Bodies may be missing, and codes may be
-- others than the RFC's.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local error_text = require "central.auth.error_text"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local lazy = require("central.auth.util").lazy

local proxy = lazy "central.auth.config.proxy"
local url = lazy "central.auth.url"

local fail = errors.failure

local response_error = {}

--- Returns a function that makes text from elsewhere safe to print: without what authenticates the client, its token,
--- or `other_token`.
---@param source central.auth.TokenSource
---@param assertion? userdata
---@param other_token? string
---@return fun(text: string): string
function response_error.cleaner(source, assertion, other_token)
  local config, secret, token = source.config, source.client_secret.current, source.current:token()
  return function(text)
    local basic <close> = secret and core.basic(config.client_id, secret, config.auth_style == "basic") or nil
    return errors.printable(core.redact(text, secret, assertion, basic, token, other_token))
  end
end

local ADVICE = {
  invalid_client = "the client id or secret is wrong, or the credential was reset or deleted: look under Personal API"
    .. " clients in HPE GreenLake",
  invalid_scope = "the scope is unknown or not granted to this client",
  unauthorized_client = "this client may not use the client-credentials grant",
  unsupported_grant_type = "the endpoint does not know this grant: is token_url right?",
}

local function oauth_failure(fields, detail, clean, challenge)
  local name = clean(fields.error)
  local parts = { ("the server answered %s"):format(name) }
  parts[#parts + 1] = error_text.add(detail, fields, challenge, clean, "error")
  parts[#parts + 1] = ADVICE[detail.status == 401 and name == "unauthorized_client" and "invalid_client" or name]
  detail.oauth_error = name
  return fail("oauth", table.concat(parts, "; "), detail)
end

--- Whether the body is in an encoding.
---@param raw central.auth.RawReply
---@return boolean
function response_error.has_encoding(raw)
  return raw.content_encoding ~= nil and raw.content_encoding:lower() ~= "identity"
end

--- What is to be said of a body in an encoding; "" where it has none.
---@param raw central.auth.RawReply
---@param clean fun(text: string): string
---@return string
function response_error.encoding(raw, clean)
  return response_error.has_encoding(raw)
    and ("; its Content-Encoding is %s, which is not decoded here"):format(clean(raw.content_encoding:lower())) or ""
end

-- Returns the host that is asked for tokens, and where it was set.
local function endpoint(config)
  local from = config.from.token_url or config.from.workspace_id
  return ("%s%s%s"):format(select(2, url.parts(config.token_url)), from and ", token_url from " .. from or "",
    proxy.source(config, config.token_url))
end

local function http_failure(raw, fields, detail, clean, challenge, config)
  local status = raw.status
  if status >= 300 and status < 400 then
    local where = raw.location_host and (" to " .. clean(raw.location_host)) or ""
    return fail("http", ("HTTP status %d: a redirect%s, not followed: it would carry the secret along"):format(
      status, where), detail)
  end
  local said = error_text.add(detail, fields, challenge, clean)
  if status >= 200 and status < 300 then
    return fail("reply", ("the reply is not a JSON object (Content-Type %s, %d bytes)%s"):format(
      clean(raw.content_type or "missing"), #raw.body, response_error.encoding(raw, clean)), detail)
  elseif said then
    return fail("http", ("HTTP status %d; %s"):format(status, said), detail)
  end
  local hint = status < 500 and ": refused without an OAuth error; wrong credentials, wrong token_url, or something"
    .. " between here and the server" or ""
  return fail("http", ("HTTP status %d%s%s%s"):format(status, hint, response_error.encoding(raw, clean),
    config and (" (asking %s)"):format(endpoint(config)) or ""), detail)
end

-- What is wrong with the token in a reply.
local function token_problem(fields, clean)
  local token, kind = fields.access_token, fields.token_type
  if token == nil or token == cjson.null then
    return "the reply has no access_token"
  elseif type(token) ~= "string" then
    return "access_token is not a string"
  elseif token == "" then
    return "access_token is empty"
  elseif token:find("[^\x21-\x7E]") then
    return "access_token holds a character that no header may carry"
  elseif type(kind) ~= "string" then
    return "token_type is not a string"
  end
  return ("the token is of type %q; only bearer tokens work here"):format(clean(kind))
end

--- What is known of a reply beside its words.
---@param raw central.auth.RawReply
---@return central.auth.Detail
function response_error.detail(raw)
  return { status = raw.status, retry_after = raw.retry_after }
end

--- The failure that a reply without a token stands for.
---@param raw central.auth.RawReply
---@param clean fun(text: string): string makes text from the server fit to print; the caller knows the secrets
---@param config? central.auth.Config of a reply of its token endpoint
---@return central.auth.Failure failure
function response_error.of(raw, clean, config)
  local detail, fields = response_error.detail(raw), json.object(raw.body)
  local challenge = error_text.challenge(raw.challenge)
  local names_error = fields and type(fields.error) == "string" and fields.error ~= ""
  if raw.status == 429 then
    local said = error_text.add(detail, fields, challenge, clean)
    return fail("rate_limited",
      "HTTP status 429: too many token requests" .. (said and "; " .. said or ""), detail)
  elseif names_error and (raw.status < 300 or raw.status >= 400) then
    return oauth_failure(fields, detail, clean, challenge)
  elseif fields and raw.status >= 200 and raw.status < 300 then
    return fail("reply", token_problem(fields, clean), detail)
  end
  return http_failure(raw, fields, detail, clean, challenge, config)
end

--- What may help where a server's certificate was refused; "" after any other failure.
---@param config central.auth.Config
---@param code central.auth.Code
---@return string
function response_error.trust_advice(config, code)
  local option = config.ca_file and "ca_file" or config.ca_path and "ca_path"
  if code ~= "tls" then
    return ""
  elseif option then
    return ("; only the authorities in %s are trusted (%s from %s)"):format(errors.printable(config[option]), option,
      config.from[option])
  end
  return "; if a private authority, or a proxy that inspects TLS, issued the certificate, set ca_file to that"
    .. " authority's certificate"
end

--- The failure of a request without a reply: which host was asked, and what may help.
---@param config central.auth.Config
---@param attempt table
---@param clean fun(text: string): string
---@return central.auth.Failure failure
function response_error.of_transfer(config, attempt, clean)
  return errors.failure(attempt.code, ("%s (asking %s%s)"):format(clean(attempt.message), endpoint(config),
    response_error.trust_advice(config, attempt.code)),
    { proxy_status = attempt.proxy_status, reached = attempt.reached })
end

local TRANSIENT_CODES = { resolve = true, connect = true, timeout = true, network = true, rate_limited = true }
-- 520 to 524 are what some proxies say of a server that they cannot reach.
local TRANSIENT_STATUS = {
  [408] = true, [425] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true,
  [520] = true, [521] = true, [522] = true, [523] = true, [524] = true,
}
local TRANSIENT_ERRORS = { temporarily_unavailable = true, server_error = true }
-- Those of RFC 6749, 5.2, mean the request, also with the status 500.
local FINAL_ERRORS = {
  invalid_client = true, invalid_grant = true, invalid_request = true, invalid_scope = true,
  unauthorized_client = true, unsupported_grant_type = true,
}

--- Whether a retry may succeed although nothing was changed.
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function response_error.transient(code, detail)
  if TRANSIENT_ERRORS[detail.oauth_error] then
    return true
  elseif FINAL_ERRORS[detail.oauth_error] and detail.status == 500 then
    return false
  end
  return TRANSIENT_STATUS[detail.status] or (TRANSIENT_CODES[code] and not detail.proxy_status) or false
end

--- Whether the server refused these credentials: in the RFC's words or, as some do, with a 401 and other words, or
--- with a bare 401 or 403.
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function response_error.rejected(code, detail)
  return detail.oauth_error == "invalid_client" or detail.status == 401 and (code == "oauth" or code == "http")
    or detail.status == 403 and code == "http"
end

return response_error

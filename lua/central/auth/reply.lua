-- A raw reply of a token endpoint -> a token, or the failure it stands for. Trusts nothing: status, body and every
-- field are checked by hand, for servers bend the RFC and lua-cjson lets much pass.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local errors = require "central.auth.errors"

---@class central.auth.RawReply
---@field status integer
---@field body string
---@field sent_boot number seconds on the boot clock, before the request left
---@field sent_wall number the same on the wall clock
---@field received_wall number
---@field date? integer the server's clock
---@field retry_after? number
---@field content_type? string
---@field location_host? string of a redirect

---@class central.auth.Grant
---@field access_token string
---@field expires_in? number absent when the server does not say or says nonsense
---@field refresh_in? number
---@field scope? string
---@field odd string[] what was unusual, in words

local reply = {}

local RETRY_AFTER_MAX = 3600

local decoder = cjson.new()
decoder.decode_max_depth(16)
decoder.decode_invalid_numbers(true) -- so that a NaN in one field does not cost the token in another

-- Bodies begin with a byte-order mark now and then (RFC 8259, 8.1 lets a parser skip it).
local function decode(body)
  local text = body:gsub("^\xEF\xBB\xBF", "", 1)
  if text:find("\0", 1, true) or not utf8.len(text) then
    return nil
  end
  local ok, value = pcall(decoder.decode, text)
  return ok and type(value) == "table" and text:find("^%s*{") and value or nil
end

-- A number, or a string that is one from end to end; finite and above zero. Anything else was not said.
local function seconds(value)
  if type(value) == "string" then
    value = value:match("^%s*(%d+%.?%d*[eE]?[+-]?%d*)%s*$")
    value = value and tonumber(value)
  end
  if type(value) ~= "number" or value ~= value or value <= 0 or value == math.huge then
    return nil
  end
  return value
end

-- A JWT tells its own life. Only its length is used, so it matters not whose clock is right (RFC 7519, 4.1).
local function jwt_life(token)
  local payload = token:match("^[%w_-]+%.([%w_-]+)%.[%w_-]*$")
  local json = payload and core.base64url_decode(payload)
  local claims = json and decode(json)
  local issued = claims and (seconds(claims.iat) or seconds(claims.nbf))
  local expires = claims and seconds(claims.exp)
  return issued and expires and seconds(expires - issued)
end

local function expires_in(fields, odd)
  local said = seconds(fields.expires_in)
  if said and said <= 86400 then
    return said
  end
  local own = jwt_life(fields.access_token)
  odd[#odd + 1] = (said and "expires_in is over a day" or "expires_in is missing or no positive number")
    .. (own and "; taken from the JWT" or said and "; cut to a day" or "; taken as five minutes")
  return own or said
end

local BEARER = { bearer = true, bearertoken = true }

-- nil: fine; otherwise what is wrong with the type.
local function type_problem(value, odd, clean)
  if value == nil or value == cjson.null then
    odd[#odd + 1] = "token_type is missing"
    return nil
  end
  local name = type(value) == "string" and value:lower() or nil
  if not (name and BEARER[name]) then
    return name and ("the token is of type %q; only bearer tokens work here"):format(clean(value))
      or "token_type is not a string"
  end
  if name ~= "bearer" then
    odd[#odd + 1] = "token_type is BearerToken"
  end
  return nil
end

local function token_problem(token)
  if token == nil or token == cjson.null then
    return "the reply has no access_token"
  elseif type(token) ~= "string" then
    return "access_token is not a string"
  elseif token == "" then
    return "access_token is empty"
  elseif token:find("[^\x21-\x7E]") then
    return "access_token holds a character that no header may carry"
  end
  return nil
end

local function grant_of(fields, clean)
  local odd = {}
  local problem = token_problem(fields.access_token) or type_problem(fields.token_type, odd, clean)
  if problem then
    return errors.fail("reply", problem)
  end
  return {
    access_token = fields.access_token,
    expires_in = expires_in(fields, odd),
    refresh_in = seconds(fields.refresh_in),
    scope = type(fields.scope) == "string" and fields.scope or nil,
    odd = odd,
  }
end

local ADVICE = {
  invalid_client = "the client id or secret is wrong, or the credential was reset or deleted: look under Personal API"
    .. " clients in HPE GreenLake",
  invalid_scope = "the scope is unknown or not granted to this client",
  unauthorized_client = "this client may not use the client-credentials grant",
  unsupported_grant_type = "the endpoint does not know this grant: is token_url right?",
}

local function oauth_failure(fields, detail, clean)
  local name = clean(fields.error)
  local told = type(fields.error_description) == "string" and fields.error_description or nil
  local parts = { ("the server answered %s"):format(name) }
  parts[#parts + 1] = told and ("it says: %s"):format(clean(told)) or nil
  parts[#parts + 1] = ADVICE[name]
  detail.oauth_error = name
  return errors.fail("oauth", table.concat(parts, "; "), detail)
end

local function http_failure(raw, detail, clean)
  local status = raw.status
  if status >= 300 and status < 400 then
    local where = raw.location_host and (" to " .. clean(raw.location_host)) or ""
    return errors.fail("http", ("HTTP status %d: a redirect%s, not followed: it would carry the secret along"):format(
      status, where), detail)
  elseif status >= 200 and status < 300 then
    return errors.fail("reply", ("the reply is not a JSON object (Content-Type %s, %d bytes)"):format(
      clean(raw.content_type or "missing"), #raw.body), detail)
  end
  local hint = status < 500 and ": refused without an OAuth error; wrong credentials, wrong token_url, or something"
    .. " between here and the server" or ""
  return errors.fail("http", ("HTTP status %d%s"):format(status, hint), detail)
end

--- The token in a raw reply, or why there is none.
---@param raw central.auth.RawReply
---@param clean? fun(text: string): string makes text from the server fit to print; the caller knows the secrets
---@return central.auth.Grant? grant
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function reply.read(raw, clean)
  clean = clean or errors.printable
  local fields = decode(raw.body)
  local detail = { status = raw.status }
  detail.retry_after = raw.retry_after and math.min(raw.retry_after, RETRY_AFTER_MAX)
  if raw.status == 429 then
    return errors.fail("rate_limited", "HTTP status 429: too many token requests", detail)
  elseif fields and type(fields.error) == "string" and (raw.status < 300 or raw.status >= 400) then
    return oauth_failure(fields, detail, clean)
  elseif fields and raw.status >= 200 and raw.status < 300 then
    local grant, message, code = grant_of(fields, clean)
    if grant then
      return grant
    end
    return errors.fail(code, message, detail)
  end
  return http_failure(raw, detail, clean)
end

local TRANSIENT_CODES = { resolve = true, connect = true, timeout = true, network = true, rate_limited = true }
local TRANSIENT_STATUS = {
  [408] = true, [425] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true,
}
local TRANSIENT_ERRORS = { temporarily_unavailable = true, server_error = true }

--- Whether a new try may succeed without anybody changing anything.
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function reply.transient(code, detail)
  if detail.oauth_error then
    return TRANSIENT_ERRORS[detail.oauth_error] or detail.status >= 500
  end
  return TRANSIENT_STATUS[detail.status] or (TRANSIENT_CODES[code] and not detail.proxy_status) or false
end

--- Whether the server turned these credentials down, in the RFC's words or, as some do, with a bare 401 or 403.
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function reply.rejected(code, detail)
  return detail.oauth_error == "invalid_client"
    or (code == "http" and (detail.status == 401 or detail.status == 403))
end

return reply

-- A reply that brings no token -> the failure it stands for, in words, and what follows from it: whether a new try may
-- succeed, whether the credentials were turned down. Bodies may be missing and codes other than the RFC's.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"

local refusal = {}

local RETRY_AFTER_MAX = 3600

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

--- What is to be said of a body in an encoding; "" where it has none.
---@param raw central.auth.RawReply
---@param clean fun(text: string): string
---@return string
function refusal.encoding(raw, clean)
  local name = (raw.content_encoding or "identity"):lower()
  return name ~= "identity" and ("; its Content-Encoding is %s, which is not decoded here"):format(clean(name)) or ""
end

local function http_failure(raw, detail, clean)
  local status = raw.status
  if status >= 300 and status < 400 then
    local where = raw.location_host and (" to " .. clean(raw.location_host)) or ""
    return errors.fail("http", ("HTTP status %d: a redirect%s, not followed: it would carry the secret along"):format(
      status, where), detail)
  elseif status >= 200 and status < 300 then
    return errors.fail("reply", ("the reply is not a JSON object (Content-Type %s, %d bytes)%s"):format(
      clean(raw.content_type or "missing"), #raw.body, refusal.encoding(raw, clean)), detail)
  end
  local hint = status < 500 and ": refused without an OAuth error; wrong credentials, wrong token_url, or something"
    .. " between here and the server" or ""
  return errors.fail("http", ("HTTP status %d%s%s"):format(status, hint, refusal.encoding(raw, clean)), detail)
end

--- What is known of a reply beside its words.
---@param raw central.auth.RawReply
---@return central.auth.Detail
function refusal.detail(raw)
  return { status = raw.status, retry_after = raw.retry_after and math.min(raw.retry_after, RETRY_AFTER_MAX) }
end

--- The failure that a reply stands for. `fields` is its JSON object, if it is one.
---@param raw central.auth.RawReply
---@param fields? table
---@param clean fun(text: string): string makes text from the server fit to print
function refusal.of(raw, fields, clean)
  local detail = refusal.detail(raw)
  if raw.status == 429 then
    return errors.fail("rate_limited", "HTTP status 429: too many token requests", detail)
  elseif fields and type(fields.error) == "string" and (raw.status < 300 or raw.status >= 400) then
    return oauth_failure(fields, detail, clean)
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
function refusal.transient(code, detail)
  if detail.oauth_error then
    return TRANSIENT_ERRORS[detail.oauth_error] or detail.status >= 500
  end
  return TRANSIENT_STATUS[detail.status] or (TRANSIENT_CODES[code] and not detail.proxy_status) or false
end

--- Whether the server turned these credentials down, in the RFC's words or, as some do, with a bare 401 or 403.
---@param code central.auth.Code
---@param detail central.auth.Detail
---@return boolean
function refusal.rejected(code, detail)
  return detail.oauth_error == "invalid_client"
    or (code == "http" and (detail.status == 401 or detail.status == 403))
end

return refusal

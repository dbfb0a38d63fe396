-- A raw reply of a token endpoint -> a token, if it brings one; else response_error says why not. Trusts nothing:
-- status, body and every field are checked by hand, for servers bend the RFC and lua-cjson lets much pass.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local json = require "central.auth.json"

---@class central.auth.RawReply
---@field status integer
---@field body string
---@field sent_boot? number boot clock, before the request left; of API calls only with `log` or `on_event`
---@field sent_wall? number wall clock, likewise; not of API calls
---@field received_boot? number of API calls only with `log` or `on_event`
---@field received_wall? number likewise, and of those without a date
---@field id? integer of the record that holds it
---@field shared? boolean it was read from a record, which another process may have written
---@field failures? integer of a record: in a row, this one counted
---@field sent_twice? boolean as a kept connection was silent: the server may have acted twice
---@field date? integer the server's clock
---@field retry_after? number
---@field content_type? string
---@field content_encoding? string
---@field challenge? string WWW-Authenticate
---@field location_host? string of a redirect
---@field header_lines? string of an API call
---@field trace? string of one that is logged so far

---@class central.auth.TokenResponse
---@field access_token string
---@field expires_in? number absent when the server does not say or says nonsense
---@field refresh_in? number
---@field scope? string

local response = {}

local DIGITS_MAX = 40 -- characters of a number that comes as a string; matching takes the cube of their count

--- A number, or a string that is one from end to end; finite and above zero. Anything else was not said.
---@param value any
---@return number?
function response.seconds(value)
  if type(value) == "string" then
    value = #value <= DIGITS_MAX and value:match("^%s*(%d+%.?%d*[eE]?[+-]?%d*)%s*$")
    value = value and tonumber(value)
  end
  if type(value) ~= "number" or value ~= value or value <= 0 or value == math.huge then
    return nil
  end
  return value
end

--- When a JWT was issued and when it expires, by its server's clock (RFC 7519, 4.1); nil: it does not say.
---@param token string
---@return number? issued
---@return number? expires
function response.jwt_times(token)
  local payload = token:match("^[%w_-]+%.([%w_-]+)%.[%w_-]*$")
  local text = payload and core.base64url_decode(payload)
  local claims = text and json.object(text) or {}
  return response.seconds(claims.iat) or response.seconds(claims.nbf), response.seconds(claims.exp)
end

-- Only the length of a JWT's life is used, so it matters not whose clock is right.
local function jwt_life(token)
  local issued, expires = response.jwt_times(token)
  return issued and expires and response.seconds(expires - issued)
end

local function expires_in(fields)
  local said = response.seconds(fields.expires_in)
  return said and said <= 86400 and said or jwt_life(fields.access_token) or said
end

local BEARER = { bearer = true, bearertoken = true }

-- Some servers send no type.
local function is_bearer(value)
  return value == nil or value == cjson.null or type(value) == "string" and BEARER[value:lower()] or false
end

-- Some servers send an empty one beside a token.
local function is_error(value)
  return type(value) == "string" and value ~= ""
end

--- The token in a raw reply, or nil.
---@param raw central.auth.RawReply
---@return central.auth.TokenResponse?
function response.read(raw)
  local fields = raw.status >= 200 and raw.status < 300 and json.object(raw.body)
  local token = fields and not is_error(fields.error) and is_bearer(fields.token_type) and fields.access_token
  if type(token) ~= "string" or not core.is_visible(token) then
    return nil
  end
  return {
    access_token = token, expires_in = expires_in(fields), refresh_in = response.seconds(fields.refresh_in),
    scope = type(fields.scope) == "string" and fields.scope or nil,
  }
end

return response

-- A raw reply of a token endpoint -> a token, or the failure it stands for (`refusal` has the words). Trusts nothing:
-- status, body and every field are checked by hand, for servers bend the RFC and lua-cjson lets much pass.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local json = require "central.auth.json"
local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"
local response_error = lazy "central.auth.token.response_error"

---@class central.auth.RawReply
---@field status integer
---@field body string
---@field sent_boot number seconds on the boot clock, before the request left
---@field sent_wall number the same on the wall clock
---@field received_boot number
---@field received_wall number
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

---@class central.auth.TokenResponse
---@field access_token string
---@field expires_in? number absent when the server does not say or says nonsense
---@field refresh_in? number
---@field scope? string
---@field odd string[] what was unusual, in words

local response = {}

local DIGITS_MAX = 40 -- characters of a number that comes as a string; matching takes the cube of their count

-- A number, or a string that is one from end to end; finite and above zero. Anything else was not said.
local function seconds(value)
  if type(value) == "string" then
    value = #value <= DIGITS_MAX and value:match("^%s*(%d+%.?%d*[eE]?[+-]?%d*)%s*$")
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
  local text = payload and core.base64url_decode(payload)
  local claims = text and json.object(text)
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
    return name and ("the token is of type %q; only bearer tokens work here"):format(
      (clean or errors.printable)(value))
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

local function token_of(fields, clean)
  local odd = {}
  local problem = token_problem(fields.access_token) or type_problem(fields.token_type, odd, clean)
  if problem then
    return nil, problem
  end
  return {
    access_token = fields.access_token,
    expires_in = expires_in(fields, odd),
    refresh_in = seconds(fields.refresh_in),
    scope = type(fields.scope) == "string" and fields.scope or nil,
    odd = odd,
  }
end

-- Some servers send an empty one beside a token. What reads refusals is not loaded for a token.
local function is_error(value)
  return type(value) == "string" and value ~= ""
end

--- The token in a raw reply, or why there is none.
---@param raw central.auth.RawReply
---@param clean? fun(text: string): string makes text from the server fit to print; the caller knows the secrets
---@return central.auth.TokenResponse? token
---@return central.auth.Failure? failure
function response.read(raw, clean)
  local fields = json.object(raw.body)
  if raw.status < 200 or raw.status >= 300 or not fields or is_error(fields.error) then
    return response_error.of(raw, fields, clean or errors.printable)
  end
  local token, problem = token_of(fields, clean)
  if token then
    return token
  end
  return nil, errors.failure("reply", problem, response_error.detail(raw))
end

local function same_scope(a, b)
  local words = {}
  for word in a:gmatch "%S+" do
    words[word] = true
  end
  for word in b:gmatch "%S+" do
    if not words[word] then
      return false
    end
    words[word] = nil
  end
  return next(words) == nil
end

--- Adds to what was unusual that the granted scope is another one.
---@param token central.auth.TokenResponse
---@param asked? string
function response.check_scope(token, asked)
  if asked and token.scope and not same_scope(asked, token.scope) then
    token.odd[#token.odd + 1] = "the granted scope differs from the one asked for"
  end
end

return response

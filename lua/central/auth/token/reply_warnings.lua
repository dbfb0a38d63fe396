-- What was unusual in a reply that brought a usable token, for the event `odd_reply`. Loaded where events are wanted.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local json = require "central.auth.json"
local response = require "central.auth.token.response"

local reply_warnings = {}

local DAY = 86400 -- seconds

local function expires_in_warning(fields, token)
  local given = response.seconds(fields.expires_in)
  if given and given <= DAY then
    return nil
  end
  return (given and "expires_in is over a day" or "expires_in is missing or no positive number")
    .. (token.expires_in ~= given and "; taken from the JWT" or given and "; cut to a day" or "; taken as five minutes")
end

local function type_warning(value)
  if value == nil or value == cjson.null then
    return "token_type is missing"
  end
  return value:lower() ~= "bearer" and "token_type is BearerToken" or nil
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

--- What was unusual.
---@param raw central.auth.RawReply
---@param token central.auth.TokenResponse that it brought
---@param scope? string that was asked for
---@param warning? string what was unusual in this token, compared with the one held
---@return string[]
function reply_warnings.list(raw, token, scope, warning)
  local list, fields = {}, json.object(raw.body)
  list[#list + 1] = type_warning(fields.token_type)
  list[#list + 1] = expires_in_warning(fields, token)
  list[#list + 1] = warning
  if scope and token.scope and not same_scope(scope, token.scope) then
    list[#list + 1] = "the granted scope differs from the one asked for"
  end
  return list
end

return reply_warnings

-- A raw reply of an API -> what the caller of an API sees of it, or the failure it stands for, in words.
-- SPDX-License-Identifier: MIT

local clusters = require "central.auth.config.clusters"
local error_text = require "central.auth.error_text"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local refusal = require "central.auth.token.refusal"

---@class central.auth.Reply
---@field status integer HTTP
---@field headers table<string, string> by name in any case; what came more than once is joined by ", "
---@field body string as it came
---@field json? any decoded, where the reply says that it is JSON: numbers are floats, null is cjson.null
---@field rate_limit? central.auth.RateLimit

---@class central.auth.RateLimit
---@field limit? number requests the server grants in a period
---@field remaining? number of them
---@field reset? number seconds until there are more

local api_reply = {}

local RESET_MAX = 31 * 86400 -- seconds; what is beyond that is no time to wait for

local metatable = { __name = "central.auth.reply", __metatable = false }

function metatable:__tostring()
  return ("central.auth.reply (HTTP %d, %d bytes)"):format(self.status, #self.body)
end

local any_case = {
  __index = function(self, name)
    return type(name) == "string" and rawget(self, name:lower()) or nil
  end,
}

local function fields(flat)
  local headers = {}
  for i = 1, #flat, 2 do
    local name = flat[i]:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. flat[i + 1] or flat[i + 1]
  end
  return setmetatable(headers, any_case)
end

-- Seconds since 1970 of a date like 2026-11-24T20:00:00Z (RFC 3339; offsets are not in use here).
local function moment(text)
  local year, month, day, hour, minute, second = text:match("^(%d+)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):(%d%d)")
  if not year then
    return nil
  end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if month < 3 then
    year, month = year - 1, month + 12
  end
  local days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469
  return days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
end

-- The first of a list like "100, 100;w=60": what follows are the windows it is made of.
local function number_of(text)
  local digits = text:match("^[^,;]*"):match("^%s*(%d[%d.]*)%s*$")
  return digits and #digits < 16 and tonumber(digits) or nil
end

-- GreenLake counts seconds, Central names the moment; both under names like these, and others write the moment in
-- seconds or milliseconds since 1970.
local function reset_in(text, now)
  local number = number_of(text)
  local at = number and number > 1e9 and (number > 1e12 and number / 1000 or number) or moment(text)
  local seconds = at and math.max(at - now, 0) or number
  return seconds and seconds <= RESET_MAX and seconds or nil
end

local function rate_limit(headers, now)
  local function field(name)
    return headers["ratelimit-" .. name] or headers["x-ratelimit-" .. name] or ""
  end
  local limit = { limit = number_of(field("limit")), remaining = number_of(field("remaining")),
    reset = reset_in(field("reset"), now) }
  return next(limit) and limit or nil
end

--- Whether a reply says that its body is JSON, in one of its Content-Type lines. A blank body is none.
---@param reply central.auth.Reply
---@return boolean
function api_reply.claims_json(reply)
  for media in (reply.headers["content-type"] or ""):lower():gmatch("[^,]+") do
    media = media:match("^%s*([^;%s]*)")
    if media == "application/json" or media == "text/json" or media:find("^%w+/[%w.-]+%+json$") then
      return reply.body:find("%S") ~= nil
    end
  end
  return false
end

--- What the caller sees of it. `decode`: as JSON, where it says so.
---@param raw central.auth.RawReply
---@param decode boolean
---@return central.auth.Reply
function api_reply.of(raw, decode)
  local headers = fields(raw.headers)
  local reply = setmetatable({
    status = raw.status, headers = headers, body = raw.body,
    rate_limit = rate_limit(headers, raw.date or raw.received_wall),
  }, metatable)
  if decode and api_reply.claims_json(reply) then
    reply.json = json.decode(raw.body)
  end
  return reply
end

--- Seconds after which the server takes more requests, if it says so.
---@param raw central.auth.RawReply
---@param reply central.auth.Reply
---@return number?
function api_reply.retry_after(raw, reply)
  local limit = reply.rate_limit
  return refusal.detail(raw).retry_after or (limit and limit.remaining == 0 and limit.reset)
    or (raw.status == 429 and limit and limit.reset) or nil
end

local function advice(raw, call, clean)
  local host = call.host
  if raw.status == 401 and clusters.is_classic(host) then
    return (": %s is a gateway of classic Central, where tokens of new Central do not work; set base_url or cluster"
      .. " to new Central's"):format(host)
  elseif raw.status == 401 and call.is_accepted_elsewhere then
    return (": %s accepts this token for other calls; the role of the credential's user, or its workspace, probably"
      .. " lacks a permission for this one"):format(host)
  elseif raw.status == 401 then
    return (": %s refuses even tokens that were just issued, so the credential is neither reset nor deleted: it is of"
      .. " another workspace or region, or was not created for this service"):format(host)
  elseif raw.status == 403 then
    return ": the token is good; the role of the credential's user, or its workspace, does not permit this"
  elseif raw.status >= 300 and raw.status < 400 then
    return (": a redirect to %s, not followed: it would carry the token along"):format(
      clean(raw.location_host or "elsewhere"))
  end
  return ""
end

--- The failure that a reply stands for.
---@param call { name: string, host: string, is_accepted_elsewhere?: boolean }
---@param raw central.auth.RawReply
---@param reply central.auth.Reply
---@param clean fun(text: string): string
---@param retry_after? number
function api_reply.failure(call, raw, reply, clean, retry_after)
  local detail = { status = raw.status, retry_after = retry_after, reply = reply }
  local again = retry_after and ("; try again in %.0f s"):format(retry_after) or ""
  local challenge = error_text.challenge(reply.headers["www-authenticate"])
  local said = error_text.add(detail, reply.json, challenge, clean)
  detail.oauth_error = challenge and challenge.error and clean(challenge.error)
  local code = (raw.status == 429 or raw.status == 503 and retry_after) and "rate_limited" or "api"
  return errors.fail(code, ("%s: HTTP status %d%s%s%s"):format(call.name, raw.status, advice(raw, call, clean),
    said and "; " .. said or refusal.encoding(raw, clean), again), detail)
end

--- A reply that says it is JSON and is not, or whose body is in an encoding.
---@param call { name: string }
---@param raw central.auth.RawReply
---@param reply central.auth.Reply
---@param clean fun(text: string): string
function api_reply.unreadable(call, raw, reply, clean)
  local what = api_reply.claims_json(reply) and "the reply says it is JSON and is not" or "the reply can't be read"
  return errors.fail("reply", ("%s: %s (%d bytes)%s"):format(call.name, what, #reply.body,
    refusal.encoding(raw, clean)), { status = reply.status, reply = reply })
end

return api_reply

-- Converts an API's raw reply to the reply or the failure that the caller gets.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.api.call"
local clusters = require "central.auth.config.clusters"
local error_text = require "central.auth.error_text"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local response_error = require "central.auth.token.response_error"

---@class central.auth.Reply
---@field status integer HTTP status
---@field headers table<string, string> by name in any case; repeated fields are joined by ", "
---@field body string as received
---@field json? any the decoded body, if its Content-Type is JSON: numbers are floats, null is cjson.null
---@field rate_limit? central.auth.RateLimit if the server names one

---@class central.auth.RateLimit
---@field limit? number requests that the server allows in a period
---@field remaining? number requests left in this period
---@field reset? number seconds until the period ends

local response = {}

local RESET_MAX = 31 * 86400 -- seconds; longer times are ignored

local case_insensitive = {
  __index = function(self, name)
    return type(name) == "string" and rawget(self, name:lower()) or nil
  end,
}

-- Returns the seconds since 1970 of a date like 2026-11-24T20:00:00Z (RFC 3339, without offsets).
local function parse_rfc3339(text)
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

-- Returns the first number of a list like "100, 100;w=60", whose further items describe periods.
local function first_number(text)
  local digits = text:match("^[^,;]*"):match("^%s*(%d[%d.]*)%s*$")
  return digits and #digits < 16 and tonumber(digits) or nil
end

-- Returns the seconds until the limit resets. GreenLake sends seconds, Central a date, other servers seconds or
-- milliseconds since 1970.
local function reset_in(text, now)
  local number = first_number(text)
  local at = number and number > 1e9 and (number > 1e12 and number / 1000 or number) or parse_rfc3339(text)
  local seconds = at and math.max(at - now, 0) or number
  return seconds and seconds <= RESET_MAX and seconds or nil
end

local function rate_limit(headers, now)
  local function field(name)
    return headers["ratelimit-" .. name] or headers["x-ratelimit-" .. name] or ""
  end
  local limit = { limit = first_number(field("limit")), remaining = first_number(field("remaining")),
    reset = reset_in(field("reset"), now) }
  return next(limit) and limit or nil
end

-- What of a reply is worked out when it is first read: most callers read neither.
local later = {}

-- Makes the table of header fields from the lines of the header.
function later.headers(reply)
  local headers = {}
  for name, value in (reply.header_lines or ""):gmatch "([^:\n]*):[ \t]*([^\n]*)\n" do
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return setmetatable(headers, case_insensitive)
end

function later.rate_limit(reply)
  return rate_limit(reply.headers, reply.date or reply.received_wall)
end

local metatable = { __name = "central.auth.reply", __metatable = false }

function metatable:__index(name)
  local work_out = later[name]
  if work_out then
    local value = work_out(self)
    rawset(self, name, value)
    return value
  end
end

function metatable:__pairs()
  return next, { status = self.status, headers = self.headers, body = self.body, json = self.json,
    rate_limit = self.rate_limit }
end

function metatable:__tostring()
  return ("central.auth.reply (HTTP %d, %d bytes)"):format(self.status, #self.body)
end

--- Returns whether one of the reply's Content-Type fields is a JSON type and its body is not blank.
---@param reply central.auth.Reply
---@return boolean
function response.is_json(reply)
  for media in (reply.headers["content-type"] or ""):lower():gmatch("[^,]+") do
    media = media:match("^%s*([^;%s]*)")
    if media == "application/json" or media == "text/json" or media:find("^%w+/[%w.-]+%+json$") then
      return reply.body:find("%S") ~= nil
    end
  end
  return false
end

--- Makes a raw reply the reply that the caller gets.
---@param reply central.auth.RawReply
---@param decode boolean decode a JSON body
---@return central.auth.Reply
function response.new(reply, decode)
  setmetatable(reply, metatable)
  if decode and (reply.content_type == "application/json" or response.is_json(reply)) then
    reply.json = json.decode(reply.body)
  end
  return reply
end

--- Returns the seconds until the server accepts more requests, if the reply has them.
---@param reply central.auth.Reply
---@return number?
function response.retry_after(reply)
  local limit = reply.rate_limit
  return reply.retry_after or (limit and limit.remaining == 0 and limit.reset)
    or (reply.status == 429 and limit and limit.reset) or nil
end

local function advice(reply, call, clean)
  local host = call.request.address.host
  if reply.status == 401 and clusters.is_classic(host) then
    return (": %s is a gateway of classic Central, where tokens of new Central do not work; set base_url or cluster"
      .. " to new Central's"):format(host)
  elseif reply.status == 401 and call.is_accepted_elsewhere then
    return (": %s accepts this token for other calls; the role of the credential's user, or its workspace, probably"
      .. " lacks a permission for this one"):format(host)
  elseif reply.status == 401 and call.is_ready_made then
    return (": %s refuses this token: it has ended, or is for another workspace, region or service"):format(host)
  elseif reply.status == 401 then
    return (": %s refuses even a token that was just issued: the credential belongs to another workspace or region,"
      .. " or was not created for this service"):format(host)
  elseif reply.status == 403 then
    return ": the token is valid; the role of the credential's user, or its workspace, does not permit this"
  elseif reply.status >= 300 and reply.status < 400 then
    return (": a redirect to %s, not followed, as it would send the token there"):format(
      clean(reply.location_host or "elsewhere"))
  end
  return ""
end

--- Returns the failure of an unsuccessful reply.
---@param call { request: table, is_accepted_elsewhere?: boolean, is_ready_made?: boolean }
---@param reply central.auth.Reply
---@param clean fun(text: string): string
---@param retry_after? number
---@return central.auth.Failure
function response.failure(call, reply, clean, retry_after)
  local detail = { status = reply.status, retry_after = retry_after, reply = reply }
  local retry = retry_after and ("; try again in %.0f s"):format(retry_after) or ""
  local challenge = error_text.challenge(reply.headers["www-authenticate"])
  local server_text = error_text.add(detail, reply.json, challenge, clean)
  detail.oauth_error = challenge and challenge.error and clean(challenge.error)
  local code = (reply.status == 429 or reply.status == 503 and retry_after) and "rate_limited" or "api"
  return errors.failure(code, ("%s: HTTP status %d%s%s%s"):format(calls.name(call.request), reply.status,
    advice(reply, call, clean), server_text and "; " .. server_text or response_error.encoding(reply, clean), retry),
    detail)
end

--- Returns the failure of a reply that is not the JSON of its Content-Type, or whose body is encoded.
---@param call { request: table }
---@param reply central.auth.Reply
---@param clean fun(text: string): string
---@return central.auth.Failure
function response.unreadable(call, reply, clean)
  local problem = response.is_json(reply) and "the reply's body is not valid JSON" or "the reply's body can't be read"
  return errors.failure("reply", ("%s: %s (%d bytes)%s"):format(calls.name(call.request), problem, #reply.body,
    response_error.encoding(reply, clean)), { status = reply.status, reply = reply })
end

return response

-- What the sandbox's server has beside its endpoints: the log of requests, the rate limit, and admin commands on
-- /sandbox, by which tests in any language control it as the methods of central.auth.sandbox.Server do.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local cqueues = require "cqueues"
local http_util = require "http.util"

local admin = {}

local LOG_MAX = 1000
local MINUTE = 60 -- seconds

-- The commands, and the numbers that each needs in its query.
local COMMANDS = {
  revoke = {}, fail = { "status" }, recover = {}, lifetime = { "seconds" }, latency = { "seconds" },
  rate_limit = { "per_minute" },
}

-- --- the log ------------------------------------------------------------------------------------------------------

--- Answers a request by `route` and adds it to the log.
---@param state table
---@param stream table
---@param route fun(state: table, stream: table)
function admin.logged(state, stream, route)
  local started = cqueues.monotime()
  route(state, stream)
  local request, log = stream.request, state.log or {}
  state.log = log
  if request and not request.is_admin and #log < LOG_MAX then
    log[#log + 1] = {
      at = os.time(), method = request.method, path = request.path, status = stream.answered,
      ms = (cqueues.monotime() - started) * 1000,
    }
  end
end

--- The requests since the last call.
---@param state table
---@return table
function admin.log(state)
  local list = state.log or {}
  state.log = {}
  return { list = setmetatable(list, cjson.array_mt) }
end

-- --- the rate limit, reported as GreenLake reports it --------------------------------------------------------------

-- Answers with 429 where the request is over the limit. Whether it did.
local function limit_rate(state, stream, answer)
  local now, window = cqueues.monotime(), state.window
  if not window or now - window.start >= MINUTE then
    window = { start = now, count = 0 }
    state.window = window
  end
  window.count = window.count + 1
  if not state.rate_limit or window.count <= state.rate_limit then
    return false
  end
  local reset = ("%d"):format(math.ceil(window.start + MINUTE - now))
  answer(stream, 429, { message = "Too many requests.", httpStatusCode = 429 }, {
    ["retry-after"] = reset, ["ratelimit-limit"] = ("%d"):format(state.rate_limit), ["ratelimit-remaining"] = "0",
    ["ratelimit-reset"] = reset,
  })
  return true
end

-- --- commands -----------------------------------------------------------------------------------------------------

local function fields_of(query)
  local fields = {}
  for name, value in http_util.query_args(query) do
    fields[name] = value == "always" and -1 or tonumber(value) or value
  end
  return fields
end

local function dispatch(state, stream, method, name, query, answer)
  local fields = fields_of(query)
  if name == "" and method == "GET" then
    return answer(stream, 200, {
      requests = state.requests, lifetime = state.lifetime, latency = state.latency, fail = state.fail,
      rate_limit = state.rate_limit,
    })
  elseif method ~= "POST" or not COMMANDS[name] then
    return answer(stream, 404, { message = "POST to /sandbox/ and one of: revoke, fail?status=&times=&of=, recover,"
      .. " lifetime?seconds=, latency?seconds=, rate_limit?per_minute=" })
  end
  for _, field in ipairs(COMMANDS[name]) do
    if type(fields[field]) ~= "number" or not (fields[field] >= 0 and fields[field] < math.huge) then
      return answer(stream, 400, { message = ("%s: a number is needed, 0 or more"):format(field) })
    end
  end
  if name == "fail" and not (math.tointeger(fields.status) and fields.status >= 200 and fields.status <= 599) then
    return answer(stream, 400, { message = "status: a whole number from 200 to 599 is needed" })
  end
  fields.times, fields.of = fields.times or 1, fields.of == "api" and "api" or "token"
  if name == "recover" then
    state.commands.fail(state, { times = 0, of = "token" })
    state.commands.fail(state, { times = 0, of = "api" })
  else
    state.commands[name](state, fields)
  end
  answer(stream, 200, { done = true })
end

--- Answers an admin command, and any request over the rate limit. Returns whether it answered; other requests are for
--- the server's endpoints.
---@param state table
---@param stream table
---@param headers table
---@param answer fun(stream: table, status: integer, body?: table, more?: table)
---@return boolean
function admin.answers(state, stream, headers, answer)
  local method, target = headers:get ":method", headers:get ":path"
  local path, query = target:match "^([^?]*)%??(.*)$"
  local command = path:match "^/sandbox/?([%w_]*)$"
  stream.request = { method = method, path = target, is_admin = command ~= nil }
  if command then
    dispatch(state, stream, method, command, query, answer)
    return true
  end
  return limit_rate(state, stream, answer)
end

return admin

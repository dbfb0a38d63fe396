-- The rate limit and the commands of the sandbox's server. Commands come from the methods of
-- central.auth.sandbox.Server, or by HTTP on /sandbox from tests in any language.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"

local admin = {}

local MINUTE = 60 -- seconds

-- --- the rate limit, reported as GreenLake reports it --------------------------------------------------------------

--- Counts a request. Returns the reply to it if it is over the limit.
---@param state table
---@return integer? status
---@return table? body
---@return table<string, string>? headers
function admin.limit_rate(state)
  local now, window = cqueues.monotime(), state.window
  if not window or now - window.start >= MINUTE then
    window = { start = now, count = 0 }
    state.window = window
  end
  window.count = window.count + 1
  if not state.rate_limit or window.count <= state.rate_limit then
    return nil
  end
  local reset = ("%d"):format(math.ceil(window.start + MINUTE - now))
  return 429, { message = "Too many requests.", httpStatusCode = 429 }, {
    ["retry-after"] = reset, ["ratelimit-limit"] = ("%d"):format(state.rate_limit), ["ratelimit-remaining"] = "0",
    ["ratelimit-reset"] = reset,
  }
end

-- --- commands -----------------------------------------------------------------------------------------------------

local function number(name, text)
  local value = tonumber(text)
  if not value or not (value >= 0 and value < math.huge) then
    error(("%s: a number of 0 or more expected, got %s"):format(name, text), 0)
  end
  return value
end

-- The commands. Each raises if its fields are not valid.
local COMMANDS = {
  revoke = function(state) state.tokens = {} end,
  recover = function(state) state.fail = { token = { times = 0 }, api = { times = 0 } } end,
  lifetime = function(state, fields)
    state.lifetime = number("lifetime", fields.seconds)
    state.workspace_lifetime = state.lifetime
  end,
  latency = function(state, fields) state.latency = number("latency", fields.seconds) end,
  rate_limit = function(state, fields)
    state.rate_limit = fields.per_minute and number("rate_limit", fields.per_minute)
  end,
}

-- `times` counts down to 0, which is never reached from -1.
function COMMANDS.fail(state, fields)
  local status, times, of = number("status", fields.status), fields.times or 1, fields.of or "token"
  times = (times == "always" or times == "inf") and -1 or number("times", times)
  if not math.tointeger(status) or status < 200 or status > 599 then
    error(("status: a whole number from 200 to 599 expected, got %g"):format(status), 0)
  elseif of ~= "token" and of ~= "api" then
    error(("of: token or api expected, got %s"):format(of), 0)
  end
  local retry_after = fields.retry_after and number("retry_after", fields.retry_after)
  state.fail[of] = { status = status, times = times, retry_after = retry_after }
end

--- Runs a command. Returns the problem if its fields are not valid.
---@param state table
---@param name string
---@param fields? table
---@return string? problem
function admin.run(state, name, fields)
  local ok, problem = pcall(COMMANDS[name], state, fields)
  return not ok and problem or nil
end

--- Returns the reply to a command by HTTP.
---@param state table
---@param request table
---@param name string
---@return integer status
---@return table body
function admin.answer(state, request, name)
  if name == "" and request.method == "GET" then
    return 200, {
      requests = state.requests, lifetime = state.lifetime, latency = state.latency, fail = state.fail,
      rate_limit = state.rate_limit,
    }
  elseif request.method ~= "POST" or not COMMANDS[name] then
    return 404, { message = "POST to /sandbox/ and one of: revoke, fail?status=&times=&of=, recover,"
      .. " lifetime?seconds=, latency?seconds=, rate_limit?per_minute=" }
  end
  local problem = admin.run(state, name, request.fields)
  return problem and 400 or 200, problem and { message = problem } or { done = true }
end

return admin

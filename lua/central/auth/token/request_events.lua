-- Notes each HTTP request as an event, for `on_event` and the log. Loaded only if one of them is set.
-- SPDX-License-Identifier: MIT

local response = require "central.auth.token.response"
local url = require "central.auth.url"

local request_events = {}

-- `came` is a raw reply or a failure, as transfer:finish returns them. `private`: for the log, the secrets of the
-- request; gets the trace.
local function add(source, method, target, came, attempt, private)
  local _, address, rest = url.parts(target)
  local path = rest:match "^[^?]*"
  local ended = came.received_boot or came.at
  private.trace, came.trace = came.trace, nil
  source:note("request", {
    method = method, host = address, path = path ~= "" and path or "/", status = came.status, code = came.code,
    seconds = ended and came.sent_boot and math.max(ended - came.sent_boot, 0) or 0, attempt = attempt,
  }, private)
end

--- Notes the request of an API call, or a revocation, which has ended.
---@param source central.auth.TokenSource
---@param request table as transfer:call got it; `private`: secrets in it
---@param came table
function request_events.of_call(source, request, came)
  local private = request.private or {}
  private.token = request.token
  add(source, request.method or request.body and "POST" or "GET", request.url, came, request.attempts or 1, private)
end

--- Notes the token requests of a fetch which has ended.
---@param source central.auth.TokenSource
---@param result table
---@param before integer the number of requests that the renewal made before it
---@param subject_token? string
function request_events.of_fetch(source, result, before, subject_token)
  for i, came in ipairs(result.attempts) do
    local token = came.status and response.read(came)
    add(source, "POST", source.config.token_url, came, before + i, {
      secret = result.secret, assertion = result.assertion, subject_token = subject_token,
      new_token = token and token.access_token or nil,
    })
  end
end

return request_events

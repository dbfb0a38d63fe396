-- The events of a client, for `on_event` and the log: each is logged at once, and delivered when the call that caused
-- it returns, so that a handler may call anything here. Loaded only if one of the two options is set.
-- SPDX-License-Identifier: MIT

local lazy = require("central.auth.util").lazy
local response = require "central.auth.token.response"
local url = require "central.auth.url"

local log = lazy "central.auth.token.log"

local events = {}

---@class central.auth.Events
local Events = {}
Events.__index = Events

--- There are none yet.
---@param source central.auth.TokenSource
---@return central.auth.Events
function events.new(source)
  return setmetatable({ _source = source, _queue = {} }, Events)
end

--- Adds an event. `private`: for the log, see log.event.
---@param name string
---@param fields table
---@param private? table
function Events:add(name, fields, private)
  local config, queue = self._source.config, self._queue
  if config.log then
    log.event(self._source, name, fields, private or {}, queue)
  end
  if config.on_event then
    fields.event = name
    queue[#queue + 1] = fields
  end
end

--- Delivers the events, and the lines of the log. Errors of the handler are its own.
function Events:deliver()
  local config, queue = self._source.config, self._queue
  while queue[1] do
    local noted = table.remove(queue, 1)
    pcall(type(noted) == "string" and config.log or config.on_event, noted)
  end
end

-- `came` is a raw reply or a failure, as transfer:finish returns them. `private`: the secrets of the request; gets the
-- trace.
local function add_request(source, method, target, came, attempt, private)
  local _, address, rest = url.parts(target)
  local path = rest:match "^[^?]*"
  local ended = came.received_boot or came.at
  private.trace, came.trace = came.trace, nil
  source:note("request", {
    method = method, host = address, path = path ~= "" and path or "/", status = came.status, code = came.code,
    seconds = ended and came.sent_boot and math.max(ended - came.sent_boot, 0) or 0, attempt = attempt,
  }, private)
end

--- Adds the request of an API call, or a revocation, which has ended.
---@param request table as transfer:call got it; `private`: secrets in it
---@param call { token?: string, attempts?: integer }
---@param came table
function Events:add_call(request, call, came)
  local private, method = request.private or { token = call.token }, request.method or request.body and "POST" or "GET"
  add_request(self._source, method, request.url, came, call.attempts or 1, private)
end

--- Adds the token requests of a fetch which has ended.
---@param result table
---@param before integer the number of requests that the renewal made before it
---@param subject_token? string
function Events:add_fetch(result, before, subject_token)
  for i, came in ipairs(result.attempts) do
    local token = came.status and response.read(came)
    add_request(self._source, "POST", self._source.config.token_url, came, before + i, {
      secret = result.secret, assertion = result.assertion, subject_token = subject_token,
      new_token = token and token.access_token or nil,
    })
  end
end

return events

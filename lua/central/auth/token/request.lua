-- What is sent to the token endpoint: the forms of the grants (RFC 6749, 4.4; RFC 8693).
-- SPDX-License-Identifier: MIT

local client_secret = require "central.auth.token.client_secret"
local util = require "central.auth.util"

local sorted_names = util.sorted_names

local request = {}

local function add(fields, name, value)
  if type(value) == "table" then
    for _, item in ipairs(value) do
      add(fields, name, item)
    end
  elseif value ~= nil then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end

--- The form of a request, without what authenticates the client: the fetch adds that. With a subject token it is a
--- token exchange (RFC 8693, 2.1), as GreenLake documents it for tenants.
---@param config central.auth.Config
---@param subject_token? string
---@return string[] form names and values
function request.form(config, subject_token)
  local fields = { "grant_type", "client_credentials" }
  if subject_token then
    fields[2] = "urn:ietf:params:oauth:grant-type:token-exchange"
    add(fields, "subject_token", subject_token)
    add(fields, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
  end
  add(fields, "scope", config.scope)
  add(fields, "audience", config.audience)
  add(fields, "resource", config.resource)
  for _, name in ipairs(sorted_names(config.params or {})) do
    add(fields, name, config.params[name])
  end
  return fields
end

-- Adds the assertion. If a function gives it, each request needs a new one: the function is called here, and the fetch
-- makes one request. Returns the failure of the function.
local function add_assertion(order, assertion)
  order.assertion = assertion
  if assertion and assertion.kind == "function" then
    local value, failure = client_secret.read(assertion, 0)
    order.assertion, order.tries = { kind = "value", value = value }, 1
    return failure
  end
end

--- What every fetch needs; an assertion is got for it, which may take its time. A token exchange names the client only
--- where the server wants that.
---@param source central.auth.TokenSource
---@param deadline central.auth.Deadline
---@return table? order
---@return central.auth.Failure? failure
function request.order(source, deadline)
  local config, current = source.config, source.current
  local order = { url = config.token_url }
  local failure = add_assertion(order, config.assertion)
  if source.closed then -- by a function that gives an assertion
    return nil, require("central.auth.errors").closed()
  elseif failure then
    return nil, failure
  end
  source.client_secret:complete(order)
  source.cache:complete(order)
  order.timeout = deadline:left()
  if not config.exchange or config.exchange.authenticate then
    order.client_id, order.style = config.client_id, config.secret and config.auth_style or "post"
  end
  order.failures, order.good = source:backoff(), current:state() and current.id or nil
  return order
end

return request

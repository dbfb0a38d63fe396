-- Reads what other processes share, without a token request: for `status`, and to remove records of all machines.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local request = require "central.auth.token.request"

local shared_records = {}

--- Runs a fetch that makes no request, beside the renewal, until the deadline at most.
---@param source central.auth.TokenSource
---@param deadline central.auth.Deadline
---@param more? table to be added to the order
---@return table? result nil where there is none in time
function shared_records.fetch(source, deadline, more)
  local order = request.order(source, deadline)
  local result = order and source.pool:look(order, more, deadline, source)
  if result and not source.closed then
    source.renewals:note_result(result)
  end
  return result
end

--- Takes what other processes share, token or failure.
---@param source central.auth.TokenSource
---@return boolean? are_read
---@return central.auth.Failure? failure
function shared_records.take(source)
  local ready, failure = source:prepare()
  if not ready then
    return nil, failure
  end
  source:advance_renewal()
  if source.config.ready_made then
    local token, why = source:token()
    failure = not token and why.code ~= "expired" and why or nil
    return not failure or nil, failure
  end
  local secret = source.client_secret
  if not secret.current and secret:is_read_by_fetch() then
    local result = shared_records.fetch(source, source:deadline())
    if result and result.outcome == "config" then
      return nil, errors.invalid_option(secret.origin.name, secret.origin.from, result.problem)
    end
  end
  source:read_local_records()
  return true
end

--- What is wrong with the remote cache, asking it now; nil where nothing is.
---@param source central.auth.TokenSource
---@return string?
function shared_records.remote_problem(source)
  local result = source.cache:has_remote() and shared_records.fetch(source, source:deadline())
  return result and result.remote_problem or nil
end

return shared_records

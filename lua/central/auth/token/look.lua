-- Looks at what other processes share, without a token request: for `status`, and to remove records of all machines.
-- SPDX-License-Identifier: MIT

local request = require "central.auth.token.request"

local look = {}

--- Runs a fetch that makes no request, beside the renewal, until the deadline at most.
---@param source central.auth.TokenSource
---@param deadline central.auth.Deadline
---@param more? table to be added to the order
---@return table? result nil where there is none in time
function look.run(source, deadline, more)
  local order = request.order(source, deadline)
  local result = order and source.pool:look(order, more, deadline)
  if result and not source.closed then
    source.renewals:note_result(result)
  end
  return result
end

--- Takes over what other processes share, token or failure.
---@param source central.auth.TokenSource
---@return boolean? looked
---@return central.auth.Failure? failure
function look.shared(source)
  local ready, failure = source:prepare()
  if not ready then
    return nil, failure
  end
  source:catch_up()
  local secret = source.client_secret
  if not secret.current and secret:is_read_by_fetch() then
    local result = look.run(source, source:deadline())
    if result and result.outcome == "config" then
      return nil, secret:failure(result.option, result.problem)
    end
  end
  source:look_locally()
  return true
end

--- What is wrong with the remote cache, asking it now; nil where nothing is.
---@param source central.auth.TokenSource
---@return string?
function look.remote_problem(source)
  local result = source.cache:has_remote() and look.run(source, source:deadline())
  return result and result.remote_problem or nil
end

return look

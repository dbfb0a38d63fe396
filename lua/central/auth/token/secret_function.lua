-- Calls a function of the user's that gives a secret. It may yield, fail in any way, and may not ask for the token that
-- it is needed for.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"

local secret_function = {}

local WEAK = { __mode = "k" }

local callers = setmetatable({}, WEAK) -- by function: the coroutines that have called it and not returned

--- The secret that it gives; nil and the problem, or nil and a failure where it called itself.
---@param give fun(): string
---@return userdata? secret
---@return string? problem
---@return central.auth.Failure? failure
function secret_function.call(give)
  local thread = coroutine.running()
  callers[give] = callers[give] or setmetatable({}, WEAK)
  if callers[give][thread] then
    return nil, nil, errors.failure("config",
      "a token was asked for by the function that provides the client's own secret, assertion or token")
  end
  callers[give][thread] = true -- needs memory: before the call
  local ok, value = pcall(give)
  callers[give][thread] = nil
  if not ok then
    return nil, "the function raised an error" -- whose text may hold anything
  elseif type(value) ~= "string" then
    return nil, ("the function returned a %s where a string is needed"):format(type(value))
  end
  return core.secret(value)
end

return secret_function

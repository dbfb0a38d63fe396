-- The doctor's last checks: the cache that processes share, and a token request.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local duration = require("central.auth.util").duration
local session = require "central.auth.cli.session"
local shared_records = require "central.auth.token.shared_records"
local token_source = require "central.auth.token.source"

local ADVICE = {
  ["switched off"] = "each process gets its own token; unset CENTRAL_CACHE or the option cache",
  ["open to others"] = "chmod 700 the folder",
  ["another user"] = "set CENTRAL_CACHE to another folder",
}

-- Connects to Redis and returns the problem with it, which a token in the folder would hide; nil without a problem.
local function redis_problem(options)
  local found = config.resolve { profile = options.profile, log = session.log(options) }
  if type(found.cache) ~= "string" or not found.cache:find "^redis" or not found.secret then
    return nil
  end
  local clock = core.clock()
  local source = token_source.new(found, { clock = clock, tracker = core.tracker(clock) })
  local problem = shared_records.take(source) and shared_records.remote_problem(source)
  source:close()
  return problem and ("%s: %s"):format(found.cache, problem)
end

local function cache(description, problem, report)
  if problem then
    return report("note", "shared token", problem, "each machine gets a token of its own until Redis works")
  elseif not description:find "^none" and not description:find "without locks" then
    return report("ok", "shared token", description)
  end
  for part, advice in pairs(ADVICE) do
    if description:find(part, 1, true) then
      return report("note", "shared token", description, advice)
    end
  end
  report("note", "shared token", description, "tokens still work, with more requests")
end

local function token(client, report, ready_made)
  local value, message, code = client:token()
  if not value then
    return report("bad", "token", message, code == "oauth" and "run central-auth login to replace the credentials"
      or not ready_made and "see the checks above"
      or code ~= "expired" and ("see %s in the manual"):format(ready_made.name) or nil)
  end
  local status = client:status()
  if status.source == "ready-made" then
    return report("ok", "token", status.expires_in and "valid for " .. duration(status.expires_in)
      or "it does not say when it expires")
  end
  report("ok", "token", ("%s, from the %s, valid for %s, is renewed in %s"):format(status.state, status.source,
    duration(status.expires_in), duration(status.renews_in or 0)))
end

--- Reports the cache, and gets a token if the earlier checks allow it.
---@param context table
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(context, report)
  local client = context.config and session.open(context.options)
  if not client then
    return
  elseif context.config.ready_made then
    return token(client, report, context.config.ready_made)
  elseif context.ready then
    client:status { shared = true }
  end
  if not context.options.offline and context.reached and context.ready then
    token(client, report)
  end
  local may_connect = not context.options.offline and context.ready
  cache(client:status().cache, may_connect and redis_problem(context.options) or nil, report)
end

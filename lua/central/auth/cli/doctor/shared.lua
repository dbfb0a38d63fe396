-- What the doctor sees at last: the cache that processes share, and whether a token comes.
-- SPDX-License-Identifier: MIT

local duration = require "central.auth.duration"
local session = require "central.auth.cli.session"

local ADVICE = {
  ["switched off"] = "each process gets a token of its own; unset CENTRAL_CACHE or the option cache",
  ["open to others"] = "chmod 700 the folder",
  ["another user"] = "name another folder in CENTRAL_CACHE",
}

local function cache(where, tell)
  if not where:find "^none" and not where:find "without locks" then
    return tell("ok", "shared token", where)
  end
  for part, advice in pairs(ADVICE) do
    if where:find(part, 1, true) then
      return tell("note", "shared token", where, advice)
    end
  end
  tell("note", "shared token", where, "tokens come all the same, by more requests")
end

local function token(auth, tell)
  local value, message, code = auth.token()
  if not value then
    return tell("bad", "token", message, code == "oauth" and "central-auth login replaces the credentials"
      or "see the lines above")
  end
  local status = auth.status()
  tell("ok", "token", ("%s, from the %s, good for %s, is renewed in %s"):format(status.state, status.source,
    duration(status.expires_in), duration(status.renews_in or 0)))
end

---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  local auth = known.config and session.open(known.options)
  if not auth then
    return
  elseif known.ready then
    auth.status { shared = true }
  end
  if not known.options.offline and known.reached and known.ready then
    token(auth, tell)
  end
  cache(auth.status().cache, tell)
end

-- central-auth renew: a new token now.
-- SPDX-License-Identifier: MIT

local duration = require "central.auth.duration"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local renew = {}

renew.summary = "Get a new token now, whatever the old one's state."
renew.description = "Gets a new token and shares it, although the old one may still be good: after a change of rights,"
  .. " for example. It is not printed. A refusal that is remembered is passed over; a server's Retry-After is not."

--- Gets a new token and says how long it is good for.
---@param options table
function renew.run(options)
  local auth, message, code, detail = session.open(options)
  if not auth then
    return nil, message, code, detail
  end
  local value
  value, message, code, detail = auth.renew()
  if not value then
    return nil, message, code, detail
  end
  terminal.note(options, ("A new token, good for %s."):format(duration(auth.status().expires_in)))
end

return renew

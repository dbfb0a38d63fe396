-- central-auth renew: gets a new token now.
-- SPDX-License-Identifier: MIT

local duration = require("central.auth.util").duration
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"

local renew = {}

renew.summary = "Get a new token now, whatever the state of the current one."
renew.description = "Gets a new token and shares it, even if the current one is still valid, for example after a change"
  .. " of permissions. Does not print it. Ignores a remembered refusal, but not a server's Retry-After."

--- Gets a new token and prints for how long it is valid.
---@param options table
function renew.run(options)
  local client = session.open(options)
  try(client:renew())
  local status = client:status()
  terminal.note(options, ("%s%s."):format(status.source == "ready-made" and "The token was read" or "A new token",
    status.expires_in and ", valid for " .. duration(status.expires_in) or ""))
end

return renew

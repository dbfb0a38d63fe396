-- central-auth status: shows the state of the shared token, for people and for scripts.
-- SPDX-License-Identifier: MIT

local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local status = {}

local EXPIRED, NONE = 3, 4
local BY_STATE = { fresh = 0, stale = 0, expired = EXPIRED, none = NONE }

status.summary = "Show the state of the shared token."
status.description = "Shows the state of the token that processes of this user share. Makes no token request. On"
  .. " a terminal it draws the token's lifetime as a bar, with a legend: the part that has passed, the part that is"
  .. " left, the window for renewal, and the end. With --quiet there is only the exit status."
status.options = { { "--json", help = "Print an object with all fields." } }
status.statuses = {
  { 0, "There is a usable token." }, { EXPIRED, "The token has expired." }, { NONE, "There is no token." },
}

-- On a terminal: the bar and its legend, above the text.
local function with_bar(found, text)
  local columns = terminal.columns(1)
  if not columns then
    return text
  end
  local drawn, legend = require("central.auth.cli.token_bar").draw(found, columns, function(colour, part)
    return terminal.paint(colour, part, 1)
  end, terminal.is_utf8())
  return drawn and ("%s\n%s\n\n%s"):format(drawn, legend, text) or text
end

--- Prints the state; the exit status depends on it.
---@param options table
function status.run(options)
  local found = session.status(options)
  if options.json then
    local json_text = require "central.auth.cli.json_text"
    result(json_text.shown(json_text.of(found)))
  elseif not options.quiet then
    result(with_bar(found, terminal.plain(tostring(found))))
  end
  return BY_STATE[found.state]
end

return status

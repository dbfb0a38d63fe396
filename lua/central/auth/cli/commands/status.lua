-- central-auth status: what is known about the token, for people and for scripts.
-- SPDX-License-Identifier: MIT

local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local status = {}

local EXPIRED, NONE = 3, 4
local BY_STATE = { fresh = 0, stale = 0, expired = EXPIRED, none = NONE }

status.summary = "Tell the state of the shared token."
status.description = "Tells what is known about the token that processes of this user share, and asks nobody for"
  .. " another. On a terminal it draws the token's life: what is over, what is left, the window in which it will be"
  .. " renewed, and the end. With --quiet the exit status alone tells."
status.options = { { "--json", help = "Print an object with all fields." } }
status.statuses = {
  { 0, "There is a usable token." }, { EXPIRED, "The token has expired." }, { NONE, "There is none." },
}

local function as_json(found)
  local fields = {}
  for name, value in pairs(found) do
    fields[name] = value
  end
  return require("cjson").encode(fields)
end

local function picture(found)
  local columns = terminal.columns(1)
  return columns and require("central.auth.cli.token_bar").draw(found, columns, function(colour, text)
    return terminal.paint(colour, text, 1)
  end, terminal.is_utf8())
end

--- Prints the state; the exit status tells it, too.
---@param options table
function status.run(options)
  local found, message, code, detail = session.status(options)
  if not found then
    return nil, message, code, detail
  elseif options.json then
    result(as_json(found))
  elseif not options.quiet then
    local drawn = picture(found)
    result((drawn and drawn .. "\n\n" or "") .. terminal.plain(tostring(found)))
  end
  return BY_STATE[found.state]
end

return status

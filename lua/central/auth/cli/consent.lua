-- Asks before the command deletes or replaces something, unless --yes is set.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local terminal = require "central.auth.cli.terminal"

local consent = {}

--- Ends the command unless the user agrees or --yes is set. The message says what was not done.
---@param options { yes?: boolean }
---@param question string
---@param refused string "the profile was not removed"
---@param yes_action string "removes it"
function consent.ask(options, question, refused, yes_action)
  if options.yes then
    return
  elseif not terminal.can_ask() then
    errors.raise(("%s: there is no terminal for the question; --yes %s"):format(refused, yes_action), "config")
  elseif not (terminal.ask(question .. " [y/N]") or ""):lower():find "^y" then
    errors.raise(refused, "config")
  end
end

--- Asks, unless --yes is set, before a profile gets other credentials.
---@param options { yes?: boolean }
---@param name string
---@param entry? central.auth.Profile the current one; nil: it does not exist
---@param client_id? string the one of the new credentials, if it is known
function consent.ask_to_replace(options, name, entry, client_id)
  local current = entry and entry.options or {}
  local has_token = current.access_token or current.access_token_file or current.access_token_command
  if not has_token and (not current.client_id or current.client_id == client_id) then
    return
  end
  consent.ask(options, ("The profile %q has %s. Replace it?"):format(name,
    has_token and "a ready-made token" or "the client " .. current.client_id),
    ("the profile %q has other credentials and was not changed"):format(name), "replaces them")
end

return consent

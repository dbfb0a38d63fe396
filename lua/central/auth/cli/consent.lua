-- Asks before the command deletes or replaces something, unless --yes is set.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local terminal = require "central.auth.cli.terminal"

local consent = {}

--- Returns true if the user agrees or --yes is set; else a failure, which says what was not done.
---@param options { yes?: boolean }
---@param question string
---@param refused string "the profile was not removed"
---@param yes_action string "removes it"
---@return boolean? agreed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function consent.to(options, question, refused, yes_action)
  if options.yes then
    return true
  elseif not terminal.can_ask() then
    return errors.fail("config", ("%s: there is no terminal for the question; --yes %s"):format(refused, yes_action))
  elseif terminal.confirm(question) then
    return true
  end
  return errors.fail("config", refused)
end

--- Asks before a profile gets other credentials.
---@param options { yes?: boolean }
---@param name string
---@param entry? central.auth.Profile the current one; nil: it does not exist
---@param client_id? string the one of the new credentials, if it is known
---@return boolean? agreed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function consent.to_replace(options, name, entry, client_id)
  local current = entry and entry.options or {}
  local has_token = current.access_token or current.access_token_file or current.access_token_command
  if not has_token and (not current.client_id or current.client_id == client_id) then
    return true
  end
  return consent.to(options, ("The profile %q has %s. Replace it?"):format(name,
    has_token and "a ready-made token" or "the client " .. current.client_id),
    ("the profile %q has other credentials and was not changed"):format(name), "replaces them")
end

return consent

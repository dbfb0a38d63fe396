-- Asks before something is destroyed, unless --yes is set.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local terminal = require "central.auth.cli.terminal"

local consent = {}

--- Returns whether something may be done; else a failure, which says what is kept.
---@param options { yes?: boolean }
---@param question string
---@param kept string "the profile stays"
---@param yes string what --yes does: "removes it"
---@return boolean? agreed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function consent.to(options, question, kept, yes)
  if options.yes then
    return true
  elseif not terminal.can_ask() then
    return errors.fail("config", ("%s; --yes %s"):format(kept, yes))
  elseif terminal.confirm(question) then
    return true
  end
  return errors.fail("config", kept)
end

--- The same for a profile that gets other credentials.
---@param options { yes?: boolean }
---@param name string
---@param entry? central.auth.Profile as it is; nil: it does not exist
---@param client_id? string of the new credentials, if it is known
---@return boolean? agreed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function consent.to_replace(options, name, entry, client_id)
  local former = entry and entry.options.client_id
  if not former or former == client_id then
    return true
  end
  return consent.to(options, ("The profile %q has the client %s. Replace it?"):format(name, former),
    ("the profile %q has other credentials and stays as it is"):format(name), "replaces them")
end

return consent

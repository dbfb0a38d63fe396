-- The doctor's checks of credentials: where they are set, and whether files are protected from other users.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local client_secret = require "central.auth.token.client_secret"
local session = require "central.auth.cli.session"
local paths = require "central.auth.config.paths"
local status = require "central.auth.token.status"

local COMMAND_TIMEOUT = 10 -- seconds

-- Reports the problem of a file, which may end with the command to run.
local function report_file(report, verdict, check, path, problem, more, advice)
  local fault, command = problem:match "^(.-): (.*)$"
  report(verdict, check, ("%s %s%s"):format(path, fault or problem, more or ""),
    command and command:gsub("^run ", "") or advice)
end

local function profile_file(options, report)
  local chosen = errors.catch(config.choose_profile, { profile = options.profile })
  local path = paths.profile(chosen and chosen.profile or paths.DEFAULT_PROFILE)
  local text, problem, unusable
  if path then
    text, problem, unusable = core.read_file(path)
  end
  if chosen and chosen.profile == false then
    report("ok", "profile file", "none is used: CENTRAL_PROFILE is off")
  elseif not path then
    report("note", "profile file", "no folder for profiles: neither XDG_CONFIG_HOME nor HOME is set")
  elseif unusable == "absent" then
    report("ok", "profile file", ("there is no file %s"):format(path))
  elseif not text then
    report_file(report, unusable and "note" or "bad", "profile file", path, problem,
      unusable and "; it is ignored unless a profile is requested", "make it a file that you can read")
  elseif problem then
    report_file(report, "note", "profile file", path, problem)
  else
    report("ok", "profile file", ("%s can be used"):format(path))
  end
end

local function files(found, report)
  for _, name in ipairs { "cert_file", "key_file", "ca_file", "ca_path", "crl_file" } do
    if found[name] then
      report("ok", name, ("%s can be read (from %s)"):format(found[name], found.from[name]))
    end
  end
  local problem = found.key_file and select(2, core.read_file(found.key_file, true))
  if problem then
    report_file(report, "note", "key_file", found.key_file, problem)
  end
end

local function secret(source, report)
  local value <close>, failure = client_secret.read(source, COMMAND_TIMEOUT)
  if not value then
    report("bad", "secret", failure.message, "see " .. source.name .. " in the manual")
  elseif not value:can_seal() then
    report("note", "secret", ("it can be read (%s from %s), %d bytes"):format(source.name, source.from, value:length()),
      "under 16 bytes a secret cannot encrypt a shared token: each process gets its own")
  else
    report("ok", "secret", ("it can be read (%s from %s)"):format(source.name, source.from))
  end
  return value ~= nil
end

--- Reports the checks, and adds to `context` what other checks need.
---@param context table
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(context, report)
  profile_file(context.options, report)
  local options = context.options
  local found, message, _, detail = config.resolve { profile = options.profile, log = session.log(options) }
  if not found then -- a missing option has no source
    return report("bad", "credentials", message:match "[^\n]*",
      detail.option and not detail.source and "run central-auth login" or nil)
  end
  context.config = found
  files(found, report)
  if found.ready_made then
    local origin = found.ready_made
    report("ok", "credentials", ("a ready-made token (%s from %s)"):format(origin.name, origin.from))
    context.ready = true
    return
  end
  report("ok", "credentials", ("client %s (from %s)"):format(status.mask(found.client_id), found.from.client_id))
  local source = found.secret or found.assertion
  context.ready = not source or secret(source, report)
  report("ok", "token_url", ("%s (%s)"):format(found.token_url,
    found.from.token_url and "from " .. found.from.token_url or found.from.workspace_id and "of the workspace"
    or "the default"))
end

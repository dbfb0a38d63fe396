-- What the doctor sees of credentials: whether there are any, where they come from, whether files are closed to others.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local credential = require "central.auth.token.client_secret"
local paths = require "central.auth.config.paths"
local status = require "central.auth.token.status"

local SHORTEST = 16 -- bytes of a secret that is fit to be a key
local COMMAND = 10  -- seconds

-- What is wrong with a file, and what to run.
local function parts(problem)
  local what, advice = problem:match "^(.-): (.*)$"
  return what or problem, advice and advice:gsub("^run ", "") or nil
end

local function profile_file(tell)
  local path = paths.profiles()
  local text, problem, unusable
  if path then
    text, problem, unusable = core.read_file(path)
  end
  if not path then
    tell("note", "profile file", "neither XDG_CONFIG_HOME nor HOME says where it is")
  elseif unusable == "absent" then
    tell("ok", "profile file", ("there is none (%s)"):format(path))
  elseif not text then
    local what, advice = parts(problem)
    tell(unusable and "note" or "bad", "profile file", ("%s %s"):format(path, what)
      .. (unusable and "; it is ignored unless a profile is asked for" or ""),
      advice or "it must be a file that you can read")
  elseif problem then
    local what, advice = parts(problem)
    tell("note", "profile file", ("%s %s"):format(path, what), advice)
  else
    tell("ok", "profile file", ("%s can be used"):format(path))
  end
end

local function files(found, tell)
  for _, name in ipairs { "cert_file", "key_file", "ca_file", "ca_path", "crl_file" } do
    if found[name] then
      tell("ok", name, ("%s can be read (from %s)"):format(found[name], found.from[name]))
    end
  end
  local key, problem = nil, nil
  if found.key_file then
    key, problem = core.secret_from_file(found.key_file)
  end
  if found.key_file and not key then
    local what, advice = parts(problem)
    tell("note", "key_file", "it " .. what, advice)
  end
end

local function secret(source, tell)
  local value <close>, message = credential.read(source, COMMAND)
  if not value then
    tell("bad", "secret", message, "see what is said of " .. source.name .. " in the manual")
  elseif value:length() < SHORTEST then
    tell("note", "secret", ("it is there (%s from %s), %d bytes"):format(source.name, source.from, value:length()),
      "under 16 bytes it is too short to seal a shared token with: each process gets its own")
  else
    tell("ok", "secret", ("it is there (%s from %s)"):format(source.name, source.from))
  end
  return value ~= nil
end

--- Tells of them, and puts into `known` what the other rooms need.
---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  profile_file(tell)
  local found, message, _, detail = config.resolve { profile = known.options.profile }
  if not found then -- of what is missing no source is known
    return tell("bad", "credentials", message,
      detail.option and not detail.source and "central-auth login asks for them and keeps them" or nil)
  end
  known.config = found
  tell("ok", "credentials", ("client %s (from %s)"):format(status.mask(found.client_id), found.from.client_id))
  files(found, tell)
  local source = found.secret or found.assertion
  known.ready = not source or secret(source, tell)
  tell("ok", "token_url", ("%s (%s)"):format(found.token_url,
    found.from.token_url and "from " .. found.from.token_url or found.from.workspace_id and "of the workspace"
    or "the default"))
end

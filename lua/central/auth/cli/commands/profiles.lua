-- central-auth profiles: lists the profiles.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local json_text = require "central.auth.cli.json_text"
local paths = require "central.auth.config.paths"
local profile = require "central.auth.config.profile"
local result = require "central.auth.cli.result"
local terminal = require "central.auth.cli.terminal"

local profiles = {}

profiles.summary = "List the profiles."
profiles.description = "Lists the names of the profiles, one per line. A * marks the profile in use: that of"
  .. " --profile, else that of CENTRAL_PROFILE (off: none), else default."
profiles.options = { { "--json", help = "Print a list of objects with name, path and in_use." } }

--- Prints the list.
---@param options table
function profiles.run(options)
  local chosen = config.choose_profile { profile = options.profile }
  local all, lines = { open = "[", keys = {} }, {}
  for i, name in ipairs(profile.names()) do
    local in_use = chosen.profile ~= false and name == (chosen.profile or paths.DEFAULT_PROFILE)
    all[i] = json_text.of { name = name, path = paths.profile(name), in_use = in_use }
    lines[i] = (in_use and "* " or "  ") .. name
  end
  if options.json or #lines > 0 then
    result(options.json and json_text.shown(all) or table.concat(lines, "\n"))
  else
    terminal.note(options, ("There is no profile in %s; central-auth login creates one."):format(paths.profiles()))
  end
end

return profiles

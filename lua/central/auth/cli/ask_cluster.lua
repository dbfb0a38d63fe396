-- The question of central-auth login for the cluster, with the list to choose from.
-- SPDX-License-Identifier: MIT

local clusters = require "central.auth.config.clusters"
local errors = require "central.auth.errors"
local terminal = require "central.auth.cli.terminal"

local QUESTION = "Cluster, by number or name; empty for none (then no calls of Central's API)"

--- Asks until the answer is a cluster or empty. Returns its name; nil: none. Ends the command if there is no answer.
---@return string? cluster
return function()
  for i, name in ipairs(clusters.names) do
    io.stderr:write(("%4d  %-12s %s\n"):format(i, name, clusters.base_url(name):match "//(.*)"))
  end
  while true do
    local answer, why = terminal.ask(QUESTION)
    if why then
      errors.raise(("no answer for the cluster: %s. Nothing was written."):format(why), "config")
    end
    local name = answer and clusters.names[math.tointeger(tonumber(answer))] or answer
    if not name or clusters.base_url(name) then
      return name
    end
    io.stderr:write(("%q is not in the list%s\n"):format(errors.printable(name), errors.suggest(name, clusters.names)))
  end
end

-- central-auth clusters: lists the clusters of new Central.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.clusters"
local json_text = require "central.auth.cli.json_text"
local result = require "central.auth.cli.result"

local clusters = {}

clusters.summary = "List the clusters of Central."
clusters.description = "Lists the names of new Central's clusters, for --cluster of login, with their hosts. Makes no"
  .. " request. A cluster that is not listed can be used by its base URL, in CENTRAL_BASE_URL."
clusters.options = { { "--json", help = "Print a list of objects with name and base_url." } }

--- Prints the list.
---@param options table
function clusters.run(options)
  local all, lines = { open = "[", keys = {} }, {}
  for i, name in ipairs(config.names) do
    local base_url = config.base_url(name)
    all[i] = json_text.of { name = name, base_url = base_url }
    lines[i] = ("%-12s %s"):format(name, base_url:match "//(.*)")
  end
  result(options.json and json_text.shown(all) or table.concat(lines, "\n"))
end

return clusters

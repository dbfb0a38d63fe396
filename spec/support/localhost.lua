-- A certificate for localhost, by an authority of its own.
-- SPDX-License-Identifier: MIT

local ca = require "spec.support.ca"
local process = require "spec.support.process"

local localhost = {}

local Localhost = {}
Localhost.__index = Localhost

--- Makes both in a folder of their own. The object has `leaf`, as rude.start takes it, `ca_file` and `folder`.
function localhost.new()
  local folder = process.scratch()
  local authority = ca.new { folder = folder }
  return setmetatable({
    folder = folder, ca_file = authority.file, leaf = authority:issue { name = "localhost", ips = { "127.0.0.1" } },
  }, Localhost)
end

--- Removes the folder.
function Localhost:remove()
  process.remove(self.folder)
end

return localhost

-- Tells Central of each lease. What became of it is written to a file, for the spec that runs this.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local api = require "spec.hosts.api"

function lease(_, data)
  local begun = os.time()
  local header, message = auth.header()
  local status = header and api("/network-monitoring/v1/aps", header)
  local out = io.open(os.getenv "TOLD", "a")
  out:write(("%s %s %d %s\n"):format(data.ip_address, status or "none", os.time() - begun, header or message))
  out:close()
end

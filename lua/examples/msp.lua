-- For an MSP: the gateways of its tenants, whose workspaces are the arguments. The personal API client is the MSP's,
-- from a profile; the token of each tenant is got in exchange for the MSP's, and shared and renewed like any other.
--   lua5.4 msp.lua 1b2c3d4e0000111122223333444455aa 1b2c3d4e0000111122223333444455bb
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local function show(workspace)
  local tenant = assert(auth.tenant(workspace))
  for gateway in tenant:pages "/network-monitoring/v1/gateways" do
    print(workspace, gateway.deviceName, gateway.status)
  end
end

local failed = false
for _, workspace in ipairs(arg) do
  local ok, failure = pcall(show, workspace) -- one tenant that fails does not stop the others
  if not ok then
    io.stderr:write(workspace, ": ", tostring(failure), "\n")
    failed = true
  end
end
os.exit(not failed, true)

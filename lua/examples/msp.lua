-- For an MSP: lists the gateways of its tenants. The arguments are the tenants' workspaces or names; without arguments
-- it lists those of all tenants. A profile has the MSP's personal API client. Each tenant's token is exchanged for the
-- MSP's token, and is shared and renewed like any other.
--   lua5.4 msp.lua 1b2c3d4e0000111122223333444455aa 1b2c3d4e0000111122223333444455bb
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local function show(workspace)
  local tenant = assert(auth.tenant(workspace))
  for gateway in tenant:pages "/network-monitoring/v1/gateways" do
    print(workspace, gateway.deviceName, gateway.status)
  end
end

local function all()
  local ids = {}
  for i, tenant in ipairs(assert(auth.tenants())) do
    ids[i] = tenant.id
  end
  return ids
end

local failed = false
for _, workspace in ipairs(arg[1] and arg or all()) do
  local ok, failure = pcall(show, workspace) -- a failure of one tenant does not stop the others
  if not ok then
    io.stderr:write(workspace, ": ", tostring(failure), "\n")
    failed = true
  end
end
os.exit(not failed, true)

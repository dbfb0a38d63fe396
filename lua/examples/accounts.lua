-- Several accounts in one program. Each account has a profile, ~/.config/central-auth/NAME.lua, and a client.
--   lua5.4 accounts.lua berlin lisbon
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local function count(profile)
  local client <close> = assert(auth.new { profile = profile })
  local reply = assert(client:get("/network-monitoring/v1/aps", { query = { limit = 1 } }))
  return ("%d access points"):format(reply.json.total)
end

local failed = false
for _, name in ipairs(arg) do
  local ok, answer = pcall(count, name) -- a failure of one account does not stop the others
  print(name, answer)
  failed = failed or not ok
end
os.exit(not failed, true)

-- Several accounts in one program: each has a profile in ~/.config/central-auth/config.lua, and a client of its own.
--   lua5.4 accounts.lua berlin lisbon
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local failed = 0
for _, name in ipairs(arg) do
  local client <close> = assert(auth.new { profile = name })
  local header, message = client:header()
  if header then
    print(name, "ready to ask as " .. client:status().client)
  else
    print(name, message)
    failed = failed + 1
  end
end
os.exit(failed == 0, true)

-- What each state of the many does: asks, renews in the background, and ends with a renewal under way.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local first = assert(auth.token())
assert(auth.token() == first)
for _ = 1, 3 do
  local pending <close> = assert(auth.pending())
  assert(pending:result())
end
local other = assert(auth.new { cache = false, timeout = 5 })
local left = assert(other:pending()) -- never looked at again
if tonumber(tostring(left):match("%d+") or os.time()) % 2 == 0 then
  other:close()
end
return "token " .. first

-- What each state of the many does: asks, renews in the background, and ends with a renewal under way. Every other one,
-- by a number that the state's memory gives, also shares a token of its own in the folder of all.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local first = assert(auth.token())
assert(auth.token() == first)
for _ = 1, 3 do
  local pending <close> = assert(auth.pending())
  assert(pending:result())
end
local number = tonumber(("%p"):format(auth)) // 64
if number % 2 == 0 then
  local own <close> = assert(auth.new { scope = "scope-" .. number })
  for _ = 1, 3 do
    assert(own:renew())
  end
end
local other = assert(auth.new { cache = false, timeout = 5 })
assert(other:pending()) -- never looked at again
if number // 2 % 2 == 0 then
  other:close()
end
return "token " .. first

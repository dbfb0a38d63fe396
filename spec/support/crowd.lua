-- What twenty processes do at once, and how many requests they make of it. `another(replies, options)` makes a client
-- that stands for a process, as scripted.new does.
-- SPDX-License-Identifier: MIT

local scripted = require "spec.support.scripted"

local crowd = {}

local SIZE = 20

--- All hold the token t1 and are told 401; all must come to the token t2.
function crowd.told_401(another)
  local many, requests = {}, 0
  another({ scripted.token("t1", 1000) }).client:token()
  for i = 1, SIZE do
    many[i] = another(function() return scripted.token("t2", 1000) end)
    assert(many[i].client:token() == "t1")
  end
  for _, s in ipairs(many) do
    assert(s.client:invalidate "t1")
    assert(s.client:token() == "t2")
    requests = requests + s.requests
  end
  return requests
end

--- Each renews by force, a hundredth of a second after the one before. By how many requests that is more or fewer than
--- are allowed: ten at once, then one in two seconds.
function crowd.renews(another, clock)
  local requests, began = 0, clock:boot()
  for i = 1, SIZE do
    local s = another({ scripted.token("t" .. i, 1000) }, { timeout = 1 })
    s.client:renew()
    requests = requests + s.requests
    clock:shift(0.01, 0.01)
  end
  local most = 10 + (clock:boot() - began) // 2
  return requests > most and requests - most or math.min(requests - 10, 0)
end

return crowd

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

return crowd

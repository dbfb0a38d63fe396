-- For cron: keeps the list of access points in a file, one a line as JSON. It may start every minute; the token is
-- shared through the cache, so GreenLake is asked for one every two hours, and for another when the API refuses it.
-- Credentials and the cluster come from a profile in the home folder:
--   */5 * * * *  lua5.4 /usr/local/lib/central/cron.lua aps.jsonl
-- Silent when all is well; what goes wrong is said on stderr, which cron sends by mail, and the old list stays.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"

local path = arg[1] or error("name a file to keep them in", 0)
local file = assert(io.open(path .. ".new", "w"))
for ap in auth.pages "/network-monitoring/v1/aps" do
  assert(file:write(cjson.encode(ap), "\n"))
end
assert(file:close())
assert(os.rename(path .. ".new", path))

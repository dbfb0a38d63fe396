-- For cron: writes the list of access points to a file, one JSON object per line. The job may run every minute: the
-- processes share a token, so GreenLake gets one token request every two hours (for a token of a workspace: every 15
-- minutes), and one when the API refuses a token.
-- Credentials and the cluster come from a profile in the home folder:
--   */5 * * * *  lua5.4 /usr/local/lib/central/cron.lua aps.jsonl
-- On success the job prints nothing. On failure it prints the error to stderr, which cron sends by mail, and the old
-- list remains.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"

local path = arg[1] or error("no file for the list: lua5.4 cron.lua FILE", 0)
local file = assert(io.open(path .. ".new", "w"))
for ap in auth.pages "/network-monitoring/v1/aps" do
  assert(file:write(cjson.encode(ap), "\n"))
end
assert(file:close())
assert(os.rename(path .. ".new", path))

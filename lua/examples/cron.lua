-- For cron: keeps the list of access points in a file. It may start every minute; the token is shared through the
-- cache, so GreenLake is asked for one every two hours. Credentials come from a profile in the home folder:
--   */5 * * * *  CENTRAL_BASE_URL=https://… lua5.4 /usr/local/lib/central/cron.lua /var/tmp/aps.json
-- Silent when all is well; what goes wrong is said on stderr, which cron sends by mail.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"

local function give_up(message)
  io.stderr:write("access points: ", message, "\n")
  os.exit(1, true)
end

local base_url = os.getenv "CENTRAL_BASE_URL" or give_up "CENTRAL_BASE_URL is not set: your cluster's API"
local file = arg[1] or give_up "name a file to keep them in"

local header, message = auth.header()
if not header then
  give_up(message)
end

-- curl takes what is secret on its standard input: argument lists are for everybody to read.
local curl = assert(io.popen("curl --silent --show-error --fail --max-time 60 --config -", "w"))
curl:write(('header = "Authorization: %s"\nurl = "%s/network-monitoring/v1/aps"\noutput = "%s.new"\n'):format(
  header, base_url, file))
if not curl:close() then
  give_up "no answer that is a list"
end
assert(os.rename(file .. ".new", file))

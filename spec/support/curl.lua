-- Requests to a sandbox server by another program than our own.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local process = require "spec.support.process"

--- The status and the decoded JSON of a reply, and all that curl printed. `more` is added to curl's arguments.
---@param server table with `base_url` and `ca_file`
---@param path string
---@param more? string
return function(server, path, more)
  local output = process.run(("curl -sS --max-time 10 --cacert %s -w '\\n%%{http_code}' %s %s"):format(server.ca_file,
    more or "", process.quote(server.base_url .. path)))
  local body, status = output:match("^(.*)\n(%d+)$")
  return tonumber(status), body and body ~= "" and cjson.decode(body), output
end

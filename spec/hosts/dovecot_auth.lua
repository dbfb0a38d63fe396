-- Lets in everybody as long as the API lets us in. The field `token`, and what is written to a file, are for the spec
-- that runs this.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local api = require "spec.hosts.api"
local timed = require "spec.hosts.timed"

function auth_password_verify(request)
  local header, message, tell = timed(auth.header)
  local status, why
  if header then
    status, why = api("/network-monitoring/v1/aps", header)
  end
  local out <close> = io.open(os.getenv "TOLD", "w")
  out:write(tell(status))
  if status ~= "200" then
    request:log_warning(message or why or status)
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, message or why or status
  end
  return dovecot.auth.PASSDB_RESULT_OK, { token = header:match "Bearer (.*)" }
end

-- Lets in everybody as long as the API lets us in. The field `token` is for the spec that runs this.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local api = require "spec.hosts.api"
local cqueues = require "cqueues"

-- For the spec that runs this: how long we were kept.
local function tell(seconds)
  local out = io.open(os.getenv "TOLD", "w")
  out:write(seconds)
  out:close()
end

function auth_password_verify(request)
  local begun = cqueues.monotime()
  local header, message = auth.header()
  tell(cqueues.monotime() - begun)
  if not header then
    request:log_warning(message)
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, message
  end
  local status, why = api("/network-monitoring/v1/aps", header)
  if status ~= "200" then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, why or status
  end
  return dovecot.auth.PASSDB_RESULT_OK, { token = header:match "Bearer (.*)" }
end

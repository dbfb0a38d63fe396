-- A command for mle, the editor: the answer of Central at the cursor. The editor never waits for a token; where none is
-- ready the command says so, and works when the key is pressed again. In ~/.mlerc:
--   -x /…/mle.lua
--   -K central,,1
--   -k cmd_central,f12,
--   -n central
-- What became of it is written to a file, too, for the spec that runs this.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local api = require "spec.hosts.api"
local timed = require "spec.hosts.timed"

local pending

local function header()
  pending = pending or assert(auth.pending())
  if not pending:done() then
    return nil, "a token is on its way"
  end
  local token, message = pending:result()
  pending:close()
  pending = nil
  return token and "Bearer " .. token, message
end

mle.editor_register_cmd("cmd_central", function(context)
  local got, message, tell = timed(header)
  local status, why
  if got then
    status, why = api("/network-monitoring/v1/aps", got)
  end
  local text = (status or message or why) .. "\n"
  mle.mark_insert_before(context.mark, text, #text)
  local out <close> = io.open(os.getenv "TOLD", "a")
  out:write(tell(status))
end)

-- Calls what gives a header, and measures that by the clock all processes share. The header, or nil and a message; and
-- what the spec that runs the host is told, as `tell(status)`: begin, end, the status of the API, header or message.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"

return function(get, ...)
  local begun = cqueues.monotime()
  local header, message = get(...)
  local ended = cqueues.monotime()
  return header, message, function(status)
    return ("%.6f %.6f %s %s\n"):format(begun, ended, status or "none", header or message)
  end
end

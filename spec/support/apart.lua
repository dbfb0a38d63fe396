-- Specs that need what not every machine permits: namespaces of their own, a tracer. Where it is missing they are
-- pending.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local apart = {}

local function works(command)
  return select(2, process.run(command)) == 0
end

--- The flags for unshare that give these namespaces ("m": mount, "n": network) here; nil where none do.
---@param namespaces string
---@return string?
function apart.flags(namespaces)
  for _, flags in ipairs { "-" .. namespaces, "-r" .. namespaces } do
    if works("unshare " .. flags .. " true") then
      return flags
    end
  end
end

--- Like `it`, for specs that need what `available` stands for. Takes the spec file's _ENV, in which busted puts another
--- `pending` while a test runs: only that one makes the test count as pending.
---@param busted table
---@param available any
---@param missing string
---@return fun(name: string, test: function)
function apart.only(busted, available, missing)
  return function(name, test)
    busted.it(name, function()
      if not available then
        return busted.pending(missing)
      end
      test()
    end)
  end
end

--- Whether strace may trace.
---@return boolean
function apart.can_trace()
  return works "strace -o /dev/null true"
end

return apart

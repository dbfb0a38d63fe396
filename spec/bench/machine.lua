-- The machine that a benchmark ran on, and the versions of what it compared.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local machine = {}

-- What a command prints, the part that matches; nil where there is no such command.
local function printed(command, pattern)
  local output, status = process.run(command)
  return status == 0 and output:match(pattern) or nil
end

--- Returns a sentence about this machine, with today's date.
---@return string
function machine.describe()
  local cpus = process.read "/proc/cpuinfo"
  local _, count = cpus:gsub("processor%s*:", "")
  local versions = { _VERSION }
  for _, version in ipairs {
    printed("curl-config --version", "libcurl [%d.]+") or false,
    printed("/usr/bin/python3 --version", "Python [%d.]+") or false,
    printed("go version", "go[%d.]+") or false,
  } do
    versions[#versions + 1] = version and version:gsub("^go", "Go ") or nil
  end
  return ("Measured on %s with %d processors %s;\n%s, %s."):format(os.date "%Y-%m-%d", count,
    cpus:match "model name%s*: ([^\n]*)" or "of unknown model",
    process.read("/etc/os-release"):match 'PRETTY_NAME="([^"]*)"', table.concat(versions, ", "))
end

return machine

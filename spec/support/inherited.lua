-- Which descriptors of this process a program started now would inherit, but for files: "number target", a line each.
-- SPDX-License-Identifier: MIT

local lfs = require "lfs"

local CLOSE_ON_EXEC = tonumber("2000000", 8)

local function is_inherited(name)
  local info <close> = io.open("/proc/self/fdinfo/" .. name)
  local flags = info and info:read "a":match "flags:%s*(%d+)"
  return flags and tonumber(flags, 8) & CLOSE_ON_EXEC == 0
end

return function()
  local names, found = {}, {}
  for name in lfs.dir "/proc/self/fd" do
    names[#names + 1] = name
  end
  for _, name in ipairs(names) do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
    if target and not target:find "^/" and is_inherited(name) then
      found[#found + 1] = name .. " " .. target
    end
  end
  return table.concat(found, "\n")
end

-- The keys of a table in order, so that results do not depend on the order of pairs().
-- SPDX-License-Identifier: MIT

--- Returns the sorted keys of a table whose keys are strings.
---@param map table<string, any>
---@return string[]
return function(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- The names in a table, in order: what depends on them comes out the same each time.
-- SPDX-License-Identifier: MIT

--- The keys of a table whose keys are strings, sorted.
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

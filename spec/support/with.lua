-- Fields over those of another table.
-- SPDX-License-Identifier: MIT

--- `values`, changed: with the fields of `more` in place of its own.
---@param values table
---@param more? table
---@return table values
return function(values, more)
  for name, value in pairs(more or {}) do
    values[name] = value
  end
  return values
end

-- Loads modules on first use, so that a start with a cached token loads only what it needs.
-- SPDX-License-Identifier: MIT

--- A table that loads the module `name` when one of its fields is first read.
---@param name string
---@return table
return function(name)
  return setmetatable({}, {
    __index = function(self, key)
      local module = require(name)
      getmetatable(self).__index = module
      return module[key]
    end,
  })
end

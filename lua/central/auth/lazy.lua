-- Modules that are loaded when they are first used: starting must not pay for what a cached token never needs.
-- SPDX-License-Identifier: MIT

--- Stands for the module `name` until one of its fields is asked for.
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

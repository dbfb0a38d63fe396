-- Small functions that any module may use.
-- SPDX-License-Identifier: MIT

local util = {}

local PAUSE_MAX = 60 -- seconds
local DOUBLINGS_MAX = 16

local Lazy = {}

function Lazy:__index(key)
  local module = require(self.module_name)
  setmetatable(self, { __index = module })
  return module[key]
end

--- Returns a table that loads the module `name` when one of its fields is first read, so that a start with a cached
--- token loads only what it needs.
---@param name string
---@return table
function util.lazy(name)
  return setmetatable({ module_name = name }, Lazy)
end

--- Returns a value for a to-be-closed variable, `local _ <close> = defer(…)`: the function is called when the variable
--- goes out of scope.
---@param act fun()
---@return table
function util.defer(act)
  return setmetatable({}, { __close = act })
end

--- Returns the seconds of a pause that doubles with each failure, up to a minute.
---@param first number seconds before the first failure
---@param failures integer so far
---@return number
function util.backoff(first, failures)
  return math.min(PAUSE_MAX, first * 2 ^ math.min(failures, DOUBLINGS_MAX))
end

--- Adds a value to a field. The value of a repeated field is the list of all its values.
---@param fields table<string, any>
---@param name string
---@param value string
function util.add(fields, name, value)
  local before = fields[name]
  if type(before) == "table" then
    before[#before + 1] = value
  else
    fields[name] = before and { before, value } or value
  end
end

--- Returns the sorted keys of a table whose keys are strings, so that results do not depend on the order of pairs().
---@param map table<string, any>
---@return string[]
function util.sorted_names(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- Formats a duration in seconds for people, without fractions: "1 h 57 min", "4 min 3 s", "12 s".
---@param seconds number
---@return string
function util.duration(seconds)
  local total = math.floor(math.max(seconds, 0))
  if total >= 3600 then
    return ("%d h %d min"):format(total // 3600, total % 3600 // 60)
  elseif total >= 60 then
    return ("%d min %d s"):format(total // 60, total % 60)
  end
  return ("%d s"):format(total)
end

return util

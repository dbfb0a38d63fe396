-- What the annotations of all Lua sources say, by module, class and owner. For the texts of `auth.help` and for the
-- tables of the manual: sources(FOLDER, FILES).
-- SPDX-License-Identifier: MIT

local annotations = dofile(debug.getinfo(1, "S").source:match "^@(.*/)" .. "annotations.lua")

---@class central.auth.sources
---@field items_of table<string, table[]> the items of a module
---@field class_of table<string, table> a class or an alias by its name
---@field methods_of table<string, table[]> the functions of a class, or of a module's table
local Sources = {}
Sources.__index = Sources

-- Functions of the module that act on the default client are documented at the client's methods. The ones that call
-- `request` with a fixed method do not have its first parameter.
function Sources:documented(item)
  local name = item.text:match "See Client:([%w_]+)"
  for _, method in ipairs(name and self.methods_of["central.auth.Client"] or {}) do
    if method.name == name and item.name == name then
      return method
    elseif method.name == name then
      local first = item.name:upper() .. ", otherwise like auth." .. name .. "."
      return { text = first, lines = { first, table.unpack(method.lines) },
        params = { table.unpack(method.params, 2) }, returns = method.returns }
    end
  end
  return item
end

--- How a function is called: `token([options])`.
function Sources.signature(name, item)
  local params = {}
  for _, param in ipairs(item.params) do
    params[#params + 1] = param.name ~= "self" and (param.optional and ("[%s]"):format(param.name) or param.name) or nil
  end
  return ("%s(%s)"):format(name, table.concat(params, ", "))
end

return function(folder, files)
  local self = setmetatable({ items_of = {}, class_of = {}, methods_of = {} }, Sources)
  for _, path in ipairs(files) do
    local file <close> = assert(io.open(folder .. "/" .. path))
    local _, items = annotations.of_lua(file:read "a")
    self.items_of[path:gsub("%.lua$", ""):gsub("/", ".")] = items
    for _, item in ipairs(items) do
      if item.kind == "class" then
        self.class_of[item.name] = self.class_of[item.name] or item
      elseif item.kind == "function" and item.owner then
        self.methods_of[item.owner] = self.methods_of[item.owner] or {}
        table.insert(self.methods_of[item.owner], item)
      end
    end
  end
  return self
end

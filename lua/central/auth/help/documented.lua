-- The public functions with their parameters and results, from the annotations in the sources; as text for `auth.help`.
-- SPDX-License-Identifier: MIT

local annotations = require "central.auth.help.annotations"

local documented = {}

---@class central.auth.documented.Entry
---@field [1] string the function's name, as it is called
---@field [2] central.auth.annotations.Item

local MODULE = "central.auth"
local SOURCES = {
  "central.auth.client", "central.auth.api.methods", "central.auth.config.options", "central.auth.api.request",
  "central.auth.api.pages", "central.auth.token.tenant", "central.auth.token.status", "central.auth.api.response",
  "central.auth.api.api_clients", "central.auth.sandbox", "central.auth.errors",
}

-- The modules of the tables of functions in central.auth.
local TABLES = { credentials = "central.auth.api.api_clients" }

-- Functions beside those of central.auth: the module with their annotations, their owner there, and the start of their
-- names in the help.
local OTHERS = {
  { "central.auth.token.pending", "central.auth.Pending", "pending:" },
  { "central.auth.loops", "loops", "loops." },
  { "central.auth.sandbox", "sandbox", "sandbox." },
  { "central.auth.sandbox", "central.auth.sandbox.Server", "server:" },
}

-- --- finding annotations ---------------------------------------------------------------------------------------------

local function find(fits)
  for _, module in ipairs(SOURCES) do
    for _, item in ipairs(annotations.of(module)) do
      if fits(item) then
        return item
      end
    end
  end
end

--- Returns the class, or list of values, with this name.
---@param name string
---@return central.auth.annotations.Item?
function documented.class(name)
  return find(function(item) return item.kind == "class" and item.name == name end)
end

-- Functions of the module that act on the default client are documented at the client's methods. The ones that call
-- `request` with a fixed method do not have its first parameter.
local function resolve(name, item)
  local method = item.text:match "See Client:([%w_]+)"
  local found = method and find(function(other)
    return other.owner == "central.auth.Client" and other.name == method
  end)
  if not found then
    return item
  elseif name ~= method then
    table.insert(found.lines, 1, name:upper() .. ", otherwise like auth." .. method .. ".")
    table.remove(found.params, 1)
  end
  return found
end

-- Adds the functions of a table in central.auth: their annotations are in another module.
local function add_inner(list, auth, name)
  for _, item in ipairs(annotations.of(TABLES[name] or MODULE .. "." .. name)) do
    if item.kind == "function" and item.owner ~= name and auth[name][item.name] then
      list[#list + 1] = { "auth." .. name .. "." .. item.name, item }
    end
  end
end

--- Returns the functions of central.auth.
---@param auth table
---@return central.auth.documented.Entry[]
function documented.functions(auth)
  local list = {}
  for _, item in ipairs(annotations.of(MODULE)) do
    local value = item.owner == MODULE and rawget(auth, item.name)
    if type(value) == "table" then
      add_inner(list, auth, item.name)
    elseif value then
      list[#list + 1] = { "auth." .. item.name, resolve(item.name, item) }
    end
  end
  return list
end

--- Returns all public functions, with the methods of objects.
---@param auth table
---@return central.auth.documented.Entry[]
function documented.all(auth)
  local list = documented.functions(auth)
  for _, other in ipairs(OTHERS) do
    local module, owner, start = table.unpack(other)
    for _, item in ipairs(annotations.of(module)) do
      if item.kind == "function" and item.owner == owner then
        list[#list + 1] = { start .. item.name, item }
      end
    end
  end
  return list
end

--- Returns the name of a function as the user may write it, without `auth.`, `client:` and arguments.
---@param name string
---@return string
function documented.plain(name)
  return (name:gsub("%(.*$", ""):gsub("^auth%.", ""):gsub("^client[.:]", ""):gsub(":", "."))
end

-- --- formatting ------------------------------------------------------------------------------------------------------

local function signature(name, item)
  local names = {}
  for _, param in ipairs(item.params) do
    names[#names + 1] = param.name ~= "self" and (param.optional and ("[%s]"):format(param.name) or param.name) or nil
  end
  return ("%s(%s)"):format(name, table.concat(names, ", "))
end

--- Formats a value in one line.
---@param name string
---@param kind string
---@param text string
---@return string
function documented.row(name, kind, text)
  return (("  %-24s %s  %s"):format(name, kind, text):gsub("%s+$", ""))
end

local FAILURE = { message = true, code = true, detail = true }

-- Adds a value, and the fields of its type, unless they are a topic of their own.
local function add_value(lines, value)
  lines[#lines + 1] = documented.row(value.name or "", value.type, value.text)
  local known = documented.class((value.type:gsub("[%[%]?]+$", "")))
  for _, field in ipairs(known and known.name ~= "central.auth.Options" and known.fields or {}) do
    lines[#lines + 1] = documented.row("  ." .. field.name, field.type, field.text)
  end
end

--- Formats a function with its parameters and results.
---@param name string
---@param item central.auth.annotations.Item
---@return string
function documented.show(name, item)
  local lines = { signature(name, item), "", table.concat(item.lines, "\n") }
  for _, param in ipairs(item.params) do
    if param.name ~= "self" then
      lines[#lines + 1] = ""
      add_value(lines, param)
    end
  end
  local fails = false
  for i, value in ipairs(item.returns) do
    if i == 1 or not FAILURE[value.name] or value.text ~= "" then
      lines[#lines + 1] = i == 1 and "\nReturns" or nil
      add_value(lines, value)
    end
    fails = fails or value.name == "code"
  end
  lines[#lines + 1] = fails and "\nOn failure: nil, message, code, detail. See auth.help(\"errors\").\n" or ""
  return table.concat(lines, "\n")
end

--- Formats functions in one line each.
---@param entries central.auth.documented.Entry[]
---@return string[]
function documented.index(entries)
  local lines = {}
  for i, entry in ipairs(entries) do
    local name, item = table.unpack(entry)
    local first = table.concat(item.lines, " "):match "^.-%.%f[%s\0]" or item.lines[1]
    lines[i] = ("  %-34s %s"):format(signature(name, item), first)
  end
  return lines
end

return documented

-- Turns the comments of lua/ and csrc/ into what LDoc reads, a file a page: lua5.4 write.lua FOLDER. `make reference`
-- runs it, then LDoc.
-- SPDX-License-Identifier: MIT

local here = arg[0]:match "^(.*/)"
package.path = here .. "../../lua/?.lua;" .. package.path
local annotations = dofile(here .. "annotations.lua")

local target = assert(arg[1], "a folder to write to")

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do
    list[#list + 1] = line
  end
  pipe:close()
  return list
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local pages, page_of, place_of = {}, {}, {} -- of each class, and each method: where it is told

local function page(kind, name, about, items)
  pages[#pages + 1] = #items > 0 and { kind = kind, name = name, about = about, items = items } or nil
  for _, item in ipairs(items) do
    if item.name == "module" then -- it is one function, which people name as its file
      item.name = name:match "[%w_]+$"
    elseif item.kind == "class" then
      page_of[item.name] = name
      place_of[item.name] = #item.fields > 0 and name .. "." .. item.name:match "[%w_]+$" or name
    elseif item.owner then
      page_of[item.owner .. ":" .. item.name] = name
    end
  end
end

-- Files of the binding that are a module; the others are parts of central.auth.core.
local OWN_PAGE = {
  transfer = { name = "central.auth.http", about = "Token requests and API calls." },
  redis = { name = "central.auth.redis", about = "A Redis server as a store that many machines share." },
  console = { name = "central.auth.console", about = "Terminals and other programs, for the command alone." },
}

local function collect()
  for _, name in ipairs(annotations.order) do
    page("module", name, annotations.of_lua(read("lua/" .. name:gsub("%.", "/") .. ".lua")))
  end
  for _, path in ipairs(lines_of "find lua/central -name '*.lua' | LC_ALL=C sort") do
    local name = path:match "^lua/(.*)%.lua$":gsub("/", ".")
    if not annotations.public[name] then
      page("inside", name, annotations.of_lua(read(path)))
    end
  end
  for _, path in ipairs(lines_of "ls csrc/*/*.h | grep -v /lauth.h | LC_ALL=C sort") do
    page("header", path:match "[^/]+$", annotations.of_header(read(path)))
  end
  local core = {}
  for _, path in ipairs(lines_of "ls csrc/lua/*.c | LC_ALL=C sort") do
    local items, own = annotations.of_binding(read(path)), OWN_PAGE[path:match "l(%l+)%.c$"]
    if own then
      page("binding", own.name, own.about, items)
    else
      table.move(items, 1, #items, #core + 1, core)
    end
  end
  page("binding", "central.auth.core", "What needs no network: secrets, clocks, expiry, the sealed cache.", core)
end

-- --- writing ---------------------------------------------------------------------------------------------------------

local HTML = { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;" }

-- Two dashes would begin another comment for LDoc, and names that Lua has, too, would lead to Lua's manual.
local function escape(text)
  return (text:gsub("[<>&]", HTML):gsub("%-%-", "-&#45;"):gsub("`(%l+)`", function(name)
    return _G[name] and ("<code>%s</code>"):format(name) or nil
  end))
end

local function short(name)
  return name:match "[%w_]+$"
end

-- `Client:token` leads to where it is told.
local function linked(text)
  return (escape(text):gsub("(%u%w+):(%l[%w_]*)", function(class, method)
    local called = class .. ":" .. method
    local where = page_of["central.auth." .. called]
    return where and ("@{%s.%s|%s}"):format(where, called, called) or nil
  end))
end

-- A type as code; names of classes lead to them.
local function typed(kind)
  if not kind or kind == "" then
    return ""
  end
  local told = escape(kind):gsub("[%a_][%w_.]*", function(name)
    return place_of[name] and ("@{%s|%s}"):format(place_of[name], short(name)) or nil
  end)
  return "<code>" .. told .. "</code> "
end

local function value(out, tag, item)
  local name = item.name or ""
  out[#out + 1] = ("-- @%s%s %s %s"):format(tag, item.optional and "[opt]" or "", name,
    typed(item.type) .. escape(item.text))
end

local function write_function(out, item, is_method)
  out[#out + 1] = "--- " .. (item.text ~= "" and linked(item.text) or "&nbsp;")
  out[#out + 1] = "-- @function " .. item.name
  out[#out + 1] = is_method and "-- @classmethod" or nil -- else LDoc 1.5 writes the name of the class in lower case
  for _, param in ipairs(item.params) do
    if param.name ~= "self" then
      value(out, "param", param)
    end
  end
  for _, result in ipairs(item.returns) do
    if result.type ~= "void" then
      out[#out + 1] = ("-- @return %s%s%s"):format(typed(result.type), result.name and result.name .. " " or "",
        escape(result.text))
    end
  end
  out[#out + 1] = ""
end

-- A class by its fields, a value by its type.
local function write_table(out, item)
  out[#out + 1] = "--- " .. (item.text ~= "" and linked(item.text) or "Fields of " .. item.name .. ".")
  out[#out + 1] = item.kind == "value" and "-- " .. typed(item.type) or nil
  out[#out + 1] = "-- @table " .. short(item.name)
  for _, field in ipairs(item.fields) do
    value(out, "field", field)
  end
  out[#out + 1] = ""
end

-- Functions first, then tables of fields, then types with their methods.
local function write(this, number)
  local out = { "--- " .. escape(this.about):gsub("\1", "<br>"), ("-- @%s %s\n"):format(this.kind, this.name) }
  local methods, order = {}, {}
  for _, item in ipairs(this.items) do
    local owner = item.kind == "function" and item.owner
    if owner and owner ~= this.name and (page_of[owner] or this.kind == "binding") then
      if not methods[owner] then
        methods[owner], order[#order + 1] = {}, owner
      end
      table.insert(methods[owner], item)
    elseif item.kind == "function" and item.name then
      write_function(out, item)
    end
  end
  for _, item in ipairs(this.items) do
    if item.kind == "value" or item.kind == "class" and #item.fields > 0 then
      write_table(out, item)
    end
  end
  for _, owner in ipairs(order) do
    out[#out + 1] = ("--- %s.\n-- @type %s\n"):format(this.kind == "binding" and "Methods" or owner, short(owner))
    for _, item in ipairs(methods[owner]) do
      write_function(out, item, true)
    end
  end
  local file <close> = assert(io.open(("%s/%03d.ldoc"):format(target, number), "w"))
  file:write(table.concat(out, "\n"))
end

collect()
for number, this in ipairs(pages) do
  write(this, number) -- LDoc keeps the order of the files
end

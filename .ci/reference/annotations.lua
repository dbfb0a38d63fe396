-- What the sources say of themselves, for the reference and its spec: what .ci/annotations.lua reads from
-- Lua, contracts in C headers, and in the binding the comments that show a function as Lua calls it.
-- SPDX-License-Identifier: MIT

local annotations = dofile(debug.getinfo(1, "S").source:match "^@(.*)reference/" .. "annotations.lua")

local reference = { of_lua = annotations.of_lua }

--- The modules with what people call, first what most need; the rest is for those who work on it.
reference.order = {
  "central.auth.functions", "central.auth.client", "central.auth.client.methods", "central.auth.config.types",
  "central.auth.errors", "central.auth.token.status", "central.auth.api.methods", "central.auth.api.request",
  "central.auth.api.pages", "central.auth.token.tenant", "central.auth.api.tenants", "central.auth.api.api_clients",
  "central.auth.token.pending", "central.auth.loops", "central.auth.sandbox",
}

reference.public = {}
for _, name in ipairs(reference.order) do
  reference.public[name] = true
end

-- --- C ---------------------------------------------------------------------------------------------------------------

local function plain(comment)
  return (comment:gsub("\n[ \t]*%*?", " "):gsub("%s+", " "):gsub("^%s*(.-)%s*$", "%1"))
end

-- The points of a list, and a line that announces one, begin after a \1.
local function with_lists(comment)
  return plain((comment:gsub("\n %*%s+%- ", "\1• "):gsub("\n %* (%u[^\n\1]*:)\1", "\1%1\1")))
end

local function c_params(text)
  local list = {}
  text = text:gsub("%(%*([%w_]+)%)%s*%b()", "%1") -- a function
  for part in text:gmatch "[^,]+" do
    local kind, name, array = part:match "^%s*(.-)([%w_]+)(%[?[%w_]*%]?)%s*$"
    list[#list + 1] = kind ~= "" and { name = name, type = kind:match "^(.-)%s*$" .. array, text = "" } or nil
  end
  return list
end

-- Fields of a struct, names of an enum: up to a semicolon or comma each, then perhaps a comment.
local function c_fields(body)
  local list, at = {}, 1
  body = body:gsub("%(%*([%w_]+)%)%s*%b()", "(*%1)") -- what a function takes is in its comment
  while true do
    local code, after = body:match("^%s*([%w_][^;,]*)[;,]?()", at)
    if not code then
      return list
    end
    local comment, past = body:match("^[ \t]*/%*%s*(.-)%s*%*/()", after)
    code = plain(code):gsub("%s*/%*.*", "")
    local kind, name = code:match "^(.-)([%w_]+)$"
    if not name then
      kind, name = code:match "^(.-)([%w_]+%[.*%])$"
    end
    if not name then
      kind, name = code:match "^(.-)%(%*([%w_]+)%)$"
    end
    list[#list + 1] = { name = name, type = kind:match "^(.-)%s*$", text = plain(comment or "") }
    at = past or after
  end
end

-- One declaration of a header.
local function declared(text, code)
  local kind, name, body = code:match "^(%l+) ([%w_]+) (%b{})"
  if kind == "struct" or kind == "enum" then
    return { kind = "class", name = name, text = text, fields = c_fields(body:sub(2, -2)) }
  end
  local result, called, params = code:match "^([%w_ ]+[ *]+)([%w_]+)(%b());"
  return called and {
    kind = "function", name = called, text = text, params = c_params(params:sub(2, -2)),
    returns = { { type = result:match "^(.-)%s*$", text = "" } },
  }
end

--- What a C header says of itself: its opening comment, in which a \1 begins a line, and its items.
---@param text string
---@return string about
---@return reference.Item[] items
function reference.of_header(text)
  local items, at = {}, text:match "^/%*.-%*/()"
  local about = with_lists(text:match "^/%*(.-)%*/"):gsub("%s*SPDX.*", "")
  while at do
    local comment, after = text:match("^%s*/%*(.-)%*/%s*()", at)
    at = after or text:match("^%s*()", at)
    local item = declared(comment and plain(comment) or "", text:sub(at))
    if item then
      items[#items + 1] = item
    end
    -- On to what follows the declaration: past its end, or past this line.
    at = text:match("^%l+ [%w_]+ %b{};()", at) or text:match("^[^;#/{}\n][^;{}#/]*;[^\n]*\n()", at)
      or text:match("^[^\n]*\n()", at)
  end
  return about, items
end

local function lua_params(text)
  local list = {}
  for part in text:gsub("%b{}", "table"):gmatch "[^,]+" do
    local name = plain(part:gsub("[^%w_ ]", "")):gsub(" ", "_")
    list[#list + 1] = name ~= "" and { name = name, type = "", text = "" } or nil
  end
  return list
end

--- What a file of the binding says of the functions that it gives to Lua.
---@param text string
---@return reference.Item[] items
function reference.of_binding(text)
  local items = {}
  for comment, code in text:gmatch "\n/%*(.-)%*/\n([^\n]*)" do
    local said = plain(comment)
    local name, rest = said:match "^([%l%d_:]+)%s?([({].*)$"
    if name and code:find "^static int" then
      local inside, after = rest:match "^(%b())(.*)"
      if not inside then
        inside, after = rest:match "^(%b{})(.*)"
      end
      items[#items + 1] = { kind = "function", name = name:match "[%l%d_]+$", owner = name:match "^(.*):",
        params = lua_params(inside:sub(2, -2)), returns = {}, fields = {},
        text = (after:gsub("^[:,]%s*", ""):gsub("^%s*%->%s*", "Returns ")) }
    end
  end
  return items
end

return reference

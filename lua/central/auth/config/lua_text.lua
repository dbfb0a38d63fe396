-- Edits a Lua table as text; everything else in the text stays as it is, comments and layout included. Supports the
-- form `return { name = { key = value } }`. The caller has to check the result.
-- SPDX-License-Identifier: MIT

local sorted_names = require("central.auth.util").sorted_names

local lua_text = {}

local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  return level and (select(2, text:find("]" .. level .. "]", at, true)) or #text)
end

local function string_end(text, at)
  local quote = text:sub(at, at)
  local position = at + 1
  while position <= #text and text:sub(position, position) ~= quote do
    position = position + (text:sub(position, position) == "\\" and 2 or 1)
  end
  return position
end

-- The end of the token at `at`, and whether it is more than a comment or white space.
local function token_at(text, at)
  local char = text:sub(at, at)
  if text:find("^%-%-", at) then
    return long_end(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1, false
  elseif char:find "%s" then
    return at, false
  elseif char == '"' or char == "'" then
    return string_end(text, at), true
  end
  return long_end(text, at) or select(2, text:find("^[%w_]+", at)) or at, true
end

-- The tokens: each { from, to, text }.
local function tokens_of(text)
  local list, at = {}, 1
  while at <= #text do
    local to, counts = token_at(text, at)
    list[#list + 1] = counts and { from = at, to = to, text = text:sub(at, to) } or nil
    at = to + 1
  end
  return list
end

local DEEPER = { ["{"] = 1, ["("] = 1, ["["] = 1, ["}"] = -1, [")"] = -1, ["]"] = -1 }

-- The token after the value that starts with token `i`: a separator, or the end of the table around it.
local function value_end(tokens, i)
  local depth = 0
  while tokens[i] do
    local text = tokens[i].text
    depth = depth + (DEEPER[text] or 0)
    if depth < 0 or depth == 0 and (text == "," or text == ";") then
      return i
    end
    i = i + 1
  end
end

-- The key that starts with token `i`, and the first token of its value.
local function key_at(tokens, i)
  local function text(at) return tokens[at] and tokens[at].text end
  if text(i + 1) == "=" then
    return text(i), i + 2
  elseif text(i) == "[" and text(i + 2) == "]" and text(i + 3) == "=" then
    local chunk = load("return " .. text(i + 1), "=key", "t", {})
    return chunk and chunk(), i + 4
  end
  return nil, i
end

-- The fields of the table that starts with token `open`: each { key, start, first, stop }; and the token at its end.
local function fields_of(tokens, open)
  local fields, i = {}, open + 1
  while tokens[i] and tokens[i].text ~= "}" do
    local key, first = key_at(tokens, i)
    local stop = value_end(tokens, first)
    if not stop then
      return nil
    end
    fields[#fields + 1] = { key = key, start = i, first = first, stop = stop }
    i = tokens[stop].text == "}" and stop or stop + 1
  end
  return tokens[i] and fields, i
end

local function find(fields, key)
  for _, field in ipairs(fields) do
    if field.key == key then
      return field
    end
  end
end

local function root(tokens)
  for i, token in ipairs(tokens) do
    if token.text == "return" and tokens[i + 1] and tokens[i + 1].text == "{" then
      return fields_of(tokens, i + 1)
    end
  end
end

-- --- changing -----------------------------------------------------------------------------------------------------

local function key_text(key)
  return key:find "^[%a_][%w_]*$" and load("return { " .. key .. " = 1 }") and key or ("[%q]"):format(key)
end

local function literal(values)
  local parts = {}
  for _, name in ipairs(sorted_names(values)) do
    parts[#parts + 1] = values[name] ~= false and ("    %s = %q,\n"):format(key_text(name), values[name]) or nil
  end
  return "{\n" .. table.concat(parts) .. "  }"
end

-- Removes a field with its separator, and its line if that has nothing else.
local function remove_field(text, tokens, field)
  local from, stop = tokens[field.start].from, tokens[field.stop]
  local to = stop.text == "}" and tokens[field.stop - 1].to or stop.to
  local indent, line_end = text:sub(1, from - 1):match "\n([ \t]*)$", text:match("^[ \t]*\n()", to + 1)
  if indent and line_end then
    return text:sub(1, from - 1 - #indent) .. text:sub(line_end)
  end
  return text:sub(1, from - 1) .. text:sub(to + 1)
end

local function set_field(text, profile, name, value)
  local tokens = tokens_of(text)
  local entry = find(root(tokens), profile)
  local fields = fields_of(tokens, entry.first)
  local field = find(fields, name)
  if field and value == false then
    return remove_field(text, tokens, field)
  elseif field then
    local last = tokens[field.stop - 1]
    return text:sub(1, tokens[field.first].from - 1) .. ("%q"):format(value) .. text:sub(last.to + 1)
  elseif value ~= false then
    local open = tokens[entry.first].to
    return ("%s %s = %q,%s"):format(text:sub(1, open), key_text(name), value, text:sub(open + 1))
  end
  return text
end

local function add(text, profile, values)
  local tokens = tokens_of(text)
  local fields, close = root(tokens)
  local last = fields[#fields]
  local before = last and tokens[last.stop].text == "}" and tokens[last.stop - 1].to
  local at = tokens[close].from
  if before then
    text, at = text:sub(1, before) .. "," .. text:sub(before + 1), at + 1
  end
  local gap = text:sub(1, at - 1):find "\n[ \t]*$" and "" or "\n"
  return ("%s%s  %s = %s,\n%s"):format(text:sub(1, at - 1), gap, key_text(profile), literal(values), text:sub(at))
end

--- Returns the text with these values in the profile; `false` removes a value. nil if the text has another form.
---@param text string
---@param profile string
---@param values table<string, string | number | boolean>
---@return string?
function lua_text.set(text, profile, values)
  local tokens = tokens_of(text)
  local fields = root(tokens)
  local entry = fields and find(fields, profile)
  if not fields then
    return nil
  elseif not entry then
    return add(text, profile, values)
  elseif tokens[entry.first].text ~= "{" then
    return nil
  end
  for _, name in ipairs(sorted_names(values)) do
    text = set_field(text, profile, name, values[name])
  end
  return text
end

--- Returns the text without the profile; nil if the text has another form or no such profile.
---@param text string
---@param profile string
---@return string?
function lua_text.remove(text, profile)
  local tokens = tokens_of(text)
  local fields = root(tokens)
  local entry = fields and find(fields, profile)
  return entry and remove_field(text, tokens, entry)
end

return lua_text

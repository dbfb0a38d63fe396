-- What a server says of a failure beside its status, fit to print: the members of GreenLake's and OAuth's error bodies,
-- and the reason in a `WWW-Authenticate: Bearer` challenge (RFC 6750, 3). Nothing is decided by it.
-- SPDX-License-Identifier: MIT

local error_text = {}

local CHALLENGE_MAX = 4096 -- bytes of WWW-Authenticate that are read

-- The members that `detail` gets, and those that a message gets, in their order.
local IN_DETAIL = { "error_description", "error_uri", "errorCode", "message", "debugId" }
local IN_MESSAGE = { "errorCode", "error", "message", "error_description", "detail" }

local function quoted(text, at)
  local parts = {}
  while true do
    local plain, mark, after = text:match('^([^"\\]*)(["\\])()', at)
    if not plain then
      return nil
    end
    parts[#parts + 1] = plain
    if mark == '"' then
      return table.concat(parts), after
    end
    parts[#parts + 1], at = text:sub(after, after), after + 1
  end
end

--- The parameters of the Bearer challenge among those of a WWW-Authenticate field, their names in lower case; nil
--- without one.
---@param field? string
---@return table<string, string>?
function error_text.challenge(field)
  local text, at = (field or ""):sub(1, CHALLENGE_MAX), 1
  local scheme, found
  while true do
    local name, after = text:match("^[%s,]*([%w!#$%%&'*+.^_`|~-]+)()", at)
    if not name then
      return found
    end
    local value, next_at = text:match("^%s*=%s*([%w!#$%%&'*+.^_`|~:/-]*)()", after)
    if value == "" and text:sub(next_at, next_at) == '"' then
      value, next_at = quoted(text, next_at + 1)
    end
    if value and scheme == "bearer" then
      found[name:lower()] = value
    elseif not next_at then
      scheme = name:lower()
      found = found or scheme == "bearer" and {} or nil
    end
    at = next_at or after
  end
end

local function text_of(value)
  if type(value) == "string" and value ~= "" then
    return value
  elseif math.type(value) and value == value // 1 and math.abs(value) < 2 ^ 53 then
    return ("%d"):format(value)
  end
end

-- What the server says, by name, fit to print; where the body leaves something open, the challenge may have it.
local function collect(fields, challenge, clean)
  local said = {}
  for _, source in ipairs { type(fields) == "table" and fields or {}, challenge or {} } do
    for _, names in ipairs { IN_DETAIL, IN_MESSAGE } do
      for _, name in ipairs(names) do
        local text = said[name] == nil and text_of(source[name])
        said[name] = text and clean(text) or said[name]
      end
    end
  end
  return said
end

--- Adds to `detail` what the server says, and returns it as one text; nil where it says nothing. `but` is a member that
--- the message has already.
---@param detail central.auth.Detail
---@param fields any the body's JSON
---@param challenge? table<string, string>
---@param clean fun(text: string): string makes text from the server fit to print
---@param but? string
---@return string?
function error_text.add(detail, fields, challenge, clean, but)
  local said, parts, seen = collect(fields, challenge, clean), {}, {}
  for _, name in ipairs(IN_DETAIL) do
    detail[name] = said[name]
  end
  for _, name in ipairs(IN_MESSAGE) do
    local text = name ~= but and said[name]
    if text and not seen[text] then
      parts[#parts + 1], seen[text] = text, true
    end
  end
  local text = #parts > 0 and "it says: " .. table.concat(parts, ": ") or nil
  if said.debugId then
    text = ("%s (debugId %s)"):format(text or "it says nothing", said.debugId)
  end
  if said.error_uri then
    text = ("%s%s"):format(text and text .. "; see " or "see ", said.error_uri)
  end
  return text
end

return error_text

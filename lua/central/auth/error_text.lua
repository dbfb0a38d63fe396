-- Reads the text of a server's error reply: the members of GreenLake's and OAuth's error bodies, and the reason in a
-- `WWW-Authenticate: Bearer` challenge (RFC 6750, 3). For messages only: no decision depends on it.
-- SPDX-License-Identifier: MIT

local error_text = {}

local CHALLENGE_MAX = 4096 -- bytes of WWW-Authenticate that are read

-- The members that go into `detail`, and those that go into the message, in this order.
local IN_DETAIL = { "error_description", "error_uri", "errorCode", "message", "debugId" }
local IN_MESSAGE = { "errorCode", "error", "message", "error_description", "detail" }

local function quoted_string(text, at)
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

--- Returns the parameters of the Bearer challenge in a WWW-Authenticate field, their names in lower case; nil without
--- such a challenge.
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
      value, next_at = quoted_string(text, next_at + 1)
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

-- Returns the members by name, safe to print. Members that the body does not have are taken from the challenge.
local function collect(fields, challenge, clean)
  local members = {}
  for _, source in ipairs { type(fields) == "table" and fields or {}, challenge or {} } do
    for _, names in ipairs { IN_DETAIL, IN_MESSAGE } do
      for _, name in ipairs(names) do
        local text = members[name] == nil and text_of(source[name])
        members[name] = text and clean(text) or members[name]
      end
    end
  end
  return members
end

--- Adds the server's error text to `detail`, and returns it as one text; nil if there is none. `except` is a member
--- that the message already contains.
---@param detail central.auth.Detail
---@param fields any the body's JSON
---@param challenge? table<string, string>
---@param clean fun(text: string): string makes text from the server safe to print
---@param except? string
---@return string?
function error_text.add(detail, fields, challenge, clean, except)
  local members, parts, seen = collect(fields, challenge, clean), {}, {}
  for _, name in ipairs(IN_DETAIL) do
    detail[name] = members[name]
  end
  for _, name in ipairs(IN_MESSAGE) do
    local text = name ~= except and members[name]
    if text and not seen[text] then
      parts[#parts + 1], seen[text] = text, true
    end
  end
  local text = #parts > 0 and "the server says: " .. table.concat(parts, ": "):gsub("%.$", "") or nil
  if members.debugId then
    text = ("%s (debugId %s)"):format(text or "the server gives no reason", members.debugId)
  end
  if members.error_uri then
    text = ("%s%s"):format(text and text .. "; see " or "see ", members.error_uri)
  end
  return text
end

return error_text

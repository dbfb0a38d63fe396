-- Repairs JSON that is not valid UTF-8: U+FFFD replaces invalid bytes and half surrogate pairs.
-- SPDX-License-Identifier: MIT

local json_mending = {}

-- Repairs one sequence of bytes: keeps a character at its start, and replaces the rest with U+FFFD.
local function mend(bytes)
  local size = utf8.len(bytes) == 1 and #bytes or 0
  for length = math.min(#bytes - 1, 4), 1, -1 do
    size = size == 0 and utf8.len(bytes:sub(1, length)) == 1 and length or size
  end
  return size < #bytes and bytes:sub(1, size) .. "\u{FFFD}" or bytes
end

--- Decodes escaped surrogates: a pair becomes its character, half a pair becomes U+FFFD. A row of backslashes is
--- matched only from its start, as the time would otherwise grow with the square of its length.
---@param text string
---@return string
function json_mending.escapes(text)
  text = text:gsub("%f[\\](\\+)u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(slashes, high, low)
    local code = 0x10000 + ((tonumber(high, 16) & 0x3FF) << 10) + (tonumber(low, 16) & 0x3FF)
    return #slashes % 2 == 1 and slashes:sub(2) .. utf8.char(code) or nil
  end)
  return (text:gsub("%f[\\](\\+)u[dD][89a-fA-F]%x%x", function(slashes)
    return #slashes % 2 == 1 and slashes:sub(2) .. "\u{FFFD}" or nil
  end))
end

--- Returns the text as valid UTF-8: U+FFFD replaces invalid bytes.
---@param text string
---@return string
function json_mending.bytes(text)
  return utf8.len(text) and text or (text:gsub("[\x80-\xFF][\x80-\xBF]*", mend))
end

return json_mending

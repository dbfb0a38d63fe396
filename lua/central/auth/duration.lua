-- Seconds as text for people: "1 h 57 min", "4 min 3 s", "12 s".
-- SPDX-License-Identifier: MIT

--- Formats a duration, without fractions of a second.
---@param seconds number
---@return string
return function(seconds)
  local total = math.floor(math.max(seconds, 0))
  if total >= 3600 then
    return ("%d h %d min"):format(total // 3600, total % 3600 // 60)
  elseif total >= 60 then
    return ("%d min %d s"):format(total // 60, total % 60)
  end
  return ("%d s"):format(total)
end

-- Seconds as people say them: "1 h 57 min", "4 min 3 s", "12 s".
-- SPDX-License-Identifier: MIT

--- A time in words; what is below a second is left out.
---@param seconds number
---@return string
return function(seconds)
  local whole = math.floor(math.max(seconds, 0))
  if whole >= 3600 then
    return ("%d h %d min"):format(whole // 3600, whole % 3600 // 60)
  elseif whole >= 60 then
    return ("%d min %d s"):format(whole // 60, whole % 60)
  end
  return ("%d s"):format(whole)
end

-- Draws a token's lifetime as a bar: the part that has passed, the part before renewal, the window for renewal, and the
-- margin before expiry.
-- SPDX-License-Identifier: MIT

local duration = require("central.auth.util").duration
local time_of_day = require("central.auth.cli.terminal").time_of_day

local token_bar = {}

local WIDTH_MAX = 72 -- columns

-- The parts of the bar in their order: character, the same in ASCII, colour, and meaning.
local PARTS = {
  { "─", "-", "90", "passed" }, { "●", "O", "1", "now" }, { "━", "=", "32", "left" },
  { "╍", "~", "33", "window for renewal" }, { "┄", "!", "31", "end" },
}

-- A ready-made token is read again, and not renewed.
local function is_renewed(status)
  return status.source ~= "ready-made"
end

local function caption(status)
  local renews = not is_renewed(status) and ""
    or status.renews_in and status.renews_in > 0 and (", renews in %s"):format(duration(status.renews_in))
    or ", renews at the next call"
  local at = time_of_day(status.expires_at)
  local expiry = status.expires_in > 0 and ("expires in %s (%s)"):format(duration(status.expires_in), at)
    or "expired at " .. at
  return ("%s%s, %s"):format(status.state, renews, expiry)
end

--- Returns the bar and the text below it, and the bar's legend; nil if there is no token.
---@param status central.auth.Status
---@param width integer columns
---@param paint fun(colour: string, text: string): string
---@param utf8 boolean
---@return string? bar
---@return string? legend
function token_bar.draw(status, width, paint, utf8)
  if not status.expires_in or status.lifetime <= 0 then
    return nil
  end
  width = math.min(width - 1, WIDTH_MAX)
  local function column(remaining)
    return math.max(0, math.min(width - 1, math.floor((1 - remaining / status.lifetime) * width)))
  end
  local now = column(status.expires_in)
  local margin = column(math.min(30, status.lifetime / 10))
  local window = is_renewed(status) and column(status.expires_in - (status.renews_in or 0)) or margin
  local stops, bar, legend, at = { now, now + 1, window, margin, width }, {}, {}, 0
  for i, part in ipairs(PARTS) do
    local character, colour, stop = part[utf8 and 1 or 2], part[3], stops[i]
    if stop > at then
      bar[#bar + 1] = paint(colour, character:rep(stop - at))
      legend[#legend + 1] = ("%s %s"):format(paint(colour, character), part[4])
      at = stop
    end
  end
  return table.concat(bar) .. "\n" .. caption(status), table.concat(legend, "  ")
end

return token_bar

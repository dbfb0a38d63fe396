-- Draws a token's lifetime as a bar: the part that has passed, the part before renewal, the window for renewal, and the
-- margin before expiry.
-- SPDX-License-Identifier: MIT

local duration = require("central.auth.util").duration
local time_of_day = require("central.auth.cli.terminal").time_of_day

local token_bar = {}

local WIDTH_MAX = 72 -- columns
local CHARACTERS = {
  utf8 = { past = "─", fresh = "━", window = "╍", margin = "┄", now = "●" },
  plain = { past = "-", fresh = "=", window = "~", margin = "!", now = "O" },
}
local MEANINGS = { past = "passed", fresh = "left", window = "window for renewal", margin = "end", now = "now" }
local COLOURS = { past = "90", fresh = "32", window = "33", margin = "31", now = "1" }

-- Returns the part of the lifetime that a column shows; `now`, `window` and `margin` are columns.
local function part(column, now, window, margin)
  if column == now then
    return "now"
  elseif column < now then
    return "past"
  elseif column < window then
    return "fresh"
  end
  return column < margin and "window" or "margin"
end

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
  local characters, bar, legend, at = CHARACTERS[utf8 and "utf8" or "plain"], {}, {}, 0
  while at < width do
    local name, from = part(at, now, window, margin), at
    repeat
      at = at + 1
    until at == width or part(at, now, window, margin) ~= name
    bar[#bar + 1] = paint(COLOURS[name], characters[name]:rep(at - from))
    legend[#legend + 1] = ("%s %s"):format(paint(COLOURS[name], characters[name]), MEANINGS[name])
  end
  return table.concat(bar) .. "\n" .. caption(status), table.concat(legend, "  ")
end

return token_bar

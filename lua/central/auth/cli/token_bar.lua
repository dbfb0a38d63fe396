-- A token's life as a picture: how much of it is over, when it will be renewed, when it ends.
-- SPDX-License-Identifier: MIT

local duration = require "central.auth.duration"

local life = {}

local WIDEST = 72
local LOOKS = {
  utf8 = { past = "─", fresh = "━", window = "╍", last = "┄", now = "●" },
  plain = { past = "-", fresh = "=", window = "~", last = "!", now = "O" },
}
local COLOURS = { past = "90", fresh = "32", window = "33", last = "31", now = "1" }

-- Which part of the life each of `width` places is in; `now`, `window` and `last` are places.
local function part(place, now, window, last)
  if place == now then
    return "now"
  elseif place < now then
    return "past"
  elseif place < window then
    return "fresh"
  end
  return place < last and "window" or "last"
end

local function caption(status)
  local renews = status.renews_in and status.renews_in > 0 and ("renews in %s"):format(duration(status.renews_in))
    or "is renewed at the next call"
  local ends = status.expires_in > 0 and ("ends in %s (%%H:%%M:%%S)"):format(duration(status.expires_in))
    or "ended at %H:%M:%S"
  return ("%s, %s, %s"):format(status.state, renews, os.date(ends, status.expires_at))
end

--- The bar and the words below it; nil where there is no token.
---@param status central.auth.Status
---@param width integer columns
---@param paint fun(colour: string, text: string): string
---@param utf8 boolean
---@return string?
function life.draw(status, width, paint, utf8)
  if not status.expires_in or status.lifetime <= 0 then
    return nil
  end
  width = math.min(width - 1, WIDEST)
  local function place(remaining)
    return math.max(0, math.min(width - 1, math.floor((1 - remaining / status.lifetime) * width)))
  end
  local now = place(status.expires_in)
  local window = place(status.expires_in - math.max(status.renews_in or 0, 0))
  local last = place(math.min(30, status.lifetime / 10))
  local looks, bar, at = LOOKS[utf8 and "utf8" or "plain"], {}, 0
  while at < width do
    local name, from = part(at, now, window, last), at
    repeat
      at = at + 1
    until at == width or part(at, now, window, last) ~= name
    bar[#bar + 1] = paint(COLOURS[name], looks[name]:rep(at - from))
  end
  return table.concat(bar) .. "\n" .. caption(status)
end

return life

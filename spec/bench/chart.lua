-- Some figures of the benchmark as bars, a panel a measure, in an SVG file.
-- SPDX-License-Identifier: MIT

local numbers = require "spec.bench.numbers"

local chart = {}

-- What is shown, by the beginning of its title in the table, and how the picture calls it.
local PANELS = {
  { "`token()` with a fresh token", "Calling token() while the token is fresh" },
  { "a new process and its first token, system's", "A new process gets its first token" },
  { "token requests of", "Token requests of 50 processes that start at once" },
  { "renewals by force, cache off", "Requesting new tokens, one after the other" },
  { "API calls in turn", "API calls, one after the other" },
  { "an API call with 100 kB", "An API call with 100 kB of JSON, decoded" },
  { "API calls, 16 at a time", "API calls, 16 at a time, to a server that takes 50 ms" },
  { "… longest", "The longest wait for token() in 20 s of renewals" },
}
local UNITS = {
  ns = "nanoseconds", ms = "milliseconds", ["per second"] = "per second", requests = "requests",
}

local WIDTH, LABEL, BAR = 480, 190, 210 -- of a panel, of a bar's name, of the longest bar, in pixels
local HEAD, LINE, GAP, MARGIN = 52, 23, 22, 20
local OURS, PEER, FLOOR = "#1565c0", "#90a4ae", "#cfd8dc"

local function escaped(text)
  return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function text_at(x, y, class, text)
  return ('<text x="%g" y="%g" class="%s">%s</text>'):format(x, y, class, escaped(text))
end

local function find(results, beginning)
  for _, result in ipairs(results) do
    if result.title:sub(1, #beginning) == beginning then
      return result
    end
  end
end

local function add_panel(lines, left, top, title, result)
  local most = 0
  for _, row in ipairs(result.rows) do
    most = math.max(most, row.median)
  end
  lines[#lines + 1] = text_at(left, top + 16, "title", title)
  lines[#lines + 1] = text_at(left, top + 35, "unit", ("%s; %s is better"):format(UNITS[result.unit],
    result.better == "more" and "longer" or "shorter"))
  for i, row in ipairs(result.rows) do
    local y, width = top + HEAD + (i - 1) * LINE, math.max(row.median / most * BAR, 1)
    local class = i == 1 and "ours" or "name"
    lines[#lines + 1] = text_at(left + LABEL - 8, y + 12, class .. " right", row.name)
    lines[#lines + 1] = ('<rect x="%g" y="%g" width="%.1f" height="16" rx="2" fill="%s"/>'):format(left + LABEL, y,
      width, i == 1 and OURS or row.floor and FLOOR or PEER)
    lines[#lines + 1] = text_at(left + LABEL + width + 6, y + 12, class, numbers.text(row.median))
  end
end

--- Draws some of the results of a benchmark.
---@param results { title: string, unit: string, better: string, rows: { name: string, median: number }[] }[]
---@return string svg
function chart.draw(results)
  local lines, panels, top = {}, {}, MARGIN
  for _, panel in ipairs(PANELS) do
    local result = find(results, panel[1])
    panels[#panels + 1] = result and { title = panel[2], result = result }
  end
  for i = 1, #panels, 2 do
    local most = 0
    for n = 0, 1 do
      local panel = panels[i + n]
      if panel then
        add_panel(lines, MARGIN + n * (WIDTH + MARGIN), top, panel.title, panel.result)
        most = math.max(most, #panel.result.rows)
      end
    end
    top = top + HEAD + most * LINE + GAP
  end
  lines[#lines + 1] = text_at(MARGIN, top + 4, "unit",
    "Blue: central-auth. Light: the same work in plain C or Lua, without a library for tokens around it.")
  local width, height = 2 * WIDTH + 3 * MARGIN, top + MARGIN
  return ([[
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif">
<style>
.title { font-size: 15px; font-weight: bold; fill: #202020 } .unit { font-size: 12px; fill: #606060 }
.name { font-size: 13px; fill: #303030 } .ours { font-size: 13px; font-weight: bold; fill: #1565c0 }
.right { text-anchor: end }
</style>
<rect width="%d" height="%d" fill="#ffffff"/>
%s
</svg>
]]):format(width, height, width, height, width, height, table.concat(lines, "\n"))
end

return chart

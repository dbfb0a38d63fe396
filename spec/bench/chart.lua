-- The figures of the benchmark as bars, a panel a measure, by gnuplot. Ours is blue, the floor grey.
-- SPDX-License-Identifier: MIT

local chart = {}

local COLUMNS, WIDTH, HEIGHT = 2, 500, 20 -- panels in a row; a panel's width and a line's height in pixels
local FITS = 60 -- characters in a line of a title
local OURS, PEER, FLOOR = "0x1565c0", "0xb0bec5", "0xe0e0e0"

--- A figure as people read it: three digits.
---@param value number
---@return string
function chart.number(value)
  return (value >= 100 and "%.0f" or value >= 10 and "%.1f" or "%.2f"):format(value)
end

local function quoted(text)
  return '"' .. text:gsub('["\\]', "\\%0"):gsub("\n", "\\n") .. '"'
end

-- What a panel shows, in lines that fit.
local function title_of(result)
  local better = result.unit == "per second" and ", more is better" or ""
  local text = result.title .. (result.unit ~= "" and (" (%s%s)"):format(result.unit, better) or "")
  return #text > FITS and text:gsub("^(" .. ("."):rep(FITS // 2) .. "[^ ]*) ", "%1\n") or text
end

-- One panel: the data as a block, and how it is drawn. `lines` keeps every bar as high, whatever the panel has of them.
local function panel(n, result, lines)
  local data, tics, most = {}, {}, 0
  for i, row in ipairs(result.rows) do
    local name, floor = row.name:gsub("^floor: ", "")
    local colour = i == 1 and OURS or floor > 0 and FLOOR or PEER
    data[i] = ("%g %d %s %s"):format(row.median, -i, colour, quoted(chart.number(row.median)))
    tics[i] = ("%s %d"):format(quoted(name), -i)
    most = math.max(most, row.median)
  end
  local title = title_of(result)
  return ([[
$data%d << END
%s
END
set label 1 %s at graph 0, graph 1 offset -25,%g left noenhanced font ",14"
set ytics scale 0 (%s)
set xrange [0:%g]
set yrange [-%d.7:-0.3]
plot $data%d using (0):2:(0):1:($2-0.36):($2+0.36):3 with boxxyerror fillcolor rgb variable, \
  "" using 1:2:4 with labels left offset 0.6,0]]):format(n, table.concat(data, "\n"),
    quoted(title), title:find "\n" and 1.5 or 0.7, table.concat(tics, ", "), most * 1.2, lines, n)
end

--- Draws the results of a benchmark into an SVG file.
---@param results { title: string, unit: string, rows: { name: string, median: number }[] }[]
---@param path string
function chart.draw(results, path)
  local lines = 0
  for _, result in ipairs(results) do
    lines = math.max(lines, #result.rows)
  end
  local rows = (#results + COLUMNS - 1) // COLUMNS
  local gnuplot <close> = assert(io.popen("gnuplot", "w"))
  gnuplot:write(([[
set terminal svg size %d,%d font "sans-serif,13" background "#ffffff"
set output %s
set multiplot layout %d,%d
unset key; unset xtics; unset border
set style fill solid noborder
set lmargin 26; set rmargin 2; set tmargin 3; set bmargin 0.5
]]):format(COLUMNS * WIDTH, rows * (lines + 3) * HEIGHT, quoted(path), rows, COLUMNS))
  for n, result in ipairs(results) do
    gnuplot:write(panel(n, result, lines), "\n")
  end
  gnuplot:write "unset multiplot\n"
  assert(gnuplot:close(), "gnuplot failed")
end

return chart

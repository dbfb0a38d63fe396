-- The picture of the benchmark: drawn, and the one in spec/README.md shows the figures that stand below it.
-- SPDX-License-Identifier: MIT

local chart = require "spec.bench.chart"
local process = require "spec.support.process"

local SHOWN = "spec/bench/numbers.svg"

local function cells_of(line)
  local cells = {}
  for cell in line:gmatch "|%s*([^|]-)%s*%f[|]" do
    cells[#cells + 1] = cell
  end
  return cells
end

-- The table of spec/README.md as the benchmark keeps it.
local function results()
  local section = process.read("spec/README.md"):match "\n## Numbers\n(.-)\n## "
  local peers, list = nil, {}
  for line in section:gmatch "[^\n]+" do
    local cells = cells_of(line)
    if line:find "^| | central%-auth" then
      peers = cells
    elseif peers and line:find "^| [^-]" then
      local median, unit = cells[2]:match "^([%d.]+)%s*(.*)$"
      local result = { title = cells[1], unit = unit, rows = { { name = peers[2], median = tonumber(median) } } }
      for i = 3, #cells do
        local figure, floor = cells[i]:match "%*%* of ([%d.]+),?%s*(.*)$"
        result.rows[#result.rows + 1] = figure and
          { name = floor ~= "" and "floor: " .. floor or peers[i], median = tonumber(figure) }
      end
      list[#list + 1] = result
    end
  end
  return list
end

-- What a picture says, whichever gnuplot drew it.
local function texts(path)
  local list = {}
  for text in process.read(path):gmatch "<tspan[^>]*>%s*([^<]*)" do
    list[#list + 1] = text
  end
  return list
end

describe("the picture of the benchmark", function()
  it("is drawn, every figure by its side", function()
    local folder = process.scratch()
    chart.draw(results(), folder .. "/drawn.svg")
    local drawn = texts(folder .. "/drawn.svg")
    assert.is_true(#drawn > 80, #drawn)
    assert.same(texts(SHOWN), drawn)
    process.remove(folder)
  end)

  it("in spec/README.md is that of its table", function()
    local shown, titles, list = {}, {}, results()
    for _, text in ipairs(texts(SHOWN)) do
      shown[text] = true
    end
    assert.is_true(#list >= 8)
    for _, result in ipairs(list) do
      titles[result.title] = true
      assert.is_true(#result.rows >= 2)
      for _, row in ipairs(result.rows) do
        assert.is_true(shown[chart.number(row.median)], result.title .. ": " .. row.name)
      end
    end
    for title in process.read("spec/bench/bench.lua"):gmatch '%f[%a][ckp][%a]+%("([^"%%]+)", "' do
      titles[title] = titles[title] or false
    end
    for title, told in pairs(titles) do
      assert.is_true(told, title .. ": not in spec/README.md")
    end
    assert.truthy(process.read("spec/README.md"):find("](" .. SHOWN:gsub("^spec/", "") .. ")", 1, true))
  end)
end)

-- The figures of the benchmark: table and picture in spec/README.md are those of spec/bench/numbers.json, and all that
-- is measured is in it.
-- SPDX-License-Identifier: MIT

local chart = require "spec.bench.chart"
local cjson = require "cjson"
local numbers = require "spec.bench.numbers"
local process = require "spec.support.process"

describe("the figures of the benchmark", function()
  local run = cjson.decode(process.read "spec/bench/numbers.json")

  it("are in the table and in the picture of spec/README.md", function()
    local readme = process.read "spec/README.md"
    assert.equal(numbers.table(run), readme:match "<!%-%- numbers %-%->\n(.-)\n<!%-%- end of numbers %-%->")
    assert.truthy(readme:find("](bench/numbers.svg)", 1, true))
    local picture = chart.draw(run.results)
    assert.equal(picture, process.read "spec/bench/numbers.svg")
    local _, panels = picture:gsub('class="title"', "")
    assert.equal(8, panels)
  end)

  it("are of all that is measured", function()
    local titles, told = process.read "spec/bench/bench.lua", {}
    for _, result in ipairs(run.results) do
      told[result.title] = true
      assert.equal("central-auth", result.rows[1].name)
    end
    for title in titles:gmatch '[^%w]measure%("([^"]+)"' do
      assert.is_true(told[title], title .. ": make bench bench-tables")
    end
  end)

  it("have three digits, and say of each peer how ours compares and which way is better", function()
    assert.same({ "0.04", "1", "12.3", "50", "4353" }, { numbers.text(0.041), numbers.text(1), numbers.text(12.34),
      numbers.text(50), numbers.text(4353.4) })
    local text = numbers.table { machine = "A machine.", missing = { "curl" }, results = { {
      title = "calls", unit = "ms", better = "less", rows = {
        { name = "central-auth", median = 2 }, { name = "Go oauth2", median = 4 }, { name = "else", median = 1 },
        { name = "C", median = 8, floor = true },
      },
    } } }
    assert.matches("A machine. Not installed: curl.", text, 1, true)
    assert.matches("| calls | ms | less | **2** | 4 (0.50) |  | else 1 (2.00) | C 8 (0.25) |", text, 1, true)
  end)
end)

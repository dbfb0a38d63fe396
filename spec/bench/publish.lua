-- Puts the figures of the last run of the benchmark into spec/README.md and its picture.
-- SPDX-License-Identifier: MIT

local chart = require "spec.bench.chart"
local cjson = require "cjson"
local numbers = require "spec.bench.numbers"
local process = require "spec.support.process"

local text = process.read(arg[1])
local run = cjson.decode(text)
assert(run.complete, arg[1] .. " has some rows, or few rounds: run `make bench` without ROWS and ROUNDS first")
local readme, places = process.read("spec/README.md"):gsub("(<!%-%- numbers %-%->\n).-(<!%-%- end of numbers %-%->)",
  function(before, after) return before .. numbers.table(run) .. "\n" .. after end)
assert(places == 1, "spec/README.md has no place for the table")
process.write("spec/README.md", readme)
process.write("spec/bench/numbers.json", text)
process.write("spec/bench/numbers.svg", chart.draw(run.results))

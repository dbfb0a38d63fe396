-- The warm call: `auth.token()` with a fresh token beside a C function that does nothing, interleaved in
-- one run; medians, the loop around the calls counted in both.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local nothing = require "empty"
local box <close> = require("central.auth.sandbox").start()

assert(auth.configure(box:options()))
assert(auth.token())

local CALLS, ROUNDS = 1000000, 21

local function time(f)
  local started = os.clock()
  for _ = 1, CALLS do
    f()
  end
  return (os.clock() - started) / CALLS * 1e9
end

local samples = { token = {}, header = {}, empty = {} }
for i = 1, ROUNDS do
  samples.empty[i] = time(nothing)
  samples.token[i] = time(auth.token)
  samples.header[i] = time(auth.header)
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1], list[1], list[#list]
end

local floor = median(samples.empty)
for _, name in ipairs { "token", "header", "empty" } do
  local middle, low, high = median(samples[name])
  print(("%-7s %5.2f empty calls   %6.1f ns (%.1f to %.1f)"):format(name, middle / floor, middle, low, high))
end

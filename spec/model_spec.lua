-- Clients in a world that goes wrong at random: see spec/support/model.lua. `make model` runs it for longer.
-- SPDX-License-Identifier: MIT

local model = require "spec.support.model"
local process = require "spec.support.process"

local SEEDS = 40
local GROWTH = 200 -- KiB between runs, which caches of the runtime may grow by

describe("clients in a world that goes wrong at random", function()
  local memory, descriptors

  for seed = 1, SEEDS do
    it(("keep their promises: seed %d"):format(seed), function() model.run(seed, model.STEPS) end)

    if seed == SEEDS // 4 then
      it("have come so far", function()
        descriptors = process.count()
        memory = collectgarbage "count"
      end)
    end
  end

  it("keep neither memory nor descriptors", function()
    assert.is_true(process.count() <= descriptors, process.count() - descriptors)
    assert.is_true(collectgarbage "count" - memory < GROWTH, collectgarbage "count" - memory)
  end)
end)

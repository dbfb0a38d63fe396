-- `make model`: runs the model (spec/support/model.lua) with new seeds for SECONDS, or with the one that SEED names.
-- SPDX-License-Identifier: MIT

local model = require "spec.support.model"

local seconds, seed = tonumber(os.getenv "SECONDS") or 60, tonumber(os.getenv "SEED")
local first, till, runs = seed or os.time() * 1000, os.time() + seconds, 0
repeat
  local ok, why = pcall(model.run, first + runs, model.STEPS)
  runs = runs + 1
  if not ok then
    io.stderr:write(why, "\n")
    os.exit(1)
  end
until seed or os.time() >= till
print(("%d runs of %d steps, the first with the seed %d"):format(runs, model.STEPS, first))

-- The collector at every step: loaded before busted, by `make check-gc`. Every few instructions of every coroutine it
-- collects everything there is.
-- SPDX-License-Identifier: MIT

local EVERY = tonumber(os.getenv "EVERY") or 200

local create, exit = coroutine.create, os.exit
local running = true

local function hooked(thread)
  debug.sethook(thread, function()
    if running then
      collectgarbage()
    end
  end, "", EVERY)
  return thread
end

function os.exit(...) -- luacheck: ignore 122
  running = false -- finalizers that are called while the state is closed must not collect what they need
  exit(...)
end

function coroutine.create(f) -- luacheck: ignore 122
  return hooked(create(f))
end

function coroutine.wrap(f) -- luacheck: ignore 122
  local thread = coroutine.create(f)
  return function(...)
    local results = table.pack(coroutine.resume(thread, ...))
    if not results[1] then
      error(results[2], 0)
    end
    return table.unpack(results, 2, results.n)
  end
end

hooked((coroutine.running()))

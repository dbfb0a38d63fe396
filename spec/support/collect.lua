-- The collector at every step: what LUA_INIT names during `make check-gc`, in the specs and in the Lua that they start.
-- In every coroutine (not in the states of other threads) it collects all garbage every so many instructions; and for
-- a few instructions behind each such point at every allocation, those within C functions among them, so that a value
-- that only C holds, and Lua does not know of, is gone before it is used.
-- SPDX-License-Identifier: MIT

local EVERY = tonumber(os.getenv "EVERY") or 2000
local BURST = 10

local create, exit = coroutine.create, os.exit
local running, bursting = true, false

collectgarbage("incremental", 0, 0, 40) -- a step is a whole cycle

local function step()
  if not running then
    return
  end
  bursting = not bursting
  collectgarbage("setpause", bursting and 0 or 200) -- 0: a cycle begins with the first allocation behind another
  if bursting then
    collectgarbage()
  end
  debug.sethook(step, "", bursting and BURST or EVERY)
end

local function hooked(thread)
  debug.sethook(thread, step, "", EVERY)
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

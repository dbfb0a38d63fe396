-- Runs Lua in a process of its own, with exactly the environment a spec gives it.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local child = {}

--- Runs the Lua text `code`. `environment` is all of the child's environment but the search paths. Its standard
--- output and error together, and its exit status.
function child.run(code, environment)
  local folder = process.scratch()
  local script = process.write(folder .. "/child.lua", code)
  local words = { "env -i", "PATH=" .. process.quote(os.getenv "PATH") }
  words[#words + 1] = "LUA_PATH=" .. process.quote(package.path)
  words[#words + 1] = "LUA_CPATH=" .. process.quote(package.cpath)
  words[#words + 1] = os.getenv "LUA_INIT_5_4" and "LUA_INIT_5_4=" .. os.getenv "LUA_INIT_5_4"
  for name, value in pairs(environment or {}) do
    words[#words + 1] = name .. "=" .. process.quote(value)
  end
  words[#words + 1] = "lua5.4 " .. process.quote(script)
  local output, status = process.run(table.concat(words, " "))
  process.remove(folder)
  return output, status
end

return child

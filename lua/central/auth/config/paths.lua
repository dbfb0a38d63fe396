-- Where our files are (XDG Base Directory Specification). Looks at the environment alone.
-- SPDX-License-Identifier: MIT

local paths = {}

-- Relative paths are invalid, says the specification.
local function folder(variable)
  local path = os.getenv(variable)
  return path and path:find("^/") and path or nil
end

local function below_home(name)
  local home = folder "HOME"
  return home and home .. name
end

--- The file of profiles; nil where the environment names no home.
---@return string?
function paths.profiles()
  local base = folder "XDG_CONFIG_HOME" or below_home "/.config"
  return base and base .. "/central-auth/config.lua"
end

--- The folders that the shared token may be in, the best one first. The system makes and removes that of
--- XDG_RUNTIME_DIR: only below the others is the folder above it to be made.
---@return { path: string, by_system: boolean }[]
function paths.caches()
  local list = {}
  local function add(base, by_system)
    list[#list + 1] = base and { path = base .. "/central-auth", by_system = by_system } or nil
  end
  add(folder "XDG_RUNTIME_DIR", true)
  add(folder "XDG_CACHE_HOME", false)
  add(below_home "/.cache", false)
  return list
end

return paths

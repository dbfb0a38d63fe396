-- The paths of this package's files (XDG Base Directory Specification). Reads only the environment.
-- SPDX-License-Identifier: MIT

local paths = {}

paths.DEFAULT_PROFILE = "default"

-- Returns the folder in a variable. By the specification, relative paths are not valid.
local function folder(variable)
  local path = os.getenv(variable)
  return path and path:find("^/") and path or nil
end

local function below_home(name)
  local home = folder "HOME"
  return home and home .. name
end

--- Returns the folder of the profiles; nil if no variable names a folder.
---@return string?
function paths.profiles()
  local base = folder "XDG_CONFIG_HOME" or below_home "/.config"
  return base and base .. "/central-auth"
end

--- Returns the path of a profile's file; nil if no variable names a folder.
---@param name string a valid name: see validate.profile
---@return string?
function paths.profile(name)
  local profiles = paths.profiles()
  return profiles and ("%s/%s.lua"):format(profiles, name)
end

--- Returns the folders that may contain the shared token, the preferred one first. `by_system`: the system creates and
--- removes the parent folder, as for XDG_RUNTIME_DIR; other parent folders are created if missing.
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

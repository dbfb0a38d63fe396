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

--- The folder of the shared token; nil likewise.
---@return string?
function paths.cache()
  local base = folder "XDG_RUNTIME_DIR" or folder "XDG_CACHE_HOME" or below_home "/.cache"
  return base and base .. "/central-auth"
end

return paths

-- Checks that each Lua module uses only modules of its own layer and of those below it, lazily loaded ones included:
-- lua5.4 layers.lua, in the root of the project. Run by `make lint`. SPDX-License-Identifier: MIT

-- From the lowest to the highest. A folder below lua/central/auth/ is a layer; so is what has no folder.
local LAYERS = {
  { "core", "http", "redis", "console", "lazy", "sorted_names", "duration", "errors", "error_text", "url", "json" },
  { "config" }, { "token" }, { "api" }, { "sandbox", "help", "loops", "client" }, { "auth", "cli" },
}
-- The client's methods for API calls are made of its own checks.
local ALLOWED = {
  ["central.auth.api.methods central.auth.client"] = true, ["central.auth.api.api_clients central.auth.client"] = true,
}

local height = {}
for level, names in ipairs(LAYERS) do
  for _, name in ipairs(names) do
    height[name] = level
  end
end

local function height_of(module)
  local name = module == "central.auth" and "auth" or module:match "^central%.auth%.([%w_]+)"
  return height[name] or error(("%s: .ci/layers.lua knows no layer %q"):format(module, name))
end

local failed = false
for path in io.popen "find lua/central -name '*.lua'":lines() do
  local user = path:match "^lua/(.*)%.lua$":gsub("/", ".")
  for line in io.lines(path) do
    for _, loader in ipairs { "require", "lazy" } do
      local used = line:gsub("%-%-.*", ""):match(loader .. '[%s(]+"(central%.auth[%w_.]*)"')
      if used and height_of(user) < height_of(used) and not ALLOWED[user .. " " .. used] then
        io.stderr:write(("lint: %s uses %s, which stands above it\n"):format(path, used))
        failed = true
      end
    end
  end
end
os.exit(not failed)

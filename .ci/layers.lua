-- Checks which Lua modules each Lua module uses, lazily loaded ones included: only those of its own layer and of the
-- layers below it, and never in a circle. Run by `make lint`, in the root of the project: lua5.4 .ci/layers.lua
-- SPDX-License-Identifier: MIT

-- From the lowest to the highest. A folder of lua/central/auth/ and the module of its name are one layer; the layers of
-- a row do not use each other. All other modules beside these, and those in C, are the lowest layer.
local ROWS = {
  { "config" }, { "token" }, { "api" }, { "client" }, { "help", "loops", "sandbox" }, { "functions" }, { "auth" },
  { "cli" },
}

local height = { base = 0 }
for level, row in ipairs(ROWS) do
  for _, layer in ipairs(row) do
    height[layer] = level
  end
end

local function layer_of(module)
  local name = module == "central.auth" and "auth" or module:match "^central%.auth%.([%w_]+)"
  local is_folder = module:find "^central%.auth%.[%w_]+%."
  return height[name] and name or is_folder and error(module .. ": .ci/layers.lua knows no such layer", 0) or "base"
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- Each module of the project, in order, and the text of its file.
local function modules()
  local names, texts = {}, {}
  for path in io.popen "find lua/central -name '*.lua' | LC_ALL=C sort":lines() do
    local name = path:match "^lua/(.*)%.lua$":gsub("/", ".")
    names[#names + 1], texts[name] = name, read(path)
  end
  return names, texts
end

-- The modules that a module loads. A name that ends with a dot stands for all other modules of that folder.
local function used_by(user, text, names)
  local used = {}
  for _, loader in ipairs { "require", "lazy" } do
    for name in text:gsub("%-%-[^\n]*", ""):gmatch("%f[%w_]" .. loader .. '[%s(,]*"(central%.auth[%w_.]*)"') do
      for _, module in ipairs(name:find "%.$" and names or { name }) do
        used[#used + 1] = module:sub(1, #name) == name and module ~= user and module or nil
      end
    end
  end
  return used
end

local failed = false
local function complain(format, ...)
  io.stderr:write("lint: ", format:format(...), "\n")
  failed = true
end

local names, texts = modules()
local uses = {}
for _, user in ipairs(names) do
  uses[user] = used_by(user, texts[user], names)
  for _, used in ipairs(uses[user]) do
    local own, other = layer_of(user), layer_of(used)
    if own ~= other and height[other] >= height[own] then
      complain("%s uses %s, which is not in a layer below its own", user, used)
    end
  end
end

-- Depth first; `path` has the modules between the first one and this one.
local state = {}
local function visit(module, path)
  if state[module] == "open" then
    local start = 1
    while path[start] ~= module do
      start = start + 1
    end
    complain("a circle of modules: %s -> %s", table.concat(path, " -> ", start), module)
  elseif not state[module] then
    state[module], path[#path + 1] = "open", module
    for _, used in ipairs(uses[module] or {}) do
      visit(used, path)
    end
    state[module], path[#path] = "done", nil
  end
end

for _, module in ipairs(names) do
  visit(module, {})
end
os.exit(not failed)

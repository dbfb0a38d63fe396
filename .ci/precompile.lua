-- Writes C tables of precompiled Lua modules, for lmodules.c: lua precompile.lua MODULE-FILE … >modules.h
-- The first is an empty one, by which a Lua of another make is known. SPDX-License-Identifier: MIT

local function bytes(chunk)
  local numbers = {}
  for i = 1, #chunk do
    numbers[i] = chunk:byte(i)
  end
  return table.concat(numbers, ",")
end

local modules = { { name = "", chunk = string.dump(load "") } }
for _, path in ipairs(arg) do
  local source = assert(io.open(path)):read("a")
  local file = path:match ".*lua/(central/.*)"
  local chunk = string.dump(assert(load(source, "@" .. file, "t"))) -- its names and lines stay, for messages
  modules[#modules + 1] = { name = file:gsub("%.lua$", ""):gsub("/", "."), chunk = chunk }
end

for i, module in ipairs(modules) do
  print(("static const unsigned char MODULE_%d[] = {%s};"):format(i, bytes(module.chunk)))
end
print "static const struct module MODULES[] = {"
for i, module in ipairs(modules) do
  print(("    {%q, MODULE_%d, sizeof MODULE_%d},"):format(module.name, i, i))
end
print "};"

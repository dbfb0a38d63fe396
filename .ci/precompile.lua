-- Writes C tables of precompiled Lua modules, for lmodules.c: lua precompile.lua MODULE-FILE … >modules.h
-- The first is an empty one, by which a Lua of another make is known. SPDX-License-Identifier: MIT

local function bytes(chunk)
  local numbers = {}
  for i = 1, #chunk do
    numbers[i] = chunk:byte(i)
  end
  return table.concat(numbers, ",")
end

local HEADER = "^\x1bLua\x54\0\x19\x93\r\n\x1a\n\4\8\8" -- of Lua 5.4: version, check, sizes

-- Copies a chunk without the names of its local variables and upvalues: reading them takes an eighth of a start, and
-- only messages about this package's own mistakes show them. Those still have the line. The format is that of ldump.c;
-- a chunk of another version is returned as it is.
local function without_variable_names(chunk)
  if not chunk:find(HEADER) then
    return chunk
  end
  local out, copied, at = {}, 1, 33 -- after the header: an integer and a float to check, the number of upvalues

  local function integer() -- seven bits a byte; the last byte has the highest bit, too
    local value = 0
    repeat
      local byte = chunk:byte(at)
      value, at = value << 7 | byte & 0x7F, at + 1
    until byte > 0x7F
    return value
  end

  local function skip(size) -- items of this many bytes
    local count = integer()
    at = at + size * count
  end

  local function each(read)
    for _ = 1, integer() do
      read()
    end
  end

  local function text()
    local length = integer()
    at = at + math.max(length - 1, 0)
  end

  local function constant()
    local kind = chunk:byte(at) & 0x0F
    at = at + (kind == 3 and 9 or 1) -- a number
    if kind == 4 then
      text()
    end
  end

  local function pair()
    integer()
    integer()
  end

  local function code()
    text()
    pair() -- first and last line
    at = at + 3 -- parameters, varargs, registers
    skip(4) -- instructions
    each(constant)
    skip(3) -- upvalues
    each(code)
    skip(1) -- lines
    each(pair)
    out[#out + 1], out[#out + 2] = chunk:sub(copied, at - 1), "\x80\x80"
    each(function() text() pair() end) -- names of variables
    each(text) -- and of upvalues
    copied = at
  end

  code()
  return table.concat(out)
end

local modules = { { name = "", chunk = string.dump(load "") } }
for _, path in ipairs(arg) do
  local source = assert(io.open(path)):read("a")
  local file = path:match ".*lua/(central/.*)"
  local chunk = without_variable_names(string.dump(assert(load(source, "@" .. file, "t"))))
  modules[#modules + 1] = { name = file:gsub("%.lua$", ""):gsub("/", "."), chunk = chunk }
end
table.sort(modules, function(a, b) return a.name < b.name end)

for i, module in ipairs(modules) do
  print(("static const unsigned char MODULE_%d[] = {%s};"):format(i, bytes(module.chunk)))
end
print "static const struct module MODULES[] = {"
for i, module in ipairs(modules) do
  print(("    {%q, MODULE_%d, sizeof MODULE_%d},"):format(module.name, i, i))
end
print "};"

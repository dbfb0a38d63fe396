-- Fills in the tables of a README file from the code: lua5.4 .ci/tables.lua FILE, to standard output. A table stands
-- between `<!-- table: NAME … -->` and `<!-- end -->`; NAME is a function of `tables` below, and its arguments follow.
-- `make tables` writes the files, and a spec compares.
-- SPDX-License-Identifier: MIT

local files = {}
for path in io.popen "cd lua && find central -name '*.lua' | LC_ALL=C sort":lines() do
  files[#files + 1] = path
end
local sources = dofile(arg[0]:match "^(.*/)" .. "sources.lua")("lua", files)
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local texts = require "central.auth.cli.texts"

local tables = {}

local function code(text)
  return text ~= "" and "`" .. text:gsub("|", "\\|") .. "`" or ""
end

local function sentence(text)
  text = text:gsub("|", "\\|"):gsub("^%l[%l'-]*[%s,;]", function(word)
    return word:sub(1, 1):upper() .. word:sub(2)
  end)
  return text:find "[%w)}\"`]$" and text .. "." or text
end

local function typed(kind)
  return code((kind:gsub("central%.auth%.", "")))
end

local function draw(head, rows)
  local lines = { "| " .. table.concat(head, " | ") .. " |", "|" .. (" --- |"):rep(#head) }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("| " .. table.concat(row, " | ") .. " |"):gsub("  +", " ")
  end
  return table.concat(lines, "\n")
end

local function fields_of(class)
  return assert(sources.class_of["central.auth." .. class], class).fields
end

--- Every option, with its variable. Its text in the annotations begins with the variable.
function tables.options()
  local rows = {}
  for _, field in ipairs(fields_of "Options") do
    local variable = not options.get(field.name).arguments_only and "CENTRAL_" .. field.name:upper() or ""
    rows[#rows + 1] = { code(field.name), code(variable), typed(field.type),
      sentence((field.text:gsub("^" .. variable .. ":? *", ""))) }
  end
  return draw({ "option", "variable", "type", "meaning" }, rows)
end

--- The variables of the environment that are not options.
function tables.variables()
  local rows = {}
  for _, variable in ipairs(require "central.auth.config.environment") do
    rows[#rows + 1] = { (variable[1]:gsub("[%w_]+", "`%0`")), variable[2] }
  end
  return draw({ "variable", "meaning" }, rows)
end

--- The names of an alias: events, error codes.
function tables.names(head, class)
  local rows = {}
  for _, field in ipairs(fields_of(class)) do
    rows[#rows + 1] = { code(field.name), sentence(field.text) }
  end
  assert(class ~= "Code" or #rows == #errors.codes)
  return draw({ head, "meaning" }, rows)
end

--- The fields of a class: of a table of options, or of something that is returned.
function tables.fields(head, class)
  local rows = {}
  for _, field in ipairs(fields_of(class)) do
    rows[#rows + 1] = { code(field.name), typed(field.type), sentence(field.text) }
  end
  return draw({ head, "type", "meaning" }, rows)
end

--- The functions of an owner; `start`: of their names.
function tables.functions(owner, start)
  local rows = {}
  for _, item in ipairs(sources.methods_of[owner]) do
    local about = sources:documented(item)
    rows[#rows + 1] = { code(sources.signature(start .. item.name, about)), sentence(about.text) }
  end
  return draw({ "call", "what it does" }, rows)
end

--- The subcommands, with their options.
function tables.commands()
  local rows = {}
  local function add(name, command)
    local words = {}
    for _, option in ipairs(command.options or {}) do
      words[#words + 1] = code((option[2] or option[1]) .. (option.value and " " .. option.value or ""))
    end
    local arguments = ""
    for _, argument in ipairs(command.arguments or {}) do
      local form = ({ ["+"] = " %s …", ["*"] = " [%s …]" })[argument.args] or " %s"
      arguments = arguments .. form:format(argument.shown or argument.name:upper())
    end
    rows[#rows + 1] = { code("central-auth " .. name .. arguments), command.summary, table.concat(words, ", ") }
    for _, inner in ipairs(command.commands or {}) do
      add(name .. " " .. inner.name, inner)
    end
  end
  for name, command in texts.commands() do
    add(name, command)
  end
  return draw({ "command", "what it does", "options" }, rows)
end

--- The exit statuses of the command; those of one subcommand name it.
function tables.statuses()
  local rows = {}
  local function add(list, from)
    for _, row in ipairs(list or {}) do
      rows[#rows + 1] = { code(tostring(row[1])), from, row[2] }
    end
  end
  add(texts.statuses, "all")
  for name, command in texts.commands() do
    add(command.statuses, code(name))
  end
  return draw({ "status", "of", "meaning" }, rows)
end

local file <close> = assert(io.open(arg[1]))
io.write((file:read "a":gsub("(<!%-%- table: (%l+) ?(%S*) ?(%S*) %-%->\n).-(<!%-%- end %-%->)",
  function(start, name, first, second, finish)
    return start .. assert(tables[name], name)(first, second) .. "\n" .. finish
  end)))

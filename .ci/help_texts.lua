-- Writes the module with the texts of `auth.help`, from the annotations in the sources: lua help_texts.lua FOLDER
-- MODULE-FILE … >help_texts.lua
-- SPDX-License-Identifier: MIT

local folder = table.remove(arg, 1)
package.path = folder .. "/?.lua;" .. package.path
local sources = dofile(arg[0]:match "^(.*/)" .. "sources.lua")(folder, arg)
local environment = require "central.auth.config.environment"
local options = require "central.auth.config.options"
local sorted_names = require("central.auth.util").sorted_names
local items_of, class_of, methods_of = sources.items_of, sources.class_of, sources.methods_of

local MODULE = "central.auth"

-- Functions beside those of central.auth: the module with their annotations, their owner there, and the start of their
-- names in the help.
local OTHERS = {
  { "central.auth.token.pending", "central.auth.Pending", "pending:" },
  { "central.auth.loops", "loops", "loops." },
  { "central.auth.sandbox", "sandbox", "sandbox." },
  { "central.auth.sandbox", "central.auth.sandbox.Server", "server:" },
}

-- --- formatting ------------------------------------------------------------------------------------------------------

-- A value in one line.
local function row(name, kind, text)
  return (("  %-24s %s  %s"):format(name, kind, text):gsub("%s+$", ""))
end

local FAILURE = { message = true, code = true, detail = true }

-- Adds a value, and the fields of its type, unless they are a topic of their own.
local function add_value(lines, value)
  lines[#lines + 1] = row(value.name or "", value.type, value.text)
  local class = class_of[value.type:gsub("[%[%]?]+$", "")]
  for _, field in ipairs(class and class.name ~= "central.auth.Options" and class.fields or {}) do
    lines[#lines + 1] = row("  ." .. field.name, field.type, field.text)
  end
end

-- A function with its parameters and results.
local function show(name, item)
  local lines = { sources.signature(name, item), "", table.concat(item.lines, "\n") }
  for _, param in ipairs(item.params) do
    if param.name ~= "self" then
      lines[#lines + 1] = ""
      add_value(lines, param)
    end
  end
  local fails = false
  for i, value in ipairs(item.returns) do
    if i == 1 or not FAILURE[value.name] or value.text ~= "" then
      lines[#lines + 1] = i == 1 and "\nReturns" or nil
      add_value(lines, value)
    end
    fails = fails or value.name == "code"
  end
  lines[#lines + 1] = fails and "\nOn failure: nil, message, code, detail. See auth.help(\"errors\").\n" or ""
  return table.concat(lines, "\n")
end

-- A function in one line.
local function summary(name, item)
  local first = table.concat(item.lines, " "):match "^.-%.%f[%s\0]" or item.lines[1]
  return ("  %-34s %s"):format(sources.signature(name, item), first)
end

-- --- topics ----------------------------------------------------------------------------------------------------------

local names, topics = {}, {} -- in the order of suggestions; the texts of each
local last_names = {} -- likewise, by the last words of functions' names alone

local function add(name, text)
  if not topics[name] then
    names[#names + 1], topics[name] = name, {}
  end
  table.insert(topics[name], text)
end

-- Adds a function, by the name that a person writes without `auth.`; `of` has the functions that it is one of.
local function add_function(name, item, of)
  local topic = name:gsub("^auth%.", ""):gsub(":", ".")
  local last = topic:match "[^.]+$"
  add(topic, show(name, item))
  last_names[last] = last_names[last] or {}
  table.insert(last_names[last], show(name, item))
  table.insert(of, summary(name, item))
end

local function add_functions()
  local all = {}
  for _, item in ipairs(items_of["central.auth.functions"]) do
    if item.owner == MODULE and item.kind == "function" then
      add_function("auth." .. item.name, sources:documented(item), all)
    elseif item.owner == MODULE and methods_of[item.type] then
      local inner = {}
      for _, method in ipairs(methods_of[item.type]) do
        add_function("auth." .. item.name .. "." .. method.name, method, inner)
      end
      table.move(inner, 1, #inner, #all + 1, all)
      add(item.name, table.concat(inner, "\n"))
    end
  end
  return table.concat(all, "\n")
end

local function add_others()
  for _, other in ipairs(OTHERS) do
    local module, owner, start = table.unpack(other)
    local inner = {}
    for _, item in ipairs(items_of[module]) do
      if item.kind == "function" and item.owner == owner then
        add_function(start .. item.name, item, inner)
      end
    end
    add(start:match "%w+", table.concat(inner, "\n"))
  end
end

local function add_options()
  local lines = { "The options of auth.configure { … } and auth.new { … }:", "" }
  for _, field in ipairs(class_of["central.auth.Options"].fields) do
    local name, about = field.name, row(field.name, field.type, field.text)
    lines[#lines + 1] = about
    if options.get(name).arguments_only then
      add(name, ("option %s\n\n%s"):format(name, about))
    else
      local variable = "CENTRAL_" .. name:upper()
      local text = ("option %s, in the environment %s\n\n%s"):format(name, variable, about)
      add(name, text)
      add(variable, text)
    end
  end
  lines[#lines + 1] = "\nEach can also be set in the environment (CENTRAL_CLIENT_ID …) or in a profile."
  add("options", table.concat(lines, "\n"))
end

local function add_variables()
  local lines = { "For each option: CENTRAL_ and its name in capitals. Others:" }
  for _, variable in ipairs(environment) do
    local which, text = table.unpack(variable)
    lines[#lines + 1] = ("\n  %s\n      %s"):format(which, text)
    for name in which:gmatch "[%w_]+" do
      add(name, ("in the environment: %s\n\n  %s"):format(which, text))
    end
  end
  add("environment", table.concat(lines, "\n"))
end

local function add_codes()
  local lines = { "On failure every function returns nil, message, code, detail. The codes:", "" }
  for _, code in ipairs(class_of["central.auth.Code"].fields) do
    lines[#lines + 1] = row(code.name, code.text, "")
    add(code.name, ("error code %s: %s"):format(code.name, code.text)) -- some are names of options, too
  end
  add("errors", table.concat(lines, "\n"))
end

local function write(name, list)
  print(("  %s = {"):format(name))
  for _, topic in ipairs(sorted_names(list)) do
    print(("    [%q] = %q,"):format(topic, table.concat(list[topic], "\n\n")))
  end
  print "  },"
end

print "-- The texts of `auth.help`, written by .ci/help_texts.lua from the comments in the sources."
print(("return {\n  overview = %q,"):format(add_functions()))
add_others()
add_options()
add_variables()
add_codes()
print(('  names = { "%s" },'):format(table.concat(names, '", "')))
write("topics", topics)
write("last_names", last_names)
print "}"

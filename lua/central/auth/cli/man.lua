-- Makes the manual page, in man(7), from the texts of the help. `make` writes it.
-- SPDX-License-Identifier: MIT

local texts = require "central.auth.cli.texts"

local man = {}

local function escape(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1"):gsub("\n([.'])", "\n\\&%1"))
end

local function bold(text)
  return "\\fB" .. escape(text) .. "\\fR"
end

local function italic(text)
  return "\\fI" .. escape(text) .. "\\fR"
end

local function option_head(option)
  local names = { bold(option[1]), option[2] and bold(option[2]) or nil }
  return table.concat(names, ", ") .. (option.value and " " .. italic(option.value) or "")
end

local function add(lines, ...)
  table.move({ ... }, 1, select("#", ...), #lines + 1, lines)
end

local function add_rows(lines, rows, head)
  for _, row in ipairs(rows or {}) do
    add(lines, ".TP", head(row), escape(row.help or row[2]))
  end
end

local function argument_head(argument)
  local name, args = argument.shown and bold(argument.shown) or italic(argument.name:upper()), argument.args
  name = (args == "?" or args == "*") and ("[%s]"):format(name) or name
  return (args == "+" or args == "*") and name .. " ..." or name
end

local function synopsis(name, description)
  local words = { bold("central-auth " .. name) }
  words[#words + 1] = description.options and ("[%s]"):format(italic "options") or nil
  words[#words + 1] = description.commands and italic "ACTION" or nil
  for _, argument in ipairs(description.arguments or {}) do
    words[#words + 1] = argument_head(argument)
  end
  return table.concat(words, " ")
end

local function row_head(row)
  return bold(tostring(row[1]))
end

local function add_command(lines, name, description)
  add(lines, ".SS " .. synopsis(name, description), escape(description.description))
  add_rows(lines, description.arguments, argument_head)
  add_rows(lines, description.options, option_head)
  if description.statuses then
    add(lines, ".PP\nExit status:")
    add_rows(lines, description.statuses, row_head)
  end
  for _, inner in ipairs(description.commands or {}) do
    add_command(lines, name .. " " .. inner.name, inner)
  end
end

--- Returns the manual page.
---@return string
function man.page()
  local lines, examples = {
    (".TH CENTRAL\\-AUTH 1 \"\" \"central\\-auth %s\" \"User Commands\""):format(escape(texts.version)),
    ".nh\n.ad l", -- no line breaks inside the names of options and variables
    ".SH NAME", "central\\-auth \\- " .. escape(texts.summary),
    ".SH SYNOPSIS", bold "central-auth" .. " [" .. italic "general options" .. "] " .. italic "COMMAND" .. " ...",
    ".SH DESCRIPTION", escape(texts.description),
    ".SH GENERAL OPTIONS",
  }, {}
  add_rows(lines, texts.options, option_head)
  add_rows(lines, { { "-h", "--help", help = "Show help, also for each command." },
    { "--version", help = "Print the version." } }, option_head)
  add(lines, ".SH COMMANDS")
  for name, description in texts.commands() do
    add_command(lines, name, description)
    add(examples, table.unpack(description.examples or {}))
  end
  for _, section in ipairs { { "EXIT STATUS", texts.statuses }, { "ENVIRONMENT", texts.environment },
    { "FILES", texts.files }, { "EXAMPLES", examples } } do
    add(lines, ".SH " .. section[1])
    add_rows(lines, section[2], row_head)
  end
  return table.concat(lines, "\n") .. "\n"
end

return man

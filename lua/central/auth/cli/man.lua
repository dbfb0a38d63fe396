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

local function add_rows(lines, rows, head)
  for _, row in ipairs(rows or {}) do
    table.move({ ".TP", head(row), escape(row.help or row[2]) }, 1, 3, #lines + 1, lines)
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

local function number_head(row)
  return bold(tostring(row[1]))
end

local function add_command(lines, name, description)
  table.move({ ".SS " .. synopsis(name, description), escape(description.description) }, 1, 2, #lines + 1, lines)
  add_rows(lines, description.arguments, argument_head)
  add_rows(lines, description.options, option_head)
  if description.statuses then
    lines[#lines + 1] = ".PP\nExit status:"
    add_rows(lines, description.statuses, number_head)
  end
  for _, inner in ipairs(description.commands or {}) do
    add_command(lines, name .. " " .. inner.name, inner)
  end
end

local function add_examples(lines)
  for _, description in texts.commands() do
    for _, example in ipairs(description.examples or {}) do
      table.move({ ".TP", bold(example[1]), escape(example[2]) }, 1, 3, #lines + 1, lines)
    end
  end
end

--- Returns the manual page.
---@return string
function man.page()
  local lines = {
    (".TH CENTRAL\\-AUTH 1 \"\" \"central\\-auth %s\" \"User Commands\""):format(escape(texts.version)),
    ".nh\n.ad l", -- no line breaks inside the names of options and variables
    ".SH NAME", "central\\-auth \\- " .. escape(texts.summary),
    ".SH SYNOPSIS", bold "central-auth" .. " [" .. italic "general options" .. "] " .. italic "COMMAND" .. " ...",
    ".SH DESCRIPTION", escape(texts.description),
    ".SH GENERAL OPTIONS",
  }
  add_rows(lines, texts.options, option_head)
  add_rows(lines, { { "-h", "--help", help = "Show help, also for each command." },
    { "--version", help = "Print the version." } }, option_head)
  lines[#lines + 1] = ".SH COMMANDS"
  for name, description in texts.commands() do
    add_command(lines, name, description)
  end
  lines[#lines + 1] = ".SH EXIT STATUS"
  add_rows(lines, texts.statuses, number_head)
  lines[#lines + 1] = ".SH ENVIRONMENT"
  add_rows(lines, texts.environment, number_head)
  lines[#lines + 1] = ".SH FILES"
  add_rows(lines, texts.files, number_head)
  lines[#lines + 1] = ".SH EXAMPLES"
  add_examples(lines)
  return table.concat(lines, "\n") .. "\n"
end

return man

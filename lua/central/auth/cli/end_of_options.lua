-- Ends the options of `central-auth exec` and `sandbox` at CMD, as env and sudo do: inserts -- before CMD, as the
-- parser would otherwise take the options of CMD as those of the subcommand.
-- SPDX-License-Identifier: MIT

local texts = require "central.auth.cli.texts"

local takes_value = {}
local with_program = {
  exec = require "central.auth.cli.commands.exec", sandbox = require "central.auth.cli.commands.sandbox",
}
for _, description in pairs { texts, with_program.exec, with_program.sandbox } do
  for _, option in ipairs(description.options) do
    for _, name in ipairs(option) do
      takes_value[name] = option.value ~= nil
    end
  end
end

-- Returns whether the next word is the value of this option, or of the last of several short options in one word.
local function value_follows(word)
  if word:find "^%-%-" then
    return takes_value[word]
  end
  for i = 2, #word do
    if takes_value["-" .. word:sub(i, i)] then
      return i == #word
    end
  end
end

-- Returns the index, from `at` on, of the first word that is neither an option of central-auth nor its value.
local function after_options(words, at)
  while words[at] and words[at]:find "^%-." and words[at] ~= "--" do
    at = at + (value_follows(words[at]) and 2 or 1)
  end
  return at
end

--- Inserts -- before CMD into the words of such a command, unless it is there.
---@param words string[]
return function(words)
  local command = after_options(words, 1)
  local cmd = after_options(words, command + 1)
  if not with_program[words[command]] or not words[cmd] then
    return
  elseif words[cmd] ~= "--" then
    table.insert(words, cmd, "--")
  end
  words[cmd + 1] = words[cmd + 1] or "" -- an unset variable after --
end

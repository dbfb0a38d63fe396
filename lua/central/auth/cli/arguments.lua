-- central-auth exec CMD -x without the -- before CMD: what looks like an option there would be taken for one of ours.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local exec = require "central.auth.cli.commands.exec"
local program = require "central.auth.cli.texts"

local takes_value = { ["-h"] = false, ["--help"] = false }
for _, description in ipairs { program, exec } do
  for _, option in ipairs(description.options) do
    for _, name in ipairs(option) do
      takes_value[name] = option.value ~= nil
    end
  end
end

-- The first word from `at` on that is neither one of our options nor the value of one; nil behind an option that is
-- none of ours, of which the parser tells.
local function behind_options(words, at)
  while words[at] and words[at] ~= "--" and words[at]:find "^%-" do
    local name, value = words[at]:match "^(%-%-[^=]+)(=?)"
    local takes = takes_value[name or words[at]]
    if takes == nil then
      return nil
    end
    at = at + (takes and value ~= "=" and 2 or 1)
  end
  return at
end

--- What is wrong with the words of the command, where that is it.
---@param words string[]
---@return string? problem
return function(words)
  local command = behind_options(words, 1)
  local cmd = command and words[command] == "exec" and behind_options(words, command + 1) or nil
  if not cmd or words[cmd] == "--" then
    return nil
  end
  for i = cmd + 1, #words do
    if words[i]:find "^%-" then
      return ("write -- before CMD, so that its options are not taken for ours: central-auth exec -- %s ..."):format(
        errors.printable(words[cmd])) -- no more of it: passwords may follow
    end
  end
end

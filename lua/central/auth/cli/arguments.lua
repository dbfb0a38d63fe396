-- Finds `central-auth exec CMD -x` without -- before CMD: the parser would take the options of CMD as those of exec.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local exec = require "central.auth.cli.commands.exec"
local texts = require "central.auth.cli.texts"

local takes_value = { ["-h"] = false, ["--help"] = false }
for _, description in ipairs { texts, exec } do
  for _, option in ipairs(description.options) do
    for _, name in ipairs(option) do
      takes_value[name] = option.value ~= nil
    end
  end
end

-- The index, from `at` on, of the first word that is neither an option of this command nor the value of one; nil after
-- an unknown option, which the parser reports.
local function after_options(words, at)
  while words[at] and words[at] ~= "--" and words[at]:find "^%-" do
    local name, value = words[at]:match "^(%-%-[^=]+)(=?)"
    local has_value = takes_value[name or words[at]]
    if has_value == nil then
      return nil
    end
    at = at + (has_value and value ~= "=" and 2 or 1)
  end
  return at
end

--- Returns the problem if the words are such a command; nil otherwise.
---@param words string[]
---@return string? problem
return function(words)
  local command = after_options(words, 1)
  local cmd = command and words[command] == "exec" and after_options(words, command + 1) or nil
  if not cmd or words[cmd] == "--" then
    return nil
  end
  for i = cmd + 1, #words do
    if words[i]:find "^%-" then
      return ("write -- before CMD, or its options are taken as those of exec: central-auth exec -- %s ..."):format(
        errors.printable(words[cmd])) -- only its name: passwords may follow
    end
  end
end

-- Another user of this machine: runs programs as the user nobody, who cannot read what root alone may, perhaps not even
-- this clone. Needs root; where that, or a build that another user can load, is missing, specs are pending.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local user = {}

user.id = 65534
user.as = ("setpriv --reuid=%d --regid=%d --clear-groups "):format(user.id, user.id)

local User = {}
User.__index = User

--- A scratch folder that every user may pass through, with a copy of the package, and a home of the other user in it.
function user.new()
  local folder = process.scratch()
  process.run(("chmod 711 %s && install -d -o %d -g %d -m 700 %s/home"):format(folder, user.id, user.id, folder))
  local environment, copy = process.copy_for_others(folder)
  environment.HOME = folder .. "/home"
  return setmetatable({ folder = folder, home = environment.HOME, copy = copy, environment = environment }, User)
end

--- The words that run a command with exactly this environment, `more` added: as the other user, or as root.
---@param command string
---@param more? table<string, string> `false` takes a variable away
---@param as_root? boolean
function User:words(command, more, as_root)
  local all = {}
  for _, source in ipairs { self.environment, more or {} } do
    for name, value in pairs(source) do
      all[name] = value or nil
    end
  end
  return ("cd / && env -i %s%s%s"):format(process.assignments(all), as_root and "" or user.as, command)
end

--- Runs it: standard output and error, and the exit status.
function User:run(...)
  return process.run(self:words(...))
end

--- A file of the other user's, in a folder of theirs.
---@param path string below `folder`
---@param text string
---@param mode? string
function User:write(path, text, mode)
  path = self.folder .. "/" .. path
  process.run(("%s mkdir -p %s"):format(user.as, path:match "^(.*)/"))
  process.write(path, text, mode or "600")
  process.run(("chown %d:%d %s"):format(user.id, user.id, path))
  return path
end

function User:remove()
  process.remove(self.folder)
end

User.__close = User.remove

local function can_run_as_another()
  if process.run "id -u" ~= "0\n" or select(2, process.run(user.as .. "true")) ~= 0 then
    return false
  end
  local other <close> = user.new()
  return select(2, other:run "lua5.4 -e 'require \"central.auth.core\"'") == 0
end

local available

--- Whether programs can be run as another user here. Tried once, for it copies the build.
---@return boolean
function user.available()
  if available == nil then
    available = can_run_as_another()
  end
  return available
end

user.MISSING = "only root can be two users"

return user

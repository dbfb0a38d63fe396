-- Runs the command central-auth as people do: in a process of its own with exactly the environment a spec gives it, in
-- a home of its own; and with a person at a terminal, played by expect.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local command = {}

local Home = {}
Home.__index = Home

--- A home without anything in it, and the environment of who lives there. With a sandbox server the credentials for it.
---@param server? table
---@param more? table<string, string> `false` takes a variable away
function command.home(server, more)
  local folder = process.scratch()
  local environment = server and process.credentials(server, "") or {}
  local usual = {
    PATH = os.getenv "PATH", HOME = folder, XDG_CONFIG_HOME = folder .. "/config", LANG = "C.UTF-8",
    LUA_PATH = package.path, LUA_CPATH = package.cpath, XDG_RUNTIME_DIR = folder, CENTRAL_CACHE = false,
    LUA_INIT_5_4 = os.getenv "LUA_INIT_5_4",
  }
  for _, source in ipairs { usual, more or {} } do
    for name, value in pairs(source) do
      environment[name] = value or nil
    end
  end
  return setmetatable({ folder = folder, environment = environment }, Home)
end

--- The path of a profile's file.
---@param name? string
function Home:profile(name)
  return ("%s/config/central-auth/%s.lua"):format(self.folder, name or "default")
end

--- Writes a profile by hand, and makes its folder.
---@param text string
---@param name? string
---@param mode? string
function Home:write_profile(text, name, mode)
  process.run(("mkdir -p -m 700 %s/config/central-auth"):format(self.folder))
  return process.write(self:profile(name), text, mode or "600")
end

local function with(environment, more)
  local all = {}
  for _, source in ipairs { environment, more or {} } do
    for name, value in pairs(source) do
      all[name] = value or nil
    end
  end
  return all
end

--- The shell's words to run `line`, what follows central-auth.
function Home:words(line, more)
  return ("env -i %slua5.4 lua/central-auth %s"):format(process.assignments(with(self.environment, more)), line)
end

--- Runs `central-auth line`: standard output, standard error, exit status.
---@param line string as a shell takes it, redirections too
---@param more? table<string, string> further variables
---@param input? string
function Home:run(line, more, input)
  local errors, given = self.folder .. "/stderr", process.write(self.folder .. "/stdin", input or "")
  local output, status = process.run(("{ %s\n} 2>%s <%s"):format(self:words(line, more), errors, given))
  return output, process.read(errors), status
end

--- The same where it must fail, with 1 and nothing on standard output: standard error.
---@param line string
---@param more? table<string, string>
function Home:fails(line, more)
  local output, errors, status = self:run(line, more)
  assert(status == 1 and output == "" and errors:find "^central%-auth: ", ("%d %s%s"):format(status, output, errors))
  return errors
end

function Home:remove()
  process.remove(self.folder)
end

Home.__close = Home.remove

-- --- a person at a terminal ---------------------------------------------------------------------------------------

local function tcl(text)
  local escaped = text:gsub('[%$%[%]\\"{}]', "\\%0"):gsub("%c", function(char)
    return ("\\%03o"):format(char:byte())
  end)
  return '"' .. escaped .. '"'
end

local EXPECT = "expect -exact %s {} timeout { send_error {no %s}; exit 97 } eof { send_error {end, no %s}; exit 96 }\n"

--- Runs a shell command on a terminal of 80 columns; `steps` are pairs of what the person waits for and then types (""
--- for nothing). What the terminal showed, and the exit status (128 + n after signal n is the shell's).
---@param line string
---@param steps string[][]
function command.play(line, steps)
  local script = { "set timeout 10\nset stty_init {sane rows 24 columns 80}\n",
    ("spawn -noecho sh -c %s\n"):format(tcl("exec " .. line)) }
  for _, step in ipairs(steps) do
    local plain = step[1]:gsub("[{}\\]", "?")
    script[#script + 1] = EXPECT:format(tcl(step[1]), plain, plain)
    script[#script + 1] = step[2] ~= "" and ("send -- %s\n"):format(tcl(step[2])) or nil
  end
  script[#script + 1] = "expect eof\nset ended [wait]\n"
    .. "if {[llength $ended] > 4} { puts [lrange $ended 4 end]; exit 98 }\nexit [lindex $ended 3]\n"
  local folder = process.scratch()
  local path = process.write(folder .. "/play", table.concat(script))
  local shown, status = process.run("expect -f " .. path .. " </dev/null")
  process.remove(folder)
  return shown, status
end

--- The same for the command.
---@param line string
---@param steps string[][]
---@param more? table<string, string>
function Home:play(line, steps, more)
  return command.play(self:words(line, with({ TERM = "xterm" }, more)), steps)
end

return command

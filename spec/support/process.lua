-- Starts and ends the real servers that the specs talk to: child processes with a log file, free loopback ports,
-- scratch folders. Every wait has a bound; every process is ended by its pid.
-- SPDX-License-Identifier: MIT

local socket = require "cqueues.socket"
local cqueues = require "cqueues"
local errno = require "cqueues.errno"
local lfs = require "lfs"

local process = {}

--- By how much bounds of time are to be stretched: `make check-gc` runs specs with the collector at every step,
--- `make check-valgrind` on a processor that valgrind makes up, `make check-tsan` with a look at each access to memory.
process.SLOWER = (os.getenv "LUA_INIT_5_4" or os.getenv "UNDER_VALGRIND") and 10 or os.getenv "TSAN_OPTIONS" and 4 or 1

--- How many requests a wrong secret may cost all who share its cache in so many seconds: the refusal is remembered for
--- two, then for four, and so on.
function process.refusals_within(seconds)
  return math.log(seconds / 2 + 1, 2) // 1 + 1
end

--- One argument as the shell must see it.
function process.quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- Waits for the end of a cqueues thread, whose `join` may fail once where that has come already.
function process.join(thread, seconds)
  local ended, why = thread:join(seconds)
  if not ended and why == errno.EOWNERDEAD then
    return thread:join(seconds)
  end
  return ended, why
end

local function line_of(command)
  local pipe = assert(io.popen(command, "r"))
  local line = pipe:read("l")
  pipe:close()
  return line
end

--- Runs a shell command to its end: its standard output and error together, and its exit status.
function process.run(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1", "r"))
  local output = pipe:read("a")
  local _, _, status = pipe:close()
  return output, status
end

--- How many descriptors, or threads ("task"), this process has, garbage among them.
function process.count_now(what)
  local count = 0
  for _ in lfs.dir("/proc/self/" .. (what or "fd")) do -- no child: popen may still hold both ends when it looks
    count = count + 1
  end
  return count
end

--- The same, once garbage is collected.
function process.count(what)
  collectgarbage()
  collectgarbage()
  return process.count_now(what)
end

--- A new folder of mode 0700; `process.remove` deletes it.
function process.scratch()
  return assert(line_of("mktemp -d"), "mktemp failed")
end

function process.remove(folder)
  assert(folder:find("^/tmp/") or folder:find("^/var/tmp/"), "not a scratch folder: " .. folder)
  os.execute("rm -rf " .. process.quote(folder))
end

--- Copies what Lua needs of this tree into `folder`, readable by every user, and returns the variables by which a
--- process uses the copy: a user who may not enter the folder of this clone can run it there.
function process.copy_for_others(folder)
  local here = line_of "pwd"
  local build = os.getenv "BUILD" or here .. "/.build"
  local copy = folder .. "/tree"
  local output, status = process.run(("mkdir -p %s/build && cp -r lua %s && cp -r %s/central %s/build"
    .. " && { [ ! -d %s/bin ] || cp -r %s/bin %s/build; } && chmod -R a+rX %s"):format(copy, copy,
    process.quote(build), copy, process.quote(build), process.quote(build), copy, copy))
  assert(status == 0, output)
  local function there(path)
    for from, to in pairs { [build .. "/"] = copy .. "/build/", [here .. "/lua/"] = copy .. "/lua/" } do
      path = path:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))
    end
    return path
  end
  return { PATH = there(os.getenv "PATH"), LUA_PATH = there(package.path), LUA_CPATH = there(package.cpath) }, copy
end

function process.write(path, text, mode)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
  if mode then
    os.execute("chmod " .. mode .. " " .. process.quote(path))
  end
  return path
end

function process.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

--- A loopback port that nobody listens on just now.
function process.free_port(host)
  local listener = assert(socket.listen { host = host or "127.0.0.1", port = 0 })
  assert(listener:listen())
  local _, _, port = listener:localname()
  listener:close()
  return port
end

--- Calls `ready` every 20 ms until it returns something true, at most `seconds` long.
function process.wait_until(ready, seconds, what)
  local deadline = cqueues.monotime() + seconds
  repeat
    local result = ready()
    if result then
      return result
    end
    cqueues.sleep(0.02)
  until cqueues.monotime() > deadline
  error(("%s: not within %g s"):format(what or "condition", seconds), 2)
end

--- Whether something accepts TCP connections there.
function process.accepts(port, host)
  local connection = socket.connect { host = host or "127.0.0.1", port = port }
  connection:onerror(function(_, _, code)
    return code
  end)
  local ok = connection:connect(0.5)
  connection:close()
  return ok and true or false
end

--- Variables as the shell and `env` want them before a command: NAME='value' and so on, a blank at the end.
---@param values table<string, string | number>
function process.assignments(values)
  local words = {}
  for name, value in pairs(values) do
    words[#words + 1] = ("%s=%s "):format(name, process.quote(value))
  end
  return table.concat(words)
end

--- The variables by which a child uses a sandbox server as its default client, its cache in this folder.
function process.credentials(server, cache)
  return {
    CENTRAL_CLIENT_ID = server.client_id, CENTRAL_CLIENT_SECRET = server.client_secret,
    CENTRAL_TOKEN_URL = server.token_url, CENTRAL_CA_FILE = server.ca_file, CENTRAL_CACHE = cache,
  }
end

local Process = {}
Process.__index = Process

--- Starts `options.command` (a list of words) in the background with `options.env` added to the environment and
--- its output in `options.log`. The object has `pid`, `log`, `alive()`, `output()`, `stop()`.
function process.start(options)
  local words = { options.env and "env " .. process.assignments(options.env) or nil }
  for _, word in ipairs(options.command) do
    words[#words + 1] = process.quote(word)
  end
  local log = process.quote(options.log)
  local pid = line_of(("exec %s </dev/null >%s 2>&1 & echo $!"):format(table.concat(words, " "), log))
  return setmetatable({ pid = assert(math.tointeger(tonumber(pid))), log = options.log }, Process)
end

function Process:alive()
  local stat <close> = io.open(("/proc/%d/stat"):format(self.pid))
  return not not (stat and not (stat:read "a" or ") Z "):find(") Z ", 1, true)) -- or init has not taken notice yet
end

function Process:output()
  return process.read(self.log)
end

--- Waits until the process accepts connections; fails with its log when it ends or takes too long.
function Process:wait_for_port(port, seconds, host)
  local ok, why = pcall(process.wait_until, function()
    if not self:alive() then
      error("it ended", 0)
    end
    return process.accepts(port, host)
  end, seconds, "port " .. port)
  if not ok then
    self:stop()
    error(("%s; its log:\n%s"):format(why, self:output()), 2)
  end
end

--- Ends the process: asks, waits two seconds or as many as told, then insists. Whether asking was enough.
function Process:stop(seconds)
  if self.stopped then
    return
  end
  self.stopped = true
  os.execute(("kill %d 2>/dev/null"):format(self.pid))
  local gone = pcall(process.wait_until, function()
    return not self:alive()
  end, seconds or 2)
  if not gone then
    os.execute(("kill -9 %d 2>/dev/null"):format(self.pid))
  end
  return gone
end

function Process:__close()
  self:stop()
end

return process

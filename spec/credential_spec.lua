-- Where a secret comes from, and what may be wrong with it there.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local core = require "central.auth.core"
local credential = require "central.auth.token.client_secret"
local process = require "spec.support.process"

local folder

local function read(kind, value, limit)
  local source = { name = "client_secret_" .. kind, from = "the argument", kind = kind, value = value }
  return credential.read(source, limit or 5)
end

local function file(bytes, mode)
  return process.write(folder .. "/secret", bytes, mode or "600")
end

local function assert_secret(expected, secret, message)
  assert.is_truthy(secret, message)
  assert.is_true(core.secret(expected):equal(secret))
end

local function assert_config(pattern, secret, message, code, detail)
  assert.is_nil(secret)
  assert.equal("config", code)
  assert.matches(pattern, message)
  assert.equal("the argument", detail.source)
  assert.is_nil(message:find("hush", 1, true))
end

describe("credential", function()
  setup(function() folder = process.scratch() end)
  teardown(function() process.remove(folder) end)

  it("is a value #valgrind", function()
    assert_secret("hush", read("value", core.secret "hush"))
  end)

  it("is what a function returns, and the text of its error stays unsaid #valgrind", function()
    assert_secret("hush", read("function", function() return "hush" end))
    assert_config("raised an error", read("function", function() error "hush" end))
    assert_config("returned a nil", read("function", function() end))
    assert_config("it is empty", read("function", function() return "" end))
  end)

  it("is a file's content without the line end", function()
    for _, ending in ipairs { "", "\n", "\r\n" } do
      assert_secret("hush hush", read("file", file("hush hush" .. ending)))
    end
    assert_secret("hush ", read("file", file "hush \n"))
  end)

  it("is what follows a byte-order mark, of a file and of a command's output", function()
    assert_secret("hush", read("file", file "\xEF\xBB\xBFhush\r\n"))
    assert_secret("hush", read("command", "cat " .. file "\xEF\xBB\xBFhush\r\n"))
    assert_config("it is empty", read("file", file "\xEF\xBB\xBF\n"))
  end)

  it("is refused in a file that is empty, binary, large, open to others, or none", function()
    assert_config("it is empty", read("file", file ""))
    assert_config("it is empty", read("file", file "\n"))
    assert_config("byte 5 is a control character %(0x00%): this is no text", read("file", file "hush\0"))
    assert_config("it has more than one line", read("file", file "hush\nhush\n"))
    assert_config("is larger than 64 KiB", read("file", file(("hush"):rep(20000))))
    for _, mode in ipairs { "640", "604", "622" } do
      assert_config("is open to others %(mode 0" .. mode .. "%): run chmod 600 ", read("file", file("hush", mode)))
    end
    os.remove(folder .. "/secret")
    assert_config("secret: No such file or directory", read("file", folder .. "/secret"))
    assert_config("is a folder", read("file", folder))
  end)

  it("may be open to others where systemd put it", function()
    local code = ([[local credential = require "central.auth.token.client_secret"
      print(credential.read({ name = "n", from = "f", kind = "file", value = %q }, 5))]]):format(file("hush", "644"))
    assert.matches("^secret %(hidden%)", (child.run(code, { CREDENTIALS_DIRECTORY = folder })))
    assert.matches("open to others", (child.run(code, { CREDENTIALS_DIRECTORY = folder .. "/other" })))
    assert.matches("open to others", (child.run(code, {})))
  end)

  it("is what a command prints", function()
    assert_secret("hush", read("command", "echo hush"))
    assert_config("the command ended with status 3", read("command", "echo hush; exit 3"))
    assert_config("it is empty", read("command", "true"))
    assert_config("more than one line", read("command", "printf 'hush\\nhush'"))
    assert_config("the command did not end in time", read("command", "exec sleep 60", 0.03))
  end)

  it("lets no command inherit secrets", function()
    local program = [[
      local core = require "central.auth.core"
      local given = core.command("env | grep -c ^CENTRAL_ | tr -d '\n'; env | grep -c hush | tr -d '\n'", 5)
      while not given:wait(1) do end
      print(given:secret():equal(core.secret "10"))
    ]]
    local variables = "CENTRAL_CLIENT_SECRET=hush1 CENTRAL_CLIENT_ASSERTION=hush2 CENTRAL_CACHE_PASSWORD=hush3"
      .. " CENTRAL_PROXY=http://user:hush4@proxy CENTRAL_TOKEN=hush5 CENTRAL_PARAMS=pin=hush6"
    assert.equal("true\n", (process.run(("env -u CENTRAL_CACHE %s CENTRAL_CLIENT_ID=id lua5.4 -e %s"):format(variables,
      process.quote(program)))))
  end)

  it("is wiped at once where the command fails, or nobody takes it", function()
    local program = [[
      local core = require "central.auth.core"
      local function locked()
        return io.open("/proc/self/status"):read("a"):match "VmLck:%s*(%d+)"
      end
      collectgarbage "stop"
      local before = locked()
      for _, line in ipairs { "echo hush; exit 3", "echo hush" } do
        local command <close> = core.command(line, 5)
        while not command:wait(1) do end
        assert(line == "echo hush" or not command:secret())
      end
      print(locked() - before)
    ]]
    assert.equal("0\n", (process.run("lua5.4 -e " .. process.quote(program))))
  end)

  it("leaves no process, pipe or terminal to a command", function()
    assert_config("ended with status", read("command", "test -t 0 || read line || exit 7"))
    local program = [[
      local core = require "central.auth.core"
      local process = require "spec.support.process"
      local before = process.count()
      for _ = 1, 20 do
        for _, line in ipairs { "echo hush", "exec sleep 60.0125" } do
          local command = core.command(line, 0.01)
          while not command:wait(1) do end
        end
        core.command("exec sleep 60.0125", 60):close()
        core.command("exec sleep 60.0125", 60) -- for the collector
      end
      collectgarbage()
      os.execute "pgrep -fx 'sleep 60[.]0125'"
      print(process.count() - before)
    ]]
    assert.equal("0\n", (process.run("lua5.4 -e " .. process.quote(program))))
  end)

  it("is printed once more for a child that is forked while the command runs #forks", function()
    local program = [[
      local core, credential = require "central.auth.core", require "central.auth.token.client_secret"
      local host, task = require "spec_fork", require "central.auth.token.task"
      local source = { name = "n", from = "f", kind = "command", value = "printf half; sleep 0.05; echo hush" }
      local read = task.new(core.clock(), function() return credential.read(source, 5) end)
      read:look()
      local child = host.fork()
      while not read:look() do
        read:block(1, function() end)
      end
      local found = read.results[1] and read.results[1]:equal(core.secret "halfhush") and 0 or 1
      if child == 0 then
        os.exit(found)
      end
      print(found, host.wait(child))
    ]]
    assert.equal("0\t0\n", (process.run("lua5.4 -e " .. process.quote(program))))
  end)
end)

-- Where a secret comes from, and what may be wrong with it there.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local client_secret = require "central.auth.token.client_secret"
local core = require "central.auth.core"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local folder

local function read(kind, value, limit)
  local source = { name = "client_secret_" .. kind, from = "the argument", kind = kind, value = value }
  return client_secret.read(source, limit or 5)
end

local function file(bytes, mode)
  return process.write(folder .. "/secret", bytes, mode or "600")
end

local function assert_secret(expected, secret, failure)
  assert.is_truthy(secret, tostring(failure))
  assert.is_true(core.secret(expected):equal(secret))
end

local function assert_config(pattern, secret, failure)
  assert.is_nil(secret)
  assert.equal("config", failure.code)
  assert.matches(pattern, failure.message)
  assert.equal("the argument", failure.detail.source)
  assert.is_nil(failure.message:find("hush", 1, true))
end

describe("a client secret", function()
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
    local code = ([[local client_secret = require "central.auth.token.client_secret"
      print(client_secret.read({ name = "n", from = "f", kind = "file", value = %q }, 5))]]):format(file("hush", "644"))
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
      local line = "env | grep -c ^CENTRAL_ | tr -d '\n'; env | grep -c hush | tr -d '\n'"
      print(core.read_secret({ kind = "command", value = line }, 5):equal(core.secret "10"))
    ]]
    local variables = "CENTRAL_CLIENT_SECRET=hush1 CENTRAL_CLIENT_ASSERTION=hush2 CENTRAL_CACHE_PASSWORD=hush3"
      .. " CENTRAL_PROXY=http://user:hush4@proxy CENTRAL_TOKEN=hush5 CENTRAL_PARAMS=pin=hush6"
      .. " CENTRAL_ACCESS_TOKEN=hush7"
    assert.equal("true\n", (process.run(("env -u CENTRAL_CACHE %s CENTRAL_CLIENT_ID=id lua5.4 -e %s"):format(variables,
      process.quote(program)))))
  end)

  -- Runs Lua that may `fetch(line, seconds)`: a transfer that runs this command for the secret and makes no request.
  local function run(program)
    return (process.run("lua5.4 -e " .. process.quote([[
      local core, http = require "central.auth.core", require "central.auth.http"
      local function fetch(line, seconds)
        local transfer = http.transfer(core.clock())
        assert(transfer:fetch({ look_only = true, secret = { kind = "command", value = line }, connect_timeout = 1,
          timeout = seconds }, core.notifier()))
        return transfer
      end
      local function is_done(transfer)
        while not transfer:wait(1) do end
        return transfer
      end
      ]] .. program)))
  end

  it("is wiped at once where the command fails, or its result is not taken", function()
    assert.equal("0\n", run [[
      local function locked()
        return io.open("/proc/self/status"):read("a"):match "VmLck:%s*(%d+)"
      end
      is_done(fetch("echo hush", 5)):close()
      collectgarbage "stop"
      local before = locked()
      assert(not core.read_secret({ kind = "command", value = "echo hush; exit 3" }, 5))
      for _, line in ipairs { "echo hush; exit 3", "echo hush" } do
        is_done(fetch(line, 5)):close()
      end
      print(locked() - before)
    ]])
  end)

  it("leaves no process, pipe or terminal to a command", function()
    assert_config("ended with status", read("command", "test -t 0 || read line || exit 7"))
    assert.equal("0\t0\n", run [[
      local process = require "spec.support.process"
      is_done(fetch("echo hush", 5)):close()
      local before, threads = process.count(), process.count "task"
      for _ = 1, 20 do
        core.read_secret({ kind = "command", value = "echo hush" }, 5)
        core.read_secret({ kind = "command", value = "exec sleep 60.0125" }, 0.01)
        is_done(fetch("exec sleep 60.0125", 0.01)):close()
        fetch("exec sleep 60.0125", 60):close()
        fetch("exec sleep 60.0125", 60) -- for the collector
      end
      collectgarbage()
      os.execute "pgrep -fx 'sleep 60[.]0125'"
      print(process.count() - before, process.count "task" - threads)
    ]])
  end)

  it("is printed once more for a child that is forked while the command runs #forks", function()
    local server <close> = sandbox.start { client_secret = "half-of-it-hush-hush" }
    assert.equal("0\ttrue\n", (process.run(("env %s lua5.4 -e %s"):format(process.assignments {
      CENTRAL_CLIENT_ID = server.client_id, CENTRAL_TOKEN_URL = server.token_url, CENTRAL_CA_FILE = server.ca_file,
      CENTRAL_CACHE = "off", CENTRAL_CLIENT_SECRET_COMMAND = "printf half-of-it; sleep 0.05; echo -hush-hush",
    }, process.quote [[
      local auth, host = require "central.auth", require "spec_fork"
      local pending = assert(auth.pending())
      local child = host.fork()
      if child == 0 then
        os.exit(auth.token() and 0 or 1)
      end
      print(host.wait(child), pending:result() ~= nil)
    ]]))))
    assert.equal(2, server:requests().token)
  end)
end)

-- How a renewal ends that is under way when its owner does: by close, by collection, by an error, with the process,
-- across a fork, with the host's last Lua state. Bounded each time, and nothing stays.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

local AT_ONCE = 0.2 * process.SLOWER -- seconds; it takes about one millisecond
local EXIT = 2 * process.SLOWER      -- of a whole process, a sanitizer's last look included

-- What each child begins with: a renewal on a thread, at a server that says nothing.
local UNDER_WAY = [[
local auth, core = require "central.auth", require "central.auth.core"
local clock = core.clock()
local pending = assert(auth.pending())
clock:sleep(0.05)
assert(not pending:done())
io.write("now ", require("cqueues").monotime(), "\n")
io.flush()
]]

local server, folder

-- Runs a child; its output and status. Fails where it did not end soon after it said what time it was.
local function run(text)
  local env = process.credentials(server, folder .. "/cache")
  local script = process.write(folder .. "/child.lua", text)
  local output, status = process.run(("env %s lua5.4 %s"):format(process.assignments(env), script))
  local ended = cqueues.monotime()
  local now = tonumber(output:match "now ([%d.]+)")
  assert.is_true(not now or ended - now < EXIT, output)
  return output:gsub("now [^\n]*\n", ""):gsub("==%d+==Running thread[^\n]*\n", ""), status -- a sanitizer's
end

-- What a child does to find out how long an end takes; none of its threads and descriptors may be left.
local ENDS = [[
local process, cqueues = require "spec.support.process", require "cqueues"
local function begin()
  local client = assert(require("central.auth").new {})
  local pending <close> = assert(client:pending())
  cqueues.sleep(0.05)
  assert(not pending:done())
  return client
end
local function assert_ends(finish)
  local descriptors, threads
  for round = 1, 2 do -- the first loads modules
    local held = { begin() }
    local begun = cqueues.monotime()
    finish(held)
    local seconds = cqueues.monotime() - begun
    assert(seconds < %g, seconds)
    process.wait_until(function() -- a thread that was joined may be seen for another moment
      return round == 1 or process.count "fd" == descriptors and process.count "task" == threads
    end, 30, "the end of threads and descriptors")
    descriptors, threads = process.count "fd", process.count "task"
  end
end
]]

describe("a renewal under way #slow", function()
  before_each(function()
    folder = process.scratch()
    server = sandbox.start { latency = 5 }
  end)
  after_each(function()
    server:close()
    process.remove(folder)
  end)

  describe("ends with its process #timing:", function()
    it("os.exit(0)", function()
      assert.same({ "", 0 }, { run(UNDER_WAY .. "os.exit(0)") })
    end)

    it("os.exit(0, true)", function()
      assert.same({ "", 0 }, { run(UNDER_WAY .. "os.exit(0, true)") })
    end)

    it("the end of the script", function()
      assert.same({ "", 0 }, { run(UNDER_WAY) })
    end)

    it("an error", function()
      local output, status = run(UNDER_WAY .. "error 'on purpose'")
      assert.equal(1, status)
      assert.matches("on purpose", output)
    end)

    it("an error that is caught ends nothing", function()
      assert.same({ "true\n", 0 }, { run(UNDER_WAY .. "pcall(error, 'on purpose') print(not pending:done())") })
    end)

    -- Before the thread has begun, in the handshake, in the request, and after that.
    it("at any moment of it, with and without the end of the Lua state, and leaves no lock", function()
      server:latency(0.01)
      local text = [[
        local pending = assert(require("central.auth").pending())
        require("central.auth.core").clock():sleep(tonumber(arg[1]))
        os.exit(7, arg[2] == "close")
      ]]
      local script = process.write(folder .. "/moment.lua", text)
      local env = process.assignments(process.credentials(server, folder .. "/cache"))
      local loop = ("for n in $(seq 0 24); do for how in close exit; do env %s timeout 10 lua5.4 %s $(echo $n | awk "
        .. "'{ print $1 * 0.0015 }') $how; echo $?; for lock in %s/cache/*.lock; do "
        .. "test ! -e $lock || flock -n $lock true || echo locked; done; rm -f %s/cache/*; done; done")
        :format(env, script, folder, folder)
      assert.equal(("7\n"):rep(50), (process.run(loop):gsub("==%d+==Running thread[^\n]*\n", "")))
    end)

    it("and so does the command that gives its secret, unless a forked child exits", function()
      local env = process.credentials(server, folder .. "/cache")
      env.CENTRAL_CLIENT_SECRET = nil
      env.CENTRAL_CLIENT_SECRET_COMMAND = ("echo $$ >%s/pid; exec sleep 60"):format(folder)
      local script = process.write(folder .. "/child.lua", ([[
        local clock = require("central.auth.core").clock()
        local pending = assert(require("central.auth").pending())
        local pid
        repeat
          local file = io.open "%s/pid"
          pid = file and file:read "l"
        until pid
        if require "spec_fork".fork() == 0 then
          os.exit(0, arg[1] == "close")
        end
        clock:sleep(0.1)
        assert(io.open("/proc/" .. pid), "the child ended its parent's command")
        os.exit(0, arg[1] == "close")
      ]]):format(folder))
      local began = cqueues.monotime()
      for _, how in ipairs { "close", "exit" } do -- the command holds standard error, which is read to its end
        local command = ("env %s lua5.4 %s %s 2>&1"):format(process.assignments(env), script, how)
        assert.same({ "", 0 }, { process.run(command) })
        os.remove(folder .. "/pid")
      end
      assert.is_true(cqueues.monotime() - began < 30)
    end)

    it("Ctrl-C, which leaves no request and no lock to a program that goes on", function()
      assert.same({ "interrupted! 0\n", 0 }, { run(([[
        os.execute "(sleep 0.1; kill -INT $PPID) &"
        local _, why = pcall(require("central.auth").token)
        io.write(why:match "interrupted!", " ")
        print(select(3, os.execute "flock -n %s/cache/*.lock true"))
      ]]):format(folder)) })
    end)

    it("and leaves no lock", function()
      run(UNDER_WAY)
      assert.equal(0, select(2, process.run("flock -n " .. folder .. "/cache/*.lock true")))
    end)
  end)

  -- The lock is the renewal's. The child has a copy of its descriptor until it runs, which the end of its parent may
  -- precede.
  it("leaves no lock to a forked child that lives on #forks", function()
    local script = process.write(folder .. "/child.lua", UNDER_WAY .. [[
      if require "spec_fork".fork() == 0 then
        clock:sleep(2)
      end
      os.exit(0)
    ]])
    local env = process.assignments(process.credentials(server, folder .. "/cache"))
    assert.same({ "", 0 }, { process.run(("env %s lua5.4 %s >/dev/null 2>&1; flock -w 1.5 %s/cache/*.lock true"):format(
      env, script, folder)) })
  end)

  describe("ends at once #timing", function()
    local CLOSE = "assert_ends(function(held) held[1]:close() end)"
    local begin = ENDS:format(AT_ONCE)

    it("by close", function()
      assert.same({ "", 0 }, { run(begin .. CLOSE) })
    end)

    it("by collection", function()
      assert.same({ "", 0 }, { run(begin .. [[assert_ends(function(held)
        held[1] = nil
        collectgarbage()
        collectgarbage()
      end)]]) })
    end)

    it("in the middle of a TLS handshake that hangs", function()
      local silent <close> = rude.start { raw = true, handler = function(connection) connection:sleep(3) end }
      server.token_url = silent.url:gsub("^http:", "https:")
      assert.same({ "", 0 }, { run(begin .. CLOSE) })
      assert.equal(2, silent:log().connections)
    end)
  end)

  -- The window is 40 ms wide; in the first half the thread holds a lock of OpenSSL.
  describe("whose thread frees what OpenSSL keeps for it #forks", function()
    local HELD_OPEN = "env LD_PRELOAD=" .. os.getenv "BUILD" .. "/spec_thread_end.so "
    local READY = [[
      local core, http, host = require "central.auth.core", require "central.auth.http", require "spec_fork"
      local clock, notifier = core.clock(), core.notifier()
      local transfer = http.transfer(clock)
      transfer:call({ url = os.getenv "CENTRAL_TOKEN_URL", ca_file = os.getenv "CENTRAL_CA_FILE", user_agent = "spec",
        body = core.form { "a", "b" }, timeout = 5, connect_timeout = 5 }, notifier)
      require "cqueues".poll { pollfd = notifier:fd(), events = "r" }
      clock:sleep(0.005)
    ]]
    -- In a host's own thread, by a transfer that the thread drives itself.
    local THREAD = [[
      local host, process = require "spec_fork", require "spec.support.process"
      local clock = require "central.auth.core".clock()
      require "central.auth.http"
      local thread = require "cqueues.thread".start(function(_, path, cpath)
        package.path, package.cpath = path, cpath
        assert(require "central.auth".token())
      end, package.path, package.cpath)
    ]]

    local function run_held_open(text)
      local script = process.write(folder .. "/child.lua", text)
      return process.run(("env %s timeout -k 1 60 %s lua5.4 %s"):format(
        process.assignments(process.credentials(server, folder .. "/cache")), HELD_OPEN, script))
    end

    before_each(function()
      server:latency(0)
    end)

    it("keeps a fork away, so that the child can exit", function()
      assert.same({ "true\n", 0 }, { run_held_open(READY .. [[
        local pid = host.fork()
        if pid == 0 then
          os.exit(true)
        end
        print(host.wait(pid) == 0)
      ]]) })
    end)

    it("is waited for by the exit", function()
      assert.same({ "", 0 }, { run_held_open(READY .. "os.exit(0)") })
    end)

    it("does both in a thread of the host", function()
      assert.same({ "true\n", 0 }, { run_held_open(THREAD .. [[
        repeat
          clock:sleep(0.002)
          local pid = host.fork()
          if pid == 0 then
            os.exit(true)
          end
          assert(host.wait(pid) == 0)
        until process.count_now "task" == 3 -- . and .. and the main one
        print(process.join(thread, 5) ~= nil)
      ]]) })
    end)
  end)

  describe("and a fork #forks", function()
    it("before it: each process makes its own", function()
      server:latency(0.1)
      assert.same({ "2\n", 0 }, { run [[
        local auth, host = require "central.auth", require "spec_fork"
        local client = assert(auth.new { cache = false })
        local pid = host.fork()
        local token = assert(assert(client:pending()):result())
        if pid == 0 then
          client:close()
          os.exit(true, true)
        end
        assert(host.wait(pid) == 0 and client:token() == token)
        print(2)
      ]] })
      assert.equal(2, server:requests().token)
    end)

    it("while it goes on: the parent's ends with its token, the child makes its own", function()
      server:latency(0.2)
      assert.same({ "true\n", 0 }, { run [[
        local auth, host = require "central.auth", require "spec_fork"
        local client = assert(auth.new { cache = false })
        local pending = assert(client:pending())
        local pid = host.fork()
        if pid == 0 then
          assert(pending:done() and select(3, pending:result()) == "closed")
          assert(client:token())
          os.exit(true, true)
        end
        assert(host.wait(pid) == 0)
        print(pending:result() == client:token())
      ]] })
      assert.equal(2, server:requests().token)
    end)

    it("a notifier's number may be another file's, which is left alone", function()
      assert.same({ "false 0\n", 0 }, { run(([[
        local core, host = require "central.auth.core", require "spec_fork"
        local transfer, notifier = require("central.auth.http").transfer(core.clock()), core.notifier()
        if host.fork() == 0 then
          local file <close> = assert(io.open("%s/file", "w+")) -- it gets the number
          local ok = pcall(transfer.notify, transfer, notifier)
          print(tostring(ok) .. " " .. file:seek "end")
          os.exit(true, true)
        end
      ]]):format(folder)) })
    end)

    it("while a tenant waits for its parent's: the child makes both", function()
      server:latency(0.2)
      assert.same({ "true\n", 0 }, { run [[
        local auth, host = require "central.auth", require "spec_fork"
        local server_url = os.getenv("CENTRAL_TOKEN_URL"):match "^https://[^/]+"
        local client = assert(auth.new { cache = false, greenlake_url = server_url })
        local tenant = assert(client:tenant "1b2c3d4e0000111122223333444455aa")
        local pending = assert(tenant:pending())
        local pid = host.fork()
        if pid == 0 then
          assert(tenant:token())
          os.exit(true, true)
        end
        assert(host.wait(pid) == 0)
        print(pending:result() == tenant:token())
      ]] })
    end)

    it("while API calls wait for a place: parent and child make them all", function()
      local slow <close> = rude.start {
        handler = function(connection)
          connection:sleep(0.1)
          connection:write(require("spec.support.rude").reply(200, {}, "{}"))
        end,
      }
      assert.same({ "0\n", 0 }, { run(([[
        local auth, host = require "central.auth", require "spec_fork"
        local client = assert(auth.new { cache = false, access_token = "a-ready-made-token", base_url = %q,
          wait = function() coroutine.yield() end })
        local calls = {}
        for i = 1, 18 do -- two more than there are places
          calls[i] = coroutine.wrap(function()
            assert(client:get("/" .. i))
            calls[i] = nil
          end)
          calls[i]()
        end
        local pid = host.fork()
        while next(calls) do
          for _, call in pairs(calls) do
            call()
          end
          require("central.auth.core").clock():sleep(0.005)
        end
        if pid == 0 then
          os.exit(true)
        end
        print(host.wait(pid))
      ]]):format(slow.url:match "^http://[^/]+")) })
    end)

    it("while an API call pauses before a retry: the child pauses by a descriptor of its own", function()
      server:latency(0)
      server:fail { status = 503, of = "api" }
      assert.same({ "0\n", 0 }, { run [[
        local auth, host = require "central.auth", require "spec_fork"
        local server_url = os.getenv("CENTRAL_TOKEN_URL"):match "^https://[^/]+"
        local pauses
        local client = assert(auth.new { cache = false, base_url = server_url, wait = function(fd, seconds)
          assert(fd >= 0)
          pauses = seconds < 1
          coroutine.yield()
        end })
        local call = coroutine.wrap(function() client:get "/x" end)
        repeat
          call()
        until pauses
        local pid = host.fork()
        call()
        if pid == 0 then
          os.exit(true)
        end
        print(host.wait(pid))
      ]] })
    end)

    it("at any moment of it: each process gets a token, and exits", function()
      server:latency(0.01)
      local script = process.write(folder .. "/fork.lua", [[
        local auth, host = require "central.auth", require "spec_fork"
        local client = assert(auth.new { cache = false })
        local pending = assert(client:pending())
        require("central.auth.core").clock():sleep(tonumber(arg[1]))
        local pid = host.fork()
        if pid == 0 then
          os.exit(client:token() ~= nil, arg[2] == "close")
        end
        print(pending:result() ~= nil and host.wait(pid) == 0)
        os.exit(true, arg[2] == "close")
      ]])
      local env = process.assignments(process.credentials(server, folder .. "/cache"))
      local loop = ("for n in $(seq 0 14); do for how in close exit; do env %s timeout 20 lua5.4 %s $(echo $n | awk "
        .. "'{ print $1 * 0.002 }') $how || echo $?; done; done"):format(env, script)
      assert.equal(("true\n"):rep(30), (process.run(loop):gsub("==%d+==Running thread[^\n]*\n", "")))
    end)

    it("after it: the child has none of the connections that the parent keeps", function()
      server:latency(0)
      assert.same({ "true\n", 0 }, { run [[
        local auth, host, lfs = require "central.auth", require "spec_fork", require "lfs"
        local function connections()
          local tcp, count = require("spec.support.process").read "/proc/self/net/tcp", 0
          for name in lfs.dir "/proc/self/fd" do
            local link = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
            local inode = link and link:match "^socket:%[(%d+)%]"
            count = count + (inode and tcp:find(" " .. inode .. " ", 1, true) and 1 or 0)
          end
          return count
        end
        local token = assert(auth.token())
        assert(connections() == 1)
        local pid = host.fork()
        if pid == 0 then
          os.exit(connections() == 0 and auth.renew() ~= nil, true)
        end
        print(host.wait(pid) == 0 and auth.renew() ~= token and connections() == 1)
      ]] })
    end)

    it("after it: a child that closed all descriptors keeps its own files when what waits is collected", function()
      assert.same({ "true\n", 0 }, { run [[
        local auth, host, lfs = require "central.auth", require "spec_fork", require "lfs"
        local pending = assert(auth.pending())
        local number = pending:fd()
        local pid = host.fork()
        if pid == 0 then
          local files = {}
          repeat -- the numbers that were closed at the fork are the next to be given out
            files[#files + 1] = assert(io.open "/dev/null")
          until lfs.symlinkattributes("/proc/self/fd/" .. number, "target") == "/dev/null"
          local is_closed = pending:fd() == -1
          pending:close()
          pending = nil
          collectgarbage()
          os.exit(is_closed and lfs.symlinkattributes("/proc/self/fd/" .. number, "target") == "/dev/null")
        end
        print(host.wait(pid) == 0 and pending:result() ~= nil and pending:fd() == number)
      ]] })
    end)

    it("after it: child and parent share what came", function()
      server:latency(0)
      assert.same({ "true\n", 0 }, { run [[
        local auth, host = require "central.auth", require "spec_fork"
        local token = assert(assert(auth.pending()):result())
        local pid = host.fork()
        if pid == 0 then
          os.exit(auth.token() == token, true)
        end
        print(host.wait(pid) == 0 and auth.token() == token)
      ]] })
      assert.equal(1, server:requests().token)
    end)
  end)
end)

describe("what is linked", function()
  it("stays loaded: a thread of a resolver that hangs may return into it", function()
    for path in process.run(("ls %s/central/auth/*.so"):format(os.getenv "BUILD")):gmatch "%S+" do
      assert.matches("NODELETE", (process.run("readelf -d " .. path)))
    end
  end)
end)

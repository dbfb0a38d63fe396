-- One token for many processes, and what becomes of it when they are killed, stopped, forked, or run where nothing
-- can be written. Real processes, a real server, real signals; the rules themselves are in cache_spec.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local cqueues = require "cqueues"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local quote = process.quote

-- Prints "token <token> <source> <cache>", or "failed <code> <message>"; an error would be a traceback.
local ASK = [[
local auth = require "central.auth"
local token, message, code = auth.token()
local status = auth.status()
print(token and "token" or "failed", token or code, token and status.source or message, status.cache)
]]

local NAMESPACES = apart.flags "m"
local mounted = apart.only(_ENV, NAMESPACES, "this machine forbids namespaces")
local traced = apart.only(_ENV, apart.can_trace(), "this machine forbids tracing")

local server, folder, ask

-- The environment of a process that uses the sandbox, as words for `env -i`.
local function environment(more)
  local values = process.credentials(server, folder .. "/cache")
  values.PATH, values.LUA_PATH, values.LUA_CPATH = os.getenv "PATH", package.path, package.cpath
  values.HOME = folder .. "/home"
  for name, value in pairs(more or {}) do
    values[name] = value or nil
  end
  return "env -i " .. process.assignments(values)
end

local function run(command, more)
  return process.run(environment(more) .. command)
end

local function script(name, text)
  return process.write(("%s/%s.lua"):format(folder, name), text)
end

local function requests()
  return server:requests().token
end

local function forget_everything()
  process.run("rm -rf " .. folder .. "/cache")
end

local function files(pattern)
  return process.run(("ls -A %s/cache | grep -c '%s'"):format(folder, pattern)):match("%d+")
end

-- What most of these specs begin and end with.
local function start_server()
  folder = process.scratch()
  ask = script("ask", ASK)
  server = sandbox.start()
end

local function stop_server()
  server:close()
  process.remove(folder)
end

-- A token came, from where is said; the cache is as told.
local function assert_token(output, source, cache)
  local kind, _, from, where = output:match("^(%w+)\t([^\t]*)\t([^\t]*)\t([^\n]*)\n$")
  assert.equal("token", kind, output)
  assert.equal(source, from, output)
  assert.matches(cache or folder, where, 1, true)
end

describe("many processes #slow", function()
  setup(function()
    folder = process.scratch()
    ask = script("ask", ASK)
  end)
  teardown(function() process.remove(folder) end)

  before_each(function()
    server = sandbox.start { latency = 0.1 }
    forget_everything()
  end)
  after_each(function() server:close() end)

  local function herd(more)
    local output = run(("sh -c 'for i in $(seq 50); do lua5.4 %s & done; wait'"):format(ask), more)
    local seen, count = {}, 0
    for kind, what in output:gmatch("(%w+)\t([^\t]*)\t[^\n]*\n") do
      seen[kind .. " " .. what] = true
      count = count + 1
    end
    assert.equal(50, count, output)
    local answer = next(seen)
    assert.is_nil(next(seen, answer), output)
    return answer
  end

  it("that start together make one request", function()
    assert.matches("^token ", herd())
    assert.equal(1, requests())
  end)

  it("with a wrong secret make one request as long as the refusal is remembered", function()
    local began = cqueues.monotime()
    assert.equal("failed oauth", herd { CENTRAL_CLIENT_SECRET = "a long enough but wrong secret" })
    local most = process.refusals_within(cqueues.monotime() - began)
    assert.is_true(requests() >= 1 and requests() <= most, requests())
  end)

  it("that the server tells to slow down make one request", function()
    server:fail { status = 429, retry_after = 60, times = math.huge }
    assert.equal("failed rate_limited", herd())
    assert.equal(1, requests())
  end)

  it("one after the other: the second loads neither libcurl nor what only asking needs", function()
    local loads = script("loads", [[
      local auth = require "central.auth"
      assert(auth.token())
      print(io.open("/proc/self/maps"):read("a"):match "libcurl" or "no libcurl")
      for name in pairs(package.loaded) do print(name:match "^central%.auth.*") end
    ]])
    local plain = { CENTRAL_CACHE = false, XDG_CACHE_HOME = folder }
    local first, second = run("lua5.4 " .. loads, plain), run("lua5.4 " .. loads, plain)
    assert.equal(1, requests())
    assert.matches("^libcurl\n", first)
    assert.matches("^no libcurl\n", second)
    for _, name in ipairs { "http", "token.call", "token.renewal", "token.request", "token.transfers" } do
      assert.truthy(first:find("central.auth." .. name, 1, true), first)
      assert.is_nil(second:find("central.auth." .. name, 1, true), second)
    end
    for _, name in ipairs { "config.profile", "errors", "token.failures", "token.redis_cache", "client.methods" } do
      assert.is_nil(second:find("central.auth." .. name, 1, true), second)
    end
  end)

  it("of two users share nothing, and each has its token", function()
    if process.run("id -u") ~= "0\n" or select(2, process.run("setpriv --reuid=65534 --clear-groups true")) ~= 0 then
      return pending("only root can be two users")
    end
    assert_token(run("lua5.4 " .. ask), "network")
    process.run("chmod 755 " .. folder .. "; install -d -o 65534 -m 700 " .. folder .. "/other")
    process.run("chmod -R a+rX " .. server.ca_file:match("^(.*)/"))
    local copy = process.copy_for_others(folder)
    local function run_as_other(cache)
      copy.CENTRAL_CACHE = cache
      return run("setpriv --reuid=65534 --clear-groups lua5.4 " .. ask, copy)
    end
    assert_token(run_as_other(), "network", "Permission denied")
    process.run("chmod 755 " .. folder .. "/cache")
    assert_token(run_as_other(), "network", "it belongs to another user")
    process.run("chmod 700 " .. folder .. "/cache")
    assert_token(run_as_other(folder .. "/other"), "network", folder .. "/other")
    assert_token(run_as_other(folder .. "/other"), "cache", folder .. "/other")
    assert_token(run("lua5.4 " .. ask), "cache")
    assert.equal(4, requests())
  end)
end)

describe("a process that is killed #slow #job_kills", function()
  local renew

  setup(function()
    start_server()
    renew = script("renew", [[
      local auth = require "central.auth"
      assert(auth.configure { on_event = function(event)
        if event.event == "cache_error" then io.stderr:write(event.message, "\n") end
      end })
      for _ = 1, 9 do assert(auth.renew()) end
    ]])
  end)
  teardown(stop_server)

  -- The next process finds a whole token or none, and no lock in its way.
  local function assert_sound(what)
    local locks = "for lock in " .. folder .. "/cache/*.lock; do flock -n $lock true || exit 1; done"
    assert.equal(0, select(2, process.run(locks)), what)
    local output = run("timeout 30 lua5.4 " .. ask, { CENTRAL_TIMEOUT = "10" })
    assert.truthy(output:find "^token\t", what .. ": " .. output)
    assert.truthy(output:find("\t" .. folder .. "/cache\n", 1, true), what .. ": " .. output)
  end

  -- Killed processes use up the requests all may make; that is not what this is about.
  local function grant_permits()
    process.run("for lock in " .. folder .. "/cache/*.lock; do : >$lock; done")
  end

  it("at random moments of its renewals, 500 times, leaves a sound cache and no lock", function()
    local killer = process.write(folder .. "/kill.sh", [[
      for delay in $(awk -v s=$2 -v whole=$4 'BEGIN { srand(s); while (n++ < 50) print rand() * whole }'); do
        lua5.4 "$1" 2>>"$3/errors" & pid=$!
        sleep $delay
        kill -9 $pid 2>/dev/null && killed=$((killed + 1))
        wait $pid 2>/dev/null
        for lock in "$3"/cache/*.lock; do : >"$lock"; done
      done
      echo $killed
    ]])
    local started = cqueues.monotime()
    assert.equal("", (run("lua5.4 " .. renew)))
    local whole = math.min(cqueues.monotime() - started, 0.2)
    local killed, before = 0, requests()
    for round = 1, 10 do
      local output = run(("sh %s %s %d %s %f"):format(killer, renew, round, folder, whole))
      killed = killed + assert(tonumber(output:match("(%d+)\n$")), output)
      assert_sound("round " .. round)
    end
    assert.equal("", process.read(folder .. "/errors"))
    assert.is_true(killed > 100, killed .. " were killed in time")
    assert.is_true(requests() - before > 50, "requests were made")
  end)

  -- So often each is made by the thread of one fetch, at least.
  local CALLS = { flock = 2, pwrite64 = 1, write = 3, ["rename,renameat,renameat2"] = 2 }

  traced("at each system call between lock and unlock leaves a sound cache and no lock", function()
    local killed = 0
    for call, count in pairs(CALLS) do
      for n = 1, count do
        grant_permits()
        local _, ended = run(("strace -f -o /dev/null -e trace=%s -e inject=%s:signal=KILL:when=%d lua5.4 %s")
          :format(call, call, n, renew))
        killed = killed + (ended == 137 and 1 or 0)
        assert_sound(call .. " " .. n)
      end
    end
    assert.equal(8, killed)
  end)

  traced("while it writes leaves a temporary file, which is swept in its time", function()
    forget_everything()
    local calls = "rename,renameat,renameat2"
    run(("strace -f -o /dev/null -e trace=%s -e inject=%s:signal=KILL lua5.4 %s"):format(calls, calls, ask))
    assert.equal("1", files "new-")
    assert.equal("0", files "last$")
    process.run(("touch -d '3 days ago' %s/cache/*"):format(folder))
    assert_sound "after a temporary file"
    assert.equal("0", files "new-")
    assert.equal("1", files "last$")
  end)

  it("only by SIGSTOP is overtaken, and does no harm when it goes on", function()
    server:lifetime(100)
    forget_everything()
    local slow <close> = sandbox.start { latency = 2, client_id = server.client_id,
      client_secret = server.client_secret }
    local holder = process.start { command = { "sh", "-c", "exec " .. environment {
      CENTRAL_TOKEN_URL = slow.token_url, CENTRAL_CA_FILE = slow.ca_file } .. "lua5.4 " .. ask },
      log = folder .. "/holder.log" }
    process.wait_until(function() return slow:requests().token == 1 end, 30, "the holder's request")
    process.run("kill -STOP " .. holder.pid)
    slow:latency(0)
    assert.equal(1, select(2, process.run("flock -n " .. folder .. "/cache/*.lock true")))
    local output = run("lua5.4 " .. ask, { CENTRAL_TOKEN_URL = slow.token_url, CENTRAL_CA_FILE = slow.ca_file,
      CENTRAL_TIMEOUT = "4" })
    assert_token(output, "network")
    process.run("kill -CONT " .. holder.pid)
    process.wait_until(function() return not holder:alive() end, 30, "the holder's end")
    assert.matches("^token\t", holder:output())
    assert.equal(2, slow:requests().token)
    assert_token(run("lua5.4 " .. ask, { CENTRAL_TOKEN_URL = slow.token_url, CENTRAL_CA_FILE = slow.ca_file }), "cache")
  end)
end)

describe("a process that goes on to other things #slow", function()
  setup(start_server)
  teardown(stop_server)
  before_each(function()
    server:latency(0)
    forget_everything()
  end)

  -- Does this, says what came of it, and sleeps.
  local function start_busy(name, action)
    local text = ("local auth, core = require 'central.auth', require 'central.auth.core'\nprint((%s))\n"
      .. "io.stdout:flush()\ncore.clock():sleep(60)\n"):format(action)
    local log = process.write(("%s/%s.log"):format(folder, name), "")
    local busy = process.start { log = log, command = { "sh", "-c",
      "exec " .. environment { CENTRAL_BASE_URL = server.base_url } .. "lua5.4 " .. script(name, text) } }
    process.wait_until(function() return busy:output():find "\n" end, 30, "what came of " .. action)
    return busy
  end

  local function has_no_lock()
    return select(2, process.run("flock -n " .. folder .. "/cache/*.lock true")) == 0
  end

  it("after it started a renewal has shared the token, and blocks nobody", function()
    for name, action in pairs { pending = "auth.pending() ~= nil", closed = "auth.pending():close()" } do
      forget_everything()
      server:latency(0.3)
      local before = requests()
      local busy <close> = start_busy(name, action)
      process.wait_until(function() return files "last$" == "1" end, 30, "the token")
      process.wait_until(has_no_lock, 30, "the lock")
      assert_token(run("lua5.4 " .. ask), "cache")
      assert.equal(1, requests() - before)
      assert.is_true(busy:alive())
    end
  end)

  it("after its API call got no token in time leaves no lock behind", function()
    server:latency(30)
    local busy <close> = start_busy("call", "select(3, auth.get('/x', { timeout = 1 }))")
    assert.equal("timeout\n", busy:output())
    assert.is_true(has_no_lock())
    server:latency(0)
    local before = cqueues.monotime()
    assert_token(run("lua5.4 " .. ask, { CENTRAL_TIMEOUT = "40" }), "network")
    assert.is_true(cqueues.monotime() - before < 15, cqueues.monotime() - before) -- from 20 s on it would overtake
    assert.is_true(busy:alive())
  end)
end)

describe("a process that forks #slow #forks", function()
  setup(start_server)
  teardown(stop_server)
  before_each(forget_everything)

  it("goes on with its token and its connection, and so does the child", function()
    local output = run("lua5.4 " .. script("fork", [[
      local auth, host = require "central.auth", require "spec_fork"
      local first = assert(auth.token())
      local pid = host.fork()
      if pid == 0 then
        assert(auth.token() == first)
        local second = assert(auth.renew())
        assert(second ~= first and auth.token() == second)
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
      local third = assert(auth.renew())
      assert(third ~= first)
      print(auth.status().source)
    ]]))
    assert.equal("network\n", output)
    assert.equal(3, requests())
  end)

  it("while it holds the lock keeps it, whatever becomes of the child", function()
    server:latency(2)
    local output = run("lua5.4 " .. script("locked", [[
      local auth, host = require "central.auth", require "spec_fork"
      local pending = assert(auth.pending())
      local try_lock = "flock -n " .. os.getenv "CENTRAL_CACHE" .. "/*.lock true 2>/dev/null"
      while not os.execute("ls " .. os.getenv "CENTRAL_CACHE" .. "/*.lock >/dev/null 2>&1") or os.execute(try_lock) do
        assert(not pending:done())
      end
      local pid = host.fork()
      if pid == 0 then
        pending = nil
        collectgarbage()
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
      print(os.execute(try_lock))
      assert(pending:result())
      print(os.execute(try_lock))
    ]]))
    server:latency(0)
    assert.equal("nil\texit\t1\ntrue\texit\t0\n", (output:gsub("==%d+==Running thread[^\n]*\n", ""))) -- a sanitizer's
  end)
end)

describe("a token comes without an error #slow", function()
  setup(start_server)
  teardown(stop_server)
  before_each(forget_everything)

  -- Runs `setup` and then asks twice, where file systems may be mounted that nobody else sees.
  local function ask_twice(prepare)
    local commands = ("mkdir -p %s/cache && %s && lua5.4 %s && lua5.4 %s"):format(folder, prepare, ask, ask)
    local output = run(("unshare %s sh -c %s"):format(NAMESPACES, quote(commands)))
    local first, second = output:match("^(token[^\n]*\n)(token[^\n]*\n)$")
    assert.truthy(first, output)
    return first, second
  end

  mounted("on a read-only disk", function()
    local mount = ("mount -t tmpfs -o ro,mode=700 none %s/cache"):format(folder)
    local first, second = ask_twice(mount)
    assert_token(first, "network", "Read-only file system")
    assert_token(second, "network", "Read-only file system")
  end)

  mounted("on a full disk", function()
    local fill = ("mount -t tmpfs -o mode=700,size=8k none %s/cache && cat /dev/zero >%s/cache/zeros 2>/dev/null; true")
      :format(folder, folder)
    local first, second = ask_twice(fill)
    assert_token(first, "network", "No space left on device")
    assert_token(second, "network", "No space left on device")
    first, second = ask_twice(("mount -t tmpfs -o mode=700,nr_inodes=2 none %s/cache"):format(folder)) -- lock, no token
    assert_token(first, "network", "No space left on device")
    assert_token(second, "network", "No space left on device")
  end)

  it("without a home", function()
    local homeless = { HOME = false, CENTRAL_CACHE = false }
    assert_token(run("lua5.4 " .. ask, homeless), "network", "none: neither XDG_RUNTIME_DIR")
  end)

  it("where the folder can't be made, or is a device", function()
    assert_token(run("lua5.4 " .. ask, { CENTRAL_CACHE = "/proc/central-auth" }), "network", "none: /proc/central-auth")
    assert_token(run("lua5.4 " .. ask, { CENTRAL_CACHE = "/dev/null" }), "network", "a link or no folder")
    assert_token(run("lua5.4 " .. ask, { CENTRAL_CACHE = folder .. "/a/b/c/d" }), "network", "No such file")
  end)

  traced("where file systems know no locks, as NFS without its daemon", function()
    assert_token(run("strace -f -o /dev/null -e trace=flock -e inject=flock:error=ENOLCK lua5.4 " .. ask),
      "network", "cache (without locks: No locks available)")
    assert_token(run("lua5.4 " .. ask), "cache")
  end)

  traced("and is taken away by invalidate there, too", function()
    local invalidate = script("invalidate", [[
      local auth = require "central.auth"
      print(auth.invalidate(assert(auth.token())))
    ]])
    assert_token(run("lua5.4 " .. ask), "network")
    assert.equal("true\n", (run("strace -f -o /dev/null -e trace=flock -e inject=flock:error=ENOLCK lua5.4 "
      .. invalidate)))
    assert_token(run("lua5.4 " .. ask), "network")
    assert_token(run("lua5.4 " .. ask), "cache")
  end)

  it("wherever there are descriptors enough for a connection", function()
    local least
    for limit = 4, 30 do
      local output = run(("sh -c 'ulimit -n %d; exec lua5.4 %s'"):format(limit, ask), { CENTRAL_CACHE = "off" })
      if output:find("^token") then
        least = limit
        break
      end
    end
    for limit = least + 2, least + 4 do -- one is the lock's, one what a thread of its own needs
      forget_everything()
      local output = run(("sh -c 'ulimit -n %d; exec lua5.4 %s'"):format(limit, ask))
      assert.truthy(output:find "^token", limit .. ": " .. output)
    end
    for limit = 4, least do -- what is in the cache needs fewer
      local output, status = run(("sh -c 'ulimit -n %d; exec lua5.4 %s'"):format(limit, ask))
      assert.is_true(output:find("^token") ~= nil or output:find("^failed") ~= nil or status < 128, output)
    end
  end)
end)

-- One token for the processes of four machines: real processes, a real redis-server, outages. Where namespaces may be
-- made, each machine has a network of its own; the rules are in redis_spec.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local ca = require "spec.support.ca"
local with = require "spec.support.with"
require "central.auth.core" -- which central.auth.redis needs
local cqueues = require "cqueues"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local sandbox = require "central.auth.sandbox"

local MACHINES, HERD = 4, 50

-- Calls for $SECONDS, or until there is a file $UNTIL, in a process of its own; a line tells how it went: calls,
-- failures, events of trouble.
local CALL = [[
local auth, core = require "central.auth", require "central.auth.core"
local clock, calls, failures, trouble = core.clock(), 0, 0, 0
assert(auth.configure { on_event = function(event)
  trouble = trouble + (event.event == "cache_error" and 1 or 0)
end })
local over, stop = clock:boot() + tonumber(os.getenv "SECONDS"), os.getenv "UNTIL"
local function is_over()
  local file <close> = stop and io.open(stop)
  return file ~= nil or clock:boot() >= over
end
repeat
  local token, message = auth.token()
  calls = calls + 1
  if not token then
    failures = failures + 1
    io.stderr:write(message, "\n")
  end
  local ends = is_over()
  if not ends then clock:sleep(0.05) end
until ends
print(("calls=%d failures=%d trouble=%d"):format(calls, failures, trouble))
]]

-- An event loop that waits for a first token a second long, and is never held up for half of that.
local LOOP = [[
local auth, core = require "central.auth", require "central.auth.core"
local clock, longest, looks = core.clock(), 0, 0
local pending = assert(auth.pending())
local began = clock:boot()
repeat
  local before = clock:boot()
  local done = pending:done()
  longest, looks = math.max(longest, clock:boot() - before), looks + 1
  clock:sleep(0.005)
until done
assert(pending:result())
assert(longest < 0.5, longest)
assert(looks > 50, looks)
assert(clock:boot() - began < 4)
auth.close()
print "done"
]]

local NAMESPACES = apart.flags "n"

local server, redis_server, folder, call

local function requests()
  return server:requests().token
end

-- The environment of a process on machine `n`, as words for `env -i`.
local function environment(n, more)
  local values = process.credentials(server, redis_server.url)
  values.CENTRAL_CACHE_PASSWORD = redis.password
  values.PATH, values.LUA_PATH, values.LUA_CPATH = os.getenv "PATH", package.path, package.cpath
  values.HOME, values.XDG_RUNTIME_DIR = folder, ("%s/machine-%d"):format(folder, n)
  values.SECONDS = 0
  for name, value in pairs(more or {}) do
    values[name] = value or nil
  end
  return "env -i " .. process.assignments(values)
end

local relays

-- What to put before a command for machine `n`: a network of its own, from which relays lead to both servers.
local function network(n)
  if not NAMESPACES then
    return ""
  end
  local relay = "lua5.4 spec/support/relay.lua"
  local lines, ports = { "ip link set lo up" }, { tonumber(server.token_url:match ":(%d+)/"), redis_server.port }
  for _, port in ipairs(ports) do
    local path = ("%s/port-%d"):format(folder, port)
    if not relays[path] then
      local command = { "lua5.4", "spec/support/relay.lua", path, port }
      relays[path] = process.start { command = command, log = path .. ".log" }
      process.wait_until(function() return select(2, process.run("test -S " .. path)) == 0 end, 30, "a relay")
    end
    lines[#lines + 1] = ("%s %d %s & relays=\"$relays $!\""):format(relay, port, path)
  end
  lines[#lines + 1] = 'trap "kill $relays" EXIT; sleep 0.3; "$@"'
  local script = process.write(("%s/network-%d.sh"):format(folder, n), table.concat(lines, "\n"))
  return ("unshare %s sh %s "):format(NAMESPACES, script)
end

-- Starts HERD processes, or `size`, on each machine, at once; a function that waits for their end and adds up.
local function herd(seconds, more, size)
  local machines, each = {}, size or HERD
  for n = 1, MACHINES do
    local many = ("for i in $(seq %d); do lua5.4 %s & pids=\"$pids $!\"; done; wait $pids"):format(each, call)
    machines[n] = process.start { log = ("%s/herd-%d.log"):format(folder, n), command = { "sh", "-c",
      ("%s%ssh -c '%s'"):format(network(n), environment(n, with({ SECONDS = seconds }, more)), many) } }
  end
  return function()
    local sum = { processes = 0, calls = 0, failures = 0, trouble = 0, most = 0 }
    for _, running in ipairs(machines) do
      process.wait_until(function() return not running:alive() end, seconds + 300, "the end of a machine")
      for calls, failures, trouble in running:output():gmatch "calls=(%d+) failures=(%d+) trouble=(%d+)\n" do
        sum.processes, sum.calls, sum.failures = sum.processes + 1, sum.calls + calls, sum.failures + failures
        sum.trouble, sum.most = sum.trouble + trouble, math.max(sum.most, tonumber(trouble))
      end
    end
    assert.equal(MACHINES * each, sum.processes, process.read(folder .. "/herd-1.log"))
    assert.equal(0, sum.failures, process.read(folder .. "/herd-1.log"))
    return sum
  end
end

local function script(text)
  return process.write(folder .. "/script.lua", text)
end

local function wait_for_tokens()
  process.wait_until(function()
    return process.run(("ls %s/machine-*/central-auth/*.last | wc -l"):format(folder)) == MACHINES .. "\n"
  end, 30, "a token on each machine")
end

local function prepare()
  folder, relays = process.scratch(), {}
  call = process.write(folder .. "/call.lua", CALL)
  for n = 1, MACHINES do
    process.run(("mkdir -m 700 %s/machine-%d"):format(folder, n))
  end
end

local function clean_up()
  for _, relay in pairs(relays) do
    relay:stop()
  end
  server:close()
  redis_server:stop()
  process.remove(folder)
end

local function forget_everything()
  redis_server:cli "flushall"
  process.run(("rm -rf %s/machine-*/*"):format(folder))
end

describe("four machines with fifty processes each #slow #herd #job_herds", function()
  setup(function()
    prepare()
    redis_server = redis.start()
    server = sandbox.start { latency = 0.1 }
  end)
  teardown(clean_up)
  before_each(function()
    forget_everything()
    server:lifetime(7199)
  end)

  it("that start together make one request", function()
    local before = requests()
    herd(0)()
    assert.equal(1, requests() - before)
    assert.equal("1", (redis_server:cli("info", "clients"):match "connected_clients:(%d+)"))
  end)

  it("with a wrong secret make one request as long as the refusal is remembered", function()
    local before, began = requests(), cqueues.monotime()
    local wrong = { CENTRAL_CLIENT_SECRET = "a long enough but wrong secret" }
    for n = 1, MACHINES do
      local output = process.run(environment(n, wrong) .. "lua5.4 " .. call)
      assert.matches("invalid_client", output)
    end
    local asked, most = requests() - before, process.refusals_within(cqueues.monotime() - began)
    assert.is_true(asked >= 1 and asked <= most, asked)
  end)

  it("make one request for each lifetime", function()
    local before, started = requests(), cqueues.monotime()
    server:lifetime(8) -- long enough for two hundred processes on a loaded machine
    herd(14)()
    local lives = (cqueues.monotime() - started) / 4 + 1 -- a server that is slow is asked at half of it
    assert.is_true(requests() - before >= 2 and requests() - before <= lives, requests() - before)
  end)

  it("get no error and make a request for each machine at most while Redis is out, and say so once", function()
    server:lifetime(8)
    local result = herd(12)
    wait_for_tokens()
    cqueues.sleep(0.5)
    local before = requests()
    redis_server:down()
    -- One renewal, which comes between a half and three quarters of a life, for all machines within a second.
    process.wait_until(function() return requests() > before end, 30, "a renewal")
    cqueues.sleep(1.5)
    local out = requests() - before
    redis_server:up()
    local sum = result()
    assert.is_true(out >= 1 and out <= MACHINES, out)
    assert.is_true(sum.most <= 1 and sum.trouble >= 1, sum.trouble)
  end)

  it("get no error when Redis freezes while they wait for their first token", function()
    local before = requests()
    redis_server:freeze()
    local sum = herd(0, { CENTRAL_CONNECT_TIMEOUT = 1 })()
    redis_server:thaw()
    assert.is_true(sum.trouble >= MACHINES)
    assert.equal(MACHINES, requests() - before)
  end)
end)

describe("a master that Sentinel replaces, behind a proxy that follows #slow #herd #calm_sentinel", function()
  local master, replica, sentinel, proxy, target

  setup(function()
    prepare()
    master = redis.start()
    replica = redis.start { config = "replicaof 127.0.0.1 " .. master.port }
    target = process.write(folder .. "/target", master.port .. "\n")
    local port, listens = process.free_port(), process.free_port()
    local conf = ("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor it 127.0.0.1 %d 1\n"
      .. "sentinel down-after-milliseconds it 6000\nsentinel failover-timeout it 5000\n"):format(port, folder,
      master.port)
    sentinel = process.start { command = { "redis-server", process.write(folder .. "/sentinel.conf", conf),
      "--sentinel" }, log = folder .. "/sentinel.log" }
    sentinel:wait_for_port(port, 30)
    proxy = process.start { command = { "lua5.4", "spec/support/relay.lua", listens, "@" .. target },
      log = folder .. "/proxy.log" }
    proxy:wait_for_port(listens, 30)
    redis_server = setmetatable({ port = listens, url = ("redis://%s@127.0.0.1:%d"):format(redis.user, listens) },
      { __index = replica })
    server = sandbox.start { latency = 0.1 }
    process.wait_until(function() return replica:cli("info", "replication"):find "master_link_status:up" end, 10,
      "replication")
    cqueues.sleep(1) -- Sentinel has to hear of the replica
  end)
  teardown(function()
    proxy:stop()
    sentinel:stop()
    master:stop()
    clean_up()
  end)

  it("costs a request for each machine at most, and nobody an error, though the replica can't be written to at first",
    function()
      server:lifetime(8)
      local stop = folder .. "/stop"
      local result = herd(300, { UNTIL = stop }, 5)
      wait_for_tokens()
      local before, began = requests(), cqueues.monotime()
      master:down()
      process.write(target, replica.port .. "\n")
      assert.matches("^slave", replica:cli "role")
      process.wait_until(function() return replica:cli("role"):find "^master" end, 120, "another master")
      process.wait_until(function() return replica:cli("keys", "*.last") ~= "" end, 30, "a token by the new master")
      process.write(stop, "")
      local sum = result()
      local lives = (cqueues.monotime() - began) / 4 + 1
      assert.is_true(requests() - before <= lives + MACHINES - 1, requests() - before)
      assert.is_true(sum.most <= 1 and sum.trouble >= 1, sum.trouble)
    end)
end)

describe("a process on one of the machines #slow", function()
  setup(function()
    prepare()
    redis_server, server = redis.start(), sandbox.start()
  end)
  teardown(clean_up)
  before_each(function()
    forget_everything()
    server:latency(0)
  end)

  it("shares the reply and gives back the lease although nobody asks for the token any more", function()
    server:latency(0.2)
    local output = process.run(environment(1, { SOCKET = redis_server.socket }) .. "lua5.4 " .. script [[
      local auth, core = require "central.auth", require "central.auth.core"
      local pending = assert(auth.pending())
      core.clock():sleep(0.1)
      pending:done() -- Redis may have been slow
      core.clock():sleep(1)
      os.execute("redis-cli -s " .. os.getenv "SOCKET" .. " keys '*'")
    ]])
    assert.matches("%.last\n", output)
    assert.is_nil(output:find("%.lock\n"), output)
  end)

  it("that is killed with the lease holds the others up no longer than half of its timeout", function()
    server:latency(30)
    local victim = process.start { command = { "sh", "-c", "exec " .. environment(1, { CENTRAL_TIMEOUT = 8 })
      .. "lua5.4 " .. call }, log = folder .. "/victim.log" }
    process.wait_until(function() return redis_server:cli("keys", "*.lock") ~= "" end, 30, "the lease")
    process.run("kill -9 " .. victim.pid)
    server:latency(0)
    local before = cqueues.monotime()
    local output = process.run(environment(2, { CENTRAL_TIMEOUT = 20 }) .. "lua5.4 " .. call)
    assert.matches("failures=0 trouble=0", output)
    assert.is_true(cqueues.monotime() - before < 8, cqueues.monotime() - before) -- from 10 s on it would go ahead
  end)

  it("that forks goes on, and so does the child, each with a connection of its own #forks", function()
    local output, status = process.run(environment(1) .. "lua5.4 " .. script [[
      local auth, host = require "central.auth", require "spec_fork"
      local first = assert(auth.token())
      local pending = assert(auth.pending())
      local pid = host.fork()
      if pid == 0 then
        assert(auth.renew() ~= first)
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
      assert(auth.renew() ~= first)
      print(auth.status().cache)
    ]])
    assert.equal(0, status, output)
    assert.matches("^redis://", output)
  end)

  it("that forks while it asks Redis takes none of its connections along into the child #forks", function()
    local variables = { REDIS = redis_server.process.pid, CENTRAL_CONNECT_TIMEOUT = 0.5 }
    local output, status = process.run(environment(1, variables) .. "lua5.4 " .. script [[
      local auth, host = require "central.auth", require "spec_fork"
      local function sockets()
        local pipe <close> = io.popen "ls -l /proc/$PPID/fd"
        local tcp <close> = io.open "/proc/self/net/tcp" -- libcurl has others, to wake itself
        local connections, found = tcp:read "a", {}
        for name in pipe:read "a":gmatch "socket:%[(%d+)%]" do
          found[name] = connections:find((" %s "):format(name), 1, true) and true
        end
        return found
      end
      auth.invalidate(assert(auth.token()))
      local before = sockets() -- libcurl's, which are kept for the next request
      os.execute("kill -STOP " .. os.getenv "REDIS")
      local pending = assert(auth.pending())
      local parents
      repeat -- until the renewal's thread has connected
        assert(not pending:done())
        parents = sockets()
        for name in pairs(before) do
          parents[name] = nil
        end
      until next(parents)
      local pid = host.fork()
      if pid == 0 then
        assert(auth.token())
        for name in pairs(sockets()) do
          assert(not parents[name], name)
        end
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
    ]])
    redis_server:thaw()
    assert.equal(0, status, output)
  end)

  it("stalls no event loop, and ends in time, while Redis says nothing #timing", function()
    redis_server:freeze()
    local output = process.run(environment(1, { CENTRAL_CONNECT_TIMEOUT = 1 }) .. "lua5.4 " .. script(LOOP))
    redis_server:thaw()
    assert.equal("done\n", output)
  end)

  it("loads neither Redis' library nor libcurl where its machine has a token; nor does one without Redis", function()
    local loads = script [[
      local auth = require "central.auth"
      assert(auth.token())
      local maps = io.open("/proc/self/maps"):read("a")
      print(auth.status().source, maps:match "libhiredis" or "no hiredis", maps:match "libcurl" or "no libcurl",
        package.loaded["central.auth.token.redis_cache"] and "fleet" or "no fleet")
    ]]
    assert.equal("network\tlibhiredis\tlibcurl\tfleet\n", (process.run(environment(1) .. "lua5.4 " .. loads)))
    assert.equal("cache\tno hiredis\tno libcurl\tfleet\n", (process.run(environment(1) .. "lua5.4 " .. loads)))
    assert.equal("cache\tno hiredis\tno libcurl\tno fleet\n", (process.run(environment(1, { CENTRAL_CACHE = false })
      .. "lua5.4 " .. loads)))
  end)
end)

describe("Redis behind TLS #slow", function()
  local authority, port, tunnel

  local function start_tunnel()
    local listens = process.free_port()
    local conf = ("foreground = yes\npid =\n[redis]\nclient = yes\naccept = 127.0.0.1:%d\nconnect = 127.0.0.1:%d\n"
      .. "CAfile = %s\nverifyChain = yes\ncheckHost = localhost\n"):format(listens, port, authority.file)
    tunnel = process.start { command = { "stunnel", process.write(folder .. "/stunnel.conf", conf) },
      log = folder .. "/stunnel.log" }
    tunnel:wait_for_port(listens, 30)
    return ("redis://%s@127.0.0.1:%d"):format(redis.user, listens)
  end

  setup(function()
    prepare()
    authority, port = ca.new { folder = folder }, process.free_port()
    local leaf = authority:issue { name = "server", ips = { "127.0.0.1" } }
    redis_server = redis.start { config = ("tls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-auth-clients no\n"
      .. "tls-ca-cert-file %s\n"):format(port, leaf.cert_file, leaf.key_file, authority.file) }
    server = sandbox.start()
  end)
  teardown(function()
    if tunnel then
      tunnel:stop()
    end
    clean_up()
  end)

  it("is reached by stunnel, and the tunnel's end is an outage as any other", function()
    local by_tunnel = { CENTRAL_CACHE = start_tunnel() }
    for n = 1, 2 do
      assert.matches("failures=0 trouble=0", (process.run(environment(n, by_tunnel) .. "lua5.4 " .. call)))
    end
    assert.equal(1, requests())
    tunnel:stop()
    process.run(("rm -rf %s/machine-*/*"):format(folder))
    assert.matches("failures=0 trouble=1", (process.run(environment(1, by_tunnel) .. "lua5.4 " .. call)))
    assert.equal(2, requests())
  end)

  it("is reached by rediss, whose certificate is checked", function()
    forget_everything()
    local stranger = ca.new { folder = process.run("mktemp -d -p " .. folder):match "%S+", name = "a stranger" }
    local before = requests()
    for _, case in ipairs { { "localhost", authority, 0 }, { "127.0.0.1", authority, 0 }, { "localhost", stranger, 1 },
      { "127.0.0.2", authority, 1 } } do
      process.run(("rm -rf %s/machine-*/*"):format(folder))
      local url = ("rediss://%s@%s:%d?ca_file=%s"):format(redis.user, case[1], port, case[2].file)
      local output = process.run(environment(1, { CENTRAL_CACHE = url }) .. "lua5.4 " .. call)
      assert.matches("failures=0 trouble=" .. case[3], output)
    end
    assert.equal(3, requests() - before)
  end)

  it("stalls no event loop while the handshake by rediss gets no answer #timing", function()
    forget_everything()
    redis_server:freeze()
    local url = ("rediss://%s@127.0.0.1:%d?ca_file=%s"):format(redis.user, port, authority.file)
    local output = process.run(environment(1, { CENTRAL_CONNECT_TIMEOUT = 1, CENTRAL_CACHE = url }) .. "lua5.4 "
      .. script(LOOP))
    redis_server:thaw()
    assert.equal("done\n", output)
  end)
end)

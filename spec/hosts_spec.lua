-- Real programs that embed Lua, as Debian has them, with the configurations in spec/hosts: through renewals, through a
-- token server that goes silent and comes back.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local socket = require "socket"

local SCRIPTS = process.run("pwd"):gsub("\n", "") .. "/spec/hosts"
local LIFETIME, TIMEOUT = 4, 1
local SOON = 0.5 -- seconds: not waited for any timeout

local folder, box, port

local function environment()
  local env = process.credentials(box, folder .. "/cache")
  env.HOME, env.FOLDER, env.SCRIPTS, env.DOCUMENT_ROOT, env.TOLD = folder, folder, SCRIPTS, folder, folder .. "/told"
  env.TERM, env.PORT, env.CENTRAL_API, env.CENTRAL_TIMEOUT = "xterm", port, box.base_url, TIMEOUT
  env.PATH, env.LUA_PATH, env.LUA_CPATH = os.getenv "PATH", package.path, package.cpath
  return env
end

-- The configuration with its places filled in.
local function configured(name)
  local text = process.read(SCRIPTS .. "/" .. name)
    :gsub("@(%u+)@", { FOLDER = folder, SCRIPTS = SCRIPTS, PORT = tostring(port) })
  return process.write(folder .. "/" .. name, text)
end

local function get(path)
  local output = process.run(("curl -s -m 10 -w '\\n%%{http_code} %%{time_total}' http://127.0.0.1:%d%s"):format(
    port, path))
  local body, status, seconds = output:match "^(.*)\n(%d+) ([%d.]+)$"
  return tonumber(status), body, tonumber(seconds)
end

-- `ask` returns a token or nil, and how long it took. Asks for so many seconds, every 50 ms; what came of it.
local function keep_asking(ask, seconds)
  local seen = { tokens = {}, distinct = 0, failures = 0, quick_failures = 0, longest = 0, longest_good = 0 }
  local deadline = cqueues.monotime() + seconds
  repeat
    local token, took = ask()
    seen.longest = math.max(seen.longest, took)
    if not token then
      seen.failures = seen.failures + 1
      seen.quick_failures = seen.quick_failures + (took < SOON and 1 or 0)
    else
      seen.longest_good = math.max(seen.longest_good, took)
      if not seen.tokens[token] then
        seen.tokens[token] = true
        seen.distinct = seen.distinct + 1
      end
    end
    cqueues.sleep(0.05)
  until cqueues.monotime() > deadline
  return seen
end

-- The whole life: two renewals that nobody notices, a silent server, its return.
local function live_through(ask)
  local before = box:requests().token
  local good = keep_asking(ask, 2.4 * LIFETIME)
  assert.equal(0, good.failures)
  assert.is_true(good.distinct >= 3, good.distinct)
  assert.is_true(good.longest < SOON, good.longest)
  assert.is_true(box:requests().token - before <= good.distinct + 1, box:requests().token - before)
  box:latency(1000)
  local silent = keep_asking(ask, LIFETIME + 4)
  assert.is_true(silent.distinct >= 1) -- the last token, to its end
  assert.is_true(silent.failures > 0)
  assert.is_true(silent.quick_failures > 0)
  assert.is_true(silent.longest < TIMEOUT + SOON, silent.longest)
  box:latency(0)
  process.wait_until(ask, 15, "a token after the silence")
  local back = keep_asking(ask, 1)
  assert.equal(0, back.failures)
end

-- What is in a file of the folder so far.
local function so_far(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file and file:read "a" or ""
end

-- What a script in the host told after `act`, as far as it matches, and how long that took.
local function told_after(act, pattern)
  local function lines()
    local text = so_far "told"
    return select(2, text:gsub("\n", "")), text:match "([^\n]*)\n$"
  end
  local begun, before = cqueues.monotime(), lines()
  act()
  local last = process.wait_until(function()
    local count, line = lines()
    return count > before and line
  end, 5, "the script")
  return last:match(pattern), cqueues.monotime() - begun
end

describe("within a host #hosts #slow", function()
  local running

  before_each(function()
    folder, port = process.scratch(), process.free_port()
    box = sandbox.start { lifetime = LIFETIME }
  end)
  after_each(function()
    if running then
      running:stop()
      running = nil
    end
    box:close()
    process.remove(folder)
  end)

  -- In a session of its own: lighttpd ends by a signal to its whole process group.
  local function start(command)
    table.insert(command, 1, "setsid")
    running = process.start { command = command, env = environment(), log = folder .. "/log" }
    return running
  end

  it("lighttpd's workers share one token and put it on requests", function()
    start({ "lighttpd", "-D", "-f", SCRIPTS .. "/lighttpd.conf" }):wait_for_port(port, 10)
    local function ask()
      local status, body, seconds = get "/api/x"
      return status == 200 and body:match "^Bearer (.+)$" or nil, seconds
    end
    for _ = 1, 40 do
      assert(ask(), running:output())
    end
    assert.equal(1, box:requests().token)
    live_through(ask)
  end)

  it("prosody waits in its own loop, and answers others meanwhile", function()
    start({ "prosody", "-F", "--config", SCRIPTS .. "/prosody.cfg.lua" }):wait_for_port(port, 10)
    local function ask()
      local status, body, seconds = get "/aps"
      return status == 200 and body:match "^Bearer (.+)$" or nil, seconds
    end
    assert(ask(), select(2, get "/aps"))
    live_through(ask)
    box:latency(1000)
    process.run "sleep 4"
    local waiting = process.start { command = { "curl", "-s", "-m", "5", ("http://127.0.0.1:%d/aps"):format(port) },
      log = folder .. "/waiting" }
    for _ = 1, 10 do
      local status, body, seconds = get "/alive"
      assert.same({ 200, "alive" }, { status, body })
      assert.is_true(seconds < SOON)
    end
    waiting:stop()
  end)

  it("dovecot's auth workers ask an API", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may run dovecot"
    end
    start({ "dovecot", "-F", "-c", configured "dovecot.conf" })
    process.wait_until(function() return os.execute(("test -S %s/run/auth-userdb"):format(folder)) end, 10, "dovecot")
    local function ask()
      local output = process.run(("doveadm -c %s/dovecot.conf auth test anybody password"):format(folder))
      return output:match "token=(%S+)", tonumber(process.read(folder .. "/told"))
    end
    assert(ask(), running:output())
    live_through(ask)
  end)

  it("dnsmasq's lease script tells an API, and names are resolved meanwhile", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may serve DHCP"
    end
    process.write(folder .. "/leases", ("%d 02:00:00:00:00:01 127.0.0.101 one *\n"):format(os.time() + 86400))
    start({ "dnsmasq", "-C", configured "dnsmasq.conf" })
    local function ask()
      return told_after(function() process.run(("kill -HUP %d"):format(running.pid)) end, "^%S+ 200 %d+ Bearer (.+)$")
    end
    process.wait_until(function() return so_far "told" ~= "" end, 10, "dnsmasq's script")
    live_through(ask)
    local query = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\5alive\7example\0\0\1\0\1"
    local connection = socket.udp()
    connection:settimeout(2)
    connection:setpeername("127.0.0.1", port)
    connection:send(query)
    assert.equal("\192\0\2\1", assert(connection:receive()):sub(-4))
    connection:close()
  end)

  it("mle's command inserts what an API says, and typing never waits", function()
    local F12, SAVE = "\27[24~", "\19"
    local keys = folder .. "/keys"
    process.run("mkfifo " .. keys)
    local editor = ("mle -N -H 0 -x %s/mle.lua -K central,,1 -k cmd_central,f12, -n central"):format(SCRIPTS)
    start { "sh", "-c", ("cd %s && exec script -qec '%s text' /dev/null <>keys"):format(folder, editor) }
    local function press(text)
      local out <close> = io.open(keys, "w")
      out:write(text)
    end
    local function ask()
      return told_after(function() press(F12) end, "^200 Bearer (.+)$")
    end
    process.wait_until(function() return so_far "log":find("?1000l", 1, true) end, 10, "the editor") -- no mouse: ready
    process.wait_until(ask, 10, "a token")
    live_through(ask)
    box:latency(1000)
    process.run "sleep 4"
    press(F12 .. "typed" .. SAVE)
    process.wait_until(function() return so_far "text":find "on its way\ntyped" end, SOON, "the text")
  end)
end)

-- Real programs that embed Lua, as Debian has them, with the configurations in spec/hosts: through renewals, through a
-- token server that goes silent and comes back.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local socket = require "socket"

local SCRIPTS = process.run("pwd"):gsub("\n", "") .. "/spec/hosts"
local LIFETIME, TIMEOUT = 4, 1
local SOON = 0.8 -- seconds: not waited for any timeout, however busy the machine

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

local function url(path)
  return ("http://127.0.0.1:%d%s"):format(port, path)
end

local function get(path)
  local output = process.run(("curl -s -m 10 -w '\\n%%{http_code} %%{time_total}' %s"):format(url(path)))
  local body, status, seconds = output:match "^(.*)\n(%d+) ([%d.]+)$"
  return tonumber(status), body, tonumber(seconds)
end

-- `ask` returns a token or nil, and how long it took. Asks for so many seconds, every 50 ms; what came of it.
local function keep_asking(ask, seconds)
  local seen = { tokens = {}, distinct = 0, failures = 0, slow = 0, longest = 0 }
  local before, deadline = box:requests().token, cqueues.monotime() + seconds
  repeat
    local token, took = ask()
    seen.longest = math.max(seen.longest, took)
    seen.slow = seen.slow + (took < SOON and 0 or 1)
    if not token then
      seen.failures = seen.failures + 1
    elseif not seen.tokens[token] then
      seen.tokens[token] = true
      seen.distinct = seen.distinct + 1
    end
    cqueues.sleep(0.05)
  until cqueues.monotime() > deadline
  seen.requests = box:requests().token - before
  return seen
end

-- While a token is waited for that does not come, others are answered. `begin` starts such a wait and returns how to
-- know its end; `other` asks for something else. Where a pause of the back-off spares the wait, it begins again.
local function assert_answers(begin, other)
  local function answered_all()
    local begun, count, ended = cqueues.monotime(), 0, begin()
    cqueues.sleep(0.1) -- a worker takes no other request once it waits
    while not ended() do
      local asked = cqueues.monotime()
      other()
      assert.is_true(cqueues.monotime() - asked < SOON)
      count = count + 1
      cqueues.sleep(0.01)
    end
    return cqueues.monotime() - begun > TIMEOUT / 2 and count > 5
  end
  process.wait_until(answered_all, 20, "a request that waits for a token")
end

-- A request as a command, for `assert_answers`.
local function asked_by(words)
  return function()
    local started = process.start { command = words, log = folder .. "/waiting" }
    return function() return not started:alive() end
  end
end

-- The whole life: two renewals that nobody notices, a silent server, its return. A host that never waits has no
-- `begin`.
local function live_through(ask, begin, other)
  local good = keep_asking(ask, 2.4 * LIFETIME)
  assert.equal(0, good.failures)
  assert.is_true(good.distinct >= 3, good.distinct)
  assert.is_true(good.longest < SOON, good.longest)
  assert.is_true(good.requests <= good.distinct + 1, good.requests)
  box:latency(1000)
  local silent = keep_asking(ask, LIFETIME + 6)
  assert.is_true(silent.distinct >= 1) -- the last token, to its end
  assert.is_true(silent.longest < TIMEOUT + 2 * SOON, silent.longest) -- with the start of a script on a busy machine
  assert.is_true(silent.slow <= silent.requests, silent.slow) -- who waits has tried …
  assert.is_true(silent.failures > silent.slow, silent.failures) -- … and spares the next
  if begin then
    assert.is_true(silent.slow > 0)
    assert_answers(begin, other)
  end
  box:latency(0)
  process.wait_until(ask, 60, "a token after the silence") -- so long the back-off may be
  local back = keep_asking(ask, 1)
  assert.equal(0, back.failures)
end

-- What is in a file of the folder so far.
local function so_far(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file and file:read "a" or ""
end

-- For a script in the host that writes down what it does: a `begin` that makes it act, an `ask` that waits for the line
-- it writes then and returns what matches in it, and a `written` that says whether there is a new one.
local function by_writing(act, pattern)
  local told = 0
  -- What the script wrote since the last time.
  local function written()
    local text = so_far "told"
    local count = select(2, text:gsub("\n", ""))
    if count > told then
      told = count
      return text:match "([^\n]*)\n$"
    end
  end
  local function begin()
    act()
    return written
  end
  local function ask()
    local begun = cqueues.monotime()
    local line = process.wait_until(begin(), 5, "the script")
    return line:match(pattern), cqueues.monotime() - begun
  end
  return begin, ask, written
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

  local function token_at(path)
    return function()
      local status, body, seconds = get(path)
      return status == 200 and body:match "^Bearer (.+)$" or nil, seconds
    end
  end

  it("lighttpd's workers share one token and put it on requests #job_lighttpd", function()
    start({ "lighttpd", "-D", "-f", SCRIPTS .. "/lighttpd.conf" }):wait_for_port(port, 10)
    box:latency(0.2) -- so that more than one has to wait, from a cold start
    local output = process.run(
      ("for i in $(seq 16); do { a=$(curl -s -m 10 -w ' %%header{worker}' %s); echo \"$a\"; } & done; wait"):format(
        url "/api/x"))
    local workers, tokens = {}, {}
    for token, worker in output:gmatch "Bearer (%S+) (%d+)\n" do
      workers[worker], tokens[#tokens + 1] = true, token
    end
    assert.equal(16, #tokens, output)
    for _, token in ipairs(tokens) do
      assert.equal(tokens[1], token)
    end
    assert.is_truthy(next(workers, (next(workers))), output)
    assert.equal(1, box:requests().token)
    box:latency(0)
    live_through(token_at "/api/x", asked_by { "curl", "-s", "-m", "5", url "/api/x" }, function()
      assert.equal(200, (get "/seen/x"))
    end)
  end)

  it("prosody waits in its own loop, and answers others during that #job_prosody", function()
    start({ "prosody", "-F", "--config", SCRIPTS .. "/prosody.cfg.lua" }):wait_for_port(port, 10)
    local ask = token_at "/aps"
    assert(ask(), select(2, get "/aps"))
    live_through(ask, asked_by { "curl", "-s", "-m", "5", url "/aps" }, function()
      assert.equal("alive", (select(2, get "/alive")))
    end)
    assert.is_true(running:stop(), "it does not end by SIGTERM")
  end)

  it("dovecot's auth workers ask an API #job_dovecot", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may run dovecot"
    end
    local version = process.run "dovecot --version"
    local file = configured(("dovecot-%s.conf"):format(version:find "^2%.[0-3]%." and "2.3" or "2.4"))
    start({ "dovecot", "-F", "-c", file })
    process.wait_until(function() return os.execute(("test -S %s/run/auth-userdb"):format(folder)) end, 10, "dovecot")
    local function ask()
      local output = process.run(("doveadm -c %s auth test anybody password"):format(file))
      return output:match "token=(%S+)", tonumber(process.read(folder .. "/told"))
    end
    assert(ask(), running:output())
    live_through(ask, asked_by { "doveadm", "-c", file, "auth", "test", "anybody", "password" }, function()
      assert.matches("/nonexistent", (process.run(("doveadm -c %s user anybody"):format(file))))
    end)
  end)

  it("dnsmasq's lease script calls an API, and names are resolved during that #job_dnsmasq", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may serve DHCP"
    end
    process.write(folder .. "/leases", ("%d 02:00:00:00:00:01 127.0.0.101 one *\n"):format(os.time() + 86400))
    start({ "dnsmasq", "-C", configured "dnsmasq.conf" })
    local begin, ask, written = by_writing(function()
      process.run(("kill -HUP %d"):format(running.pid)) -- it tells all leases anew
    end, "^%S+ 200 %d+ Bearer (.+)$")
    local function resolve()
      local connection = socket.udp()
      connection:settimeout(2)
      connection:setpeername("127.0.0.1", port)
      connection:send "\x12\x34\x01\0\0\1\0\0\0\0\0\0\5alive\7example\0\0\1\0\1"
      assert.equal("\192\0\2\1", assert(connection:receive()):sub(-4))
      connection:close()
    end
    process.wait_until(written, 10, "dnsmasq's script")
    live_through(ask, begin, resolve)
  end)

  it("mle's command inserts what an API says, and typing never waits #job_mle", function()
    local F12, SAVE = "\27[24~", "\19"
    local keys = folder .. "/keys"
    process.run("mkfifo " .. keys)
    local editor = ("mle -N -H 0 -x %s/mle.lua -K central,,1 -k cmd_central,f12, -n central"):format(SCRIPTS)
    start { "sh", "-c", ("cd %s && exec script -qec '%s text' /dev/null <>keys"):format(folder, editor) }
    local function press(text)
      local out <close> = io.open(keys, "w")
      out:write(text)
    end
    local _, ask = by_writing(function() press(F12) end, "^200 Bearer (.+)$")
    process.wait_until(function() return so_far "log":find("?1000l", 1, true) end, 10, "the editor") -- no mouse: ready
    process.wait_until(ask, 10, "a token")
    live_through(ask)
    box:latency(1000)
    process.run "sleep 4"
    press(F12 .. "typed" .. SAVE)
    process.wait_until(function() return so_far "text":find "on its way\ntyped" end, SOON, "the text")
  end)
end)

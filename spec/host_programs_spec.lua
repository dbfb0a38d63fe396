-- Real programs that embed Lua, as Debian has them, with the configurations in spec/hosts: through renewals, through a
-- token server that goes silent and comes back.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local socket = require "socket"

local SCRIPTS = process.run("pwd"):gsub("\n", "") .. "/spec/hosts"
local LIFETIME, RENEW_BEFORE, TIMEOUT = 6, 3, 2
-- Seconds of one call within a host that waits for no timeout, not even for half of one, as it does for a lock.
local SOON = TIMEOUT / 2

local folder, server, port

local function environment()
  local env = process.credentials(server, folder .. "/cache")
  env.HOME, env.FOLDER, env.SCRIPTS, env.DOCUMENT_ROOT, env.TOLD = folder, folder, SCRIPTS, folder, folder .. "/told"
  env.TERM, env.PORT, env.CENTRAL_API, env.CENTRAL_TIMEOUT = "xterm", port, server.base_url, TIMEOUT
  env.CENTRAL_RENEW_BEFORE = RENEW_BEFORE
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

-- Begins a request; a function that returns status and body once they are there, `seconds` waited for them.
local function request(path)
  local connection = assert(socket.connect("127.0.0.1", port))
  local text = ""
  assert(connection:send(("GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"):format(path)))
  return function(seconds)
    connection:settimeout(seconds or 0)
    local rest, why, part = connection:receive "*a"
    text = text .. (rest or part)
    if why ~= "timeout" then
      connection:close()
      return text:match "^HTTP/%S+ (%d+)[^\n]*\n.-\r\n\r\n(.*)$"
    end
  end
end

local function get(path)
  return request(path)(10)
end

-- What spec/hosts/timed.lua says of a call: its begin and end, and the token where the API took it, or the message.
local function told(line)
  local begun, ended, status, text = (line or ""):match "^([%d.]+) ([%d.]+) (%S+) (.-)\n?$"
  assert(begun, line)
  local token = status == "200" and text:match "^Bearer (.+)$" or nil
  return { begun = tonumber(begun), ended = tonumber(ended), seconds = ended - begun, token = token, message = text }
end

-- To ask a host: `begin` begins it and returns a function that returns what was told, once it was. Meanwhile others may
-- be answered: `other` asks for something else; how often it was, from begin to end of that call.
local function ask(begin, other)
  local ended, spans, answer, within = begin(), {}, nil, 0
  process.wait_until(function()
    local asked = cqueues.monotime()
    if other then
      other()
      spans[asked] = cqueues.monotime()
    end
    answer = ended()
    return answer
  end, 30, "an answer")
  for asked, got in pairs(spans) do
    within = within + (asked > answer.begun and got < answer.ended and 1 or 0)
  end
  return answer, within
end

-- What became of calls. One without a token either waited for it, and then its message says which server was asked, if
-- it was not too late for that; or it was spared that, for another had waited so lately.
local function count(seen, answer)
  if answer.token then
    seen.distinct = seen.distinct + (seen.tokens[answer.token] and 0 or 1)
    seen.tokens[answer.token] = true
    seen.longest = math.max(seen.longest, answer.seconds)
    return
  end
  seen.failures = seen.failures + 1
  if answer.message:find "not tried again for" then
    seen.spared = seen.spared + 1
    seen.longest = math.max(seen.longest, answer.seconds)
  else
    seen.waits = seen.waits + 1
    seen.longest_wait = math.max(seen.longest_wait, answer.seconds)
    seen.unsaid = seen.unsaid + (answer.message:find("(asking ", 1, true) and 0 or 1)
  end
end

-- Asks, every 50 ms, for so many seconds, or until it is `enough`; what came of it.
local function keep_asking(begin, seconds, enough, other)
  local seen = { tokens = {}, distinct = 0, failures = 0, spared = 0, waits = 0, unsaid = 0, longest = 0,
    longest_wait = 0, others = 0 }
  local before, deadline = server:requests().token, cqueues.monotime() + seconds
  repeat
    local answer, others = ask(begin, other)
    count(seen, answer)
    seen.others = math.max(seen.others, others)
    cqueues.sleep(0.05)
  until cqueues.monotime() > deadline or enough and enough(seen)
  seen.requests = server:requests().token - before
  return seen
end

-- The whole life: two renewals that nobody notices, a silent server, its return. A host that never waits has no
-- `other`.
local function live_through(begin, other)
  local good = keep_asking(begin, 4 * LIFETIME, function(seen) return seen.distinct >= 3 end)
  assert.equal(0, good.failures)
  assert.is_true(good.distinct >= 3, good.distinct)
  assert.is_true(good.longest < SOON, good.longest)
  assert.is_true(good.requests <= good.distinct + 1, good.requests)
  server:latency(1000)
  local silent = keep_asking(begin, 60, function(seen)
    return seen.spared >= 1 and (not other or seen.waits >= 3 and seen.others >= 2)
  end, other)
  assert.is_true(silent.distinct >= 1) -- the last token, to its end
  assert.is_true(silent.spared >= 1) -- who waited in vain spares the next
  assert.is_true(silent.longest < SOON, silent.longest)
  assert.is_true(silent.requests >= 1, silent.requests)
  if other then
    assert.is_true(silent.waits >= 3, silent.waits)
    assert.is_true(silent.longest_wait < TIMEOUT + SOON, silent.longest_wait)
    assert.is_true(silent.unsaid <= silent.requests, silent.unsaid) -- who waits has tried
    assert.is_true(silent.others >= 2, silent.others) -- who waits keeps nobody else waiting
  else
    assert.is_true(silent.longest_wait < SOON, silent.longest_wait)
  end
  server:latency(0)
  process.wait_until(function() return ask(begin).token end, 90, "a token after the silence") -- a minute of back-off
  local back = keep_asking(begin, 1)
  assert.equal(0, back.failures)
end

-- What is in a file of the folder so far.
local function so_far(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file and file:read "a" or ""
end

-- For a script in the host that adds a line to a file for each call: a `begin` that makes it act, and what it begins.
local function by_writing(act)
  local lines = 0
  -- The line the script wrote since the last time, if it did.
  local function written()
    local text = so_far "told"
    local now = select(2, text:gsub("\n", ""))
    if now > lines then
      lines = now
      return told(text:match "[^\n]*\n$")
    end
  end
  return function()
    act()
    return written
  end, written
end

describe("within a host #hosts #slow", function()
  local running

  before_each(function()
    folder, port = process.scratch(), process.free_port()
    server = sandbox.start { lifetime = LIFETIME }
  end)
  after_each(function()
    if running then
      running:stop()
      running = nil
    end
    server:close()
    process.remove(folder)
  end)

  -- In a session of its own: lighttpd ends by a signal to its whole process group.
  local function start(command)
    table.insert(command, 1, "setsid")
    running = process.start { command = command, env = environment(), log = folder .. "/log" }
    return running
  end

  local function call_at(path)
    return function()
      local reply = request(path)
      return function()
        local status, body = reply()
        return status and told(body)
      end
    end
  end

  it("lighttpd's workers share one token and put it on requests #calm_lighttpd", function()
    start({ "lighttpd", "-D", "-f", SCRIPTS .. "/lighttpd.conf" }):wait_for_port(port, 10)
    server:latency(0.2) -- so that more than one has to wait, from a cold start
    local call = ("for i in $(seq 16); do { a=$(curl -s -m 10 -w ' %%header{worker}' %s); echo \"$a\"; } & done; wait")
      :format(url "/api/x")
    local output, late = process.run(call), 0
    while output:find "it took too long" and late < 5 do -- a machine that is busy for seconds
      output, late = process.run(call), late + 1
    end
    local workers, tokens = {}, {}
    for token, worker in output:gmatch "Bearer (%S+) (%d+)\n" do
      workers[worker], tokens[#tokens + 1] = true, token
    end
    assert.equal(16, #tokens, output)
    for _, token in ipairs(tokens) do
      assert.equal(tokens[1], token)
    end
    assert.is_truthy(next(workers, (next(workers))), output)
    assert.is_true(server:requests().token <= 1 + late, server:requests().token)
    server:latency(0)
    live_through(call_at "/api/x", function()
      assert.equal("200", (get "/seen/x"))
    end)
  end)

  it("prosody waits in its own loop, and answers others during that #calm_prosody", function()
    start({ "prosody", "-F", "--config", SCRIPTS .. "/prosody.cfg.lua" }):wait_for_port(port, 10)
    local begin = call_at "/aps"
    local first = ask(begin)
    assert(first.token, first.message)
    live_through(begin, function()
      assert.equal("alive", (select(2, get "/alive")))
    end)
    assert.is_true(running:stop(10), "it does not end by SIGTERM")
  end)

  it("dovecot's auth workers ask an API #calm_dovecot", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may run dovecot"
    end
    local version = process.run "dovecot --version"
    local file = configured(("dovecot-%s.conf"):format(version:find "^2%.[0-3]%." and "2.3" or "2.4"))
    start({ "dovecot", "-F", "-c", file })
    process.wait_until(function() return os.execute(("test -S %s/run/auth-userdb"):format(folder)) end, 10, "dovecot")
    local function begin()
      os.remove(folder .. "/told")
      local asked = process.start { command = { "doveadm", "-c", file, "auth", "test", "anybody", "password" },
        log = folder .. "/asked" }
      return function()
        if not asked:alive() then
          local answer = told(so_far "told")
          assert.equal(answer.token, so_far "asked":match "token=(%S+)")
          return answer
        end
      end
    end
    local first = ask(begin)
    assert(first.token, running:output())
    live_through(begin, function()
      assert.matches("/nonexistent", (process.run(("doveadm -c %s user anybody"):format(file))))
    end)
  end)

  it("dnsmasq's lease script calls an API, and names are resolved during that #calm_dnsmasq", function()
    if process.run "id -u" ~= "0\n" then
      return pending "only root may serve DHCP"
    end
    process.write(folder .. "/leases", ("%d 02:00:00:00:00:01 127.0.0.101 one *\n"):format(os.time() + 86400))
    start({ "dnsmasq", "-C", configured "dnsmasq.conf" })
    local begin, written = by_writing(function()
      process.run(("kill -HUP %d"):format(running.pid)) -- it tells all leases anew
    end)
    local function resolve()
      local connection = socket.udp()
      connection:settimeout(5)
      connection:setpeername("127.0.0.1", port)
      connection:send "\x12\x34\x01\0\0\1\0\0\0\0\0\0\5alive\7example\0\0\1\0\1"
      assert.equal("\192\0\2\1", assert(connection:receive()):sub(-4))
      connection:close()
    end
    process.wait_until(written, 10, "dnsmasq's script")
    live_through(begin, resolve)
  end)

  it("mle's command inserts what an API says, and typing never waits #calm_mle", function()
    local F12, SAVE = "\27[24~", "\19"
    local keys = folder .. "/keys"
    process.run("mkfifo " .. keys)
    local editor = ("mle -N -H 0 -x %s/mle.lua -K central,,1 -k cmd_central,f12, -n central"):format(SCRIPTS)
    start { "sh", "-c", ("cd %s && exec script -qec '%s text' /dev/null <>keys"):format(folder, editor) }
    local function press(text)
      local out <close> = io.open(keys, "w")
      out:write(text)
    end
    local begin = by_writing(function() press(F12) end)
    process.wait_until(function() return so_far "log":find("?1000l", 1, true) end, 10, "the editor") -- no mouse: ready
    process.wait_until(function() return ask(begin).token end, 10, "a token")
    live_through(begin)
    server:latency(1000)
    cqueues.sleep(LIFETIME)
    press(F12 .. "typed" .. SAVE)
    process.wait_until(function() return so_far "text":find "on its way\ntyped" end, 10, "the text")
  end)
end)

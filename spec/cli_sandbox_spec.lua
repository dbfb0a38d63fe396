-- central-auth sandbox: what it prints, signals, options; and programs that use it.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local command = require "spec.support.command"
local cqueues = require "cqueues"
local curl = require "spec.support.curl"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth sandbox", function()
  local home, running, out

  before_each(function() home = command.home() end)
  after_each(function()
    running:stop()
    home:remove()
  end)

  local function start(options)
    out = process.write(home.folder .. "/out", "")
    running = process.start { command = { "sh", "-c", "exec " .. home:words("sandbox " .. options) .. " >" .. out },
      log = home.folder .. "/log" }
    process.wait_until(function() return process.read(out):find "GREENLAKE_URL.-\n" end, 30, "its lines")
    local server = {}
    for name, value in process.read(out):gmatch "CENTRAL_([%w_]+)='(.-)'" do
      server[name:lower()] = value
    end
    return server
  end

  it("prints the four lines that make programs use it, and nothing else where nobody looks", function()
    local server = start "--lifetime 77s --fail 503x1 --latency 20ms"
    local lines, count = process.read(out), 0
    for line in lines:gmatch "[^\n]+" do
      count = count + 1
      assert.matches("^export[+]+$", (line:gsub(" CENTRAL_[%u_]+='[^' ]+'", "+")))
    end
    assert.equal(4, count)
    local other <close> = sandbox.start()
    for name, value in pairs(other:options()) do
      assert.equal(type(value) == "string", server[name] ~= nil, name)
    end
    local used = process.run(("eval \"$(cat %s)\"; %s"):format(out, "CENTRAL_CACHE=off lua5.4 -e '"
      .. "local auth = require \"central.auth\" print(auth.token() and auth.status().lifetime)'"))
    assert.equal("77\n", (used:gsub("%.0", "")))
    assert.equal(2, select(2, curl(server, "/sandbox")).requests.token)
    assert.is_nil(running:output():find("POST /as", 1, true))
  end)

  it("obeys signals, and ends without leaving a file", function()
    local server = start "--quiet"
    local options = { client_id = server.client_id, client_secret = server.client_secret,
      token_url = server.token_url, ca_file = server.ca_file, cache = false, timeout = 8 }
    local client <close> = assert(auth.new(options))
    local header = "-H 'Authorization: " .. assert(client:header()) .. "'"
    local function signal(name)
      process.run(("kill -%s %d"):format(name, running.pid))
    end
    local function answers(path, status)
      process.wait_until(function() return curl(server, path, header) == status end, 30, path .. ": " .. status)
    end
    answers("/network-monitoring/v1/aps", 200)
    signal "USR1"
    answers("/network-monitoring/v1/aps", 401)
    signal "USR2"
    local function failure()
      return select(2, curl(server, "/sandbox")).fail.token
    end
    process.wait_until(function() return failure().status == 503 end, 30, "an outage")
    assert.equal(503, (select(4, client:renew())).status)
    signal "USR2"
    process.wait_until(function() return failure().times == 0 end, 30, "its end")
    signal "TERM"
    process.wait_until(function() return not running:alive() end, 30, "its end")
    assert.is_nil(io.open(server.ca_file))
    assert.equal("", running:output())
  end)

  it("takes port, latency and rate limit #slow", function()
    local port = process.free_port()
    local server = start(("--port %d --latency 0.3s --rate-limit 2"):format(port))
    assert.equal(("https://127.0.0.1:%d"):format(port), server.base_url)
    local clock = cqueues.monotime
    local started = clock()
    assert.equal(200, (curl(server, "/as/token.oauth2", ("-d grant_type=client_credentials -d client_id=%s"
      .. " -d client_secret=%s"):format(server.client_id, server.client_secret))))
    assert.is_true(clock() - started >= 0.3)
    assert.equal(401, (curl(server, "/x")))
    assert.equal(429, (curl(server, "/x")))
  end)

  it("says what is wrong with its options", function()
    running = { stop = function() end }
    local other <close> = sandbox.start()
    local _, said, status = home:run("sandbox --port " .. other.base_url:match "%d+$")
    assert.equal(1, status)
    assert.matches("can't start: .*in use", said)
  end)
end)

describe("central-auth sandbox with a program #job_program", function()
  local home

  before_each(function() home = command.home() end)
  after_each(function() home:remove() end)

  -- What is in the folder for temporary files, and which processes were started with it.
  local function left_behind()
    local list = "ls -A %s/tmp; grep -lsaF TMPDIR=%s/tmp /proc/[0-9]*/environ"
    return (process.run(list:format(home.folder, home.folder)))
  end

  -- Runs `central-auth sandbox line`; standard output, standard error, exit status. Nothing must be left after it.
  local function run(line, more)
    process.run("mkdir -p " .. home.folder .. "/tmp")
    local variables = { TMPDIR = home.folder .. "/tmp" }
    for name, value in pairs(more or {}) do
      variables[name] = value
    end
    local output, errors, status = home:run("sandbox " .. line, variables, "input\n")
    assert.equal("", left_behind())
    return output, errors, status
  end

  it("gives it input, output, arguments and the variables of a client, and nothing else of ours", function()
    local output, errors, status = run([[sh -c 'cat; echo "$@"; env' sh -- -x "a b"]],
      { CENTRAL_CACHE = "off", CENTRAL_SCOPE = "some", CENTRAL_PROFILE = "none", KEPT = "1" })
    assert.same({ "", 0 }, { errors, status })
    assert.matches("^input\n%-%- %-x a b\n", output)
    assert.matches("\nKEPT=1\n", output)
    local names, server <close> = {}, sandbox.start()
    for name in output:gmatch "\nCENTRAL_([%u_]+)=" do
      names[name:lower()] = true
    end
    local expected = { profile = true, cache = true }
    for name in pairs(server:options()) do
      expected[name] = true
    end
    assert.same(expected, names)
    assert.matches("\nCENTRAL_PROFILE=off\n", output)
    assert.matches("\nCENTRAL_CACHE=" .. home.folder:gsub("%p", "%%%0") .. "/tmp/", output)
  end)

  it("lets it use central.auth and the command, on one token, without the user's profile and folders", function()
    home:write_profile 'return { client_id = "x", scope = "y", renew_before = "no number" }'
    local ask = [[lua5.4 -e 'print(require("central.auth").token())']]
    local output, errors, status = run(("sh -c %s"):format(process.quote(("%s; lua5.4 lua/central-auth token;"
      .. " lua5.4 lua/central-auth api /network-monitoring/v1/aps --query limit=1"):format(ask))))
    assert.same({ "", 0 }, { errors, status })
    local first, second, reply = output:match "^(%S+)\n(%S+)\n({.*})\n$"
    assert.equal(first, second)
    assert.matches('"count":1,', reply)
    assert.equal("config\nstderr\nstdin\ntmp\n", (process.run("ls " .. home.folder)))
  end)

  it("takes the sandbox's options before it, and after the first word that is none the program's own", function()
    local lifetime = [[lua5.4 -e 'local a = require "central.auth" a.token() print(a.status().lifetime)']]
    for _, line in ipairs { "--lifetime 77 -- ", "--lifetime=77 ", "-q --lifetime 77 -- " } do
      assert.matches("^77", (run(line .. lifetime)))
    end
    assert.equal("--port x\n", (run "--port 0 echo --port x"))
    assert.matches("sandbox", (run "lua5.4 lua/central-auth sandbox --help"))
  end)

  it("ends with its status, 128 + N after signal N, 127 where there is none, 126 where it can't run", function()
    assert.equal(7, select(3, run "sh -c 'exit 7'"))
    assert.equal(143, select(3, run "sh -c 'kill -TERM $$'"))
    local _, errors, status = run "no-such-program"
    assert.same({ "central-auth: no-such-program: No such file or directory\n", 127 }, { errors, status })
    assert.equal(126, select(3, run "/etc/passwd"))
    local script = process.write(home.folder .. "/script", "exit 5\n", "755") -- without #!
    assert.equal(5, select(3, run(script)))
    for _, line in ipairs { "--", "''", "-- ''" } do
      _, errors, status = run(line)
      assert.same({ "central-auth: CMD is empty; check for an unset variable\n", 2 }, { errors, status })
    end
  end)

  it("gives it no descriptor and no blocked signal", function()
    local list = "ls /proc/self/fd | wc -l"
    local plain, ours = process.run(list .. "; " .. home:words("sandbox -- " .. list)):match "(%d+)%s+(%d+)"
    assert.equal(plain, ours)
    local signals = "grep -Eo 'SigBlk.*|SigIgn.*' /proc/self/status | grep -o '.\\{8\\}$'" -- without those of threads
    assert.equal(process.run(signals), (run(signals)))
  end)

  -- Starts a shell script in a sandbox; returns the sandbox's process once the script has written "ready".
  local function start(script)
    process.run("mkdir -p " .. home.folder .. "/tmp")
    local log = process.write(home.folder .. "/log", "")
    local line = home:words("sandbox sh -c " .. process.quote(script), { TMPDIR = home.folder .. "/tmp" })
      :gsub("^env", "%0 --default-signal=INT,QUIT") -- which the shell ignores in the background
    local started = process.start { command = { "sh", "-c", "exec " .. line }, log = log }
    process.wait_until(function() return process.read(log):find "ready" end, 30, "the program")
    return started
  end

  it("passes signals on to it, and ends after it", function()
    for _, name in ipairs { "INT", "TERM", "HUP", "QUIT" } do
      local started <close> = start(("trap 'echo got %s; exit 3' %s; echo ready; while :; do sleep 0.02; done"):format(
        name, name))
      process.run(("kill -%s %d"):format(name, started.pid))
      process.wait_until(function() return not started:alive() end, 30, "the end")
      assert.equal(("ready\ngot %s\n"):format(name), started:output())
      assert.equal("", left_behind())
    end
  end)

  it("passes no signal of the terminal on, which the program receives itself", function()
    local seen = home.folder .. "/seen"
    local line = home:words(("sandbox strace -D -qq -o %s -e trace=none sh -c %s"):format(seen, process.quote(
      "trap 'echo got' INT; echo ready; while [ ${#n} -lt 10 ]; do sleep 0.02; n=x$n; done; echo end; exit 4")))
    local shown, status = command.play(line, { { "ready", "\3" }, { "got", "" }, { "end", "" } })
    assert.equal(4, status, shown)
    local _, of_terminal = process.read(seen):gsub("SIGINT {si_signo=SIGINT, si_code=SI_KERNEL", "")
    local _, all = process.read(seen):gsub("SIGINT {", "")
    assert.same({ 1, 1 }, { of_terminal, all })
  end)

  it("starts no program that was interrupted before it began #slow", function()
    local line = "strace -I3 -qq -e trace=clone -e inject=clone:delay_enter=300000 "
      .. home:words("sandbox sh -c 'echo begun; sleep 0.5; echo on'", { TMPDIR = home.folder })
    local shown, status = command.play(line, { { "clone(", "\3" } })
    assert.equal(130, status, shown)
    assert.is_nil(shown:find("\non", 1, true))
  end)

  it("revokes tokens and begins outages by signals meanwhile", function()
    local started <close> = start([[
      ask() { curl -s --cacert "$CENTRAL_CA_FILE" -H "Authorization: Bearer $token" -w '%{http_code}' \
        "$CENTRAL_BASE_URL$1"; }
      token=$(lua5.4 lua/central-auth token); ask /network-monitoring/v1/gateways | tail -c 3; echo " ready"
      until ask /network-monitoring/v1/gateways | grep -q '401$'; do sleep 0.02; done; echo revoked
      until ask /sandbox | grep -q 503; do sleep 0.02; done; echo outage]])
    for _, step in ipairs { { "USR1", "revoked" }, { "USR2", "outage" } } do
      process.run(("kill -%s %d"):format(step[1], started.pid))
      process.wait_until(function() return started:output():find(step[2]) end, 30, step[2])
    end
    assert.equal("200 ready\nrevoked\noutage\n", started:output())
    process.wait_until(function() return not started:alive() end, 30, "the end")
  end)
end)

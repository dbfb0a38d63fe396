-- central-auth sandbox: runs a mock of GreenLake and Central on this machine, and shows each request; or a program that
-- uses it.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local exec = require "central.auth.cli.commands.exec"
local result = require "central.auth.cli.result"
local terminal = require "central.auth.cli.terminal"

local sandbox = {}

local LOG_POLL = 0.1 -- seconds between reads of the log

local HINT = [[

Paste these four lines into another shell. Ctrl-C stops the server. USR1 revokes all tokens, USR2 starts and ends an
outage of the token endpoint; or, for example: curl --cacert %s -X POST '%s/sandbox/fail?status=503&times=3'
]]

sandbox.summary = "Run a mock of GreenLake and Central on this machine."
sandbox.description = "Serves GreenLake's token endpoint and a part of Central's API on the loopback address, over"
  .. " TLS, and prints the four lines that make programs use it: paste them into another shell. On a terminal it"
  .. " shows each request. It simulates failures, as options say, or signals (USR1 revokes all tokens, USR2"
  .. " starts and ends an outage of the token endpoint), or a POST to /sandbox/revoke, fail?status=503&times=3,"
  .. " recover, lifetime?seconds=, latency?seconds= and rate_limit?per_minute=. INT (Ctrl-C), TERM or HUP stop it. With"
  .. " CMD it prints nothing, but runs CMD with those variables and no other CENTRAL_ variable, without a profile, and"
  .. " with its own cache. It passes INT, TERM, HUP and QUIT on to CMD, and ends with CMD and its status (128 + N after"
  .. " signal N). Needs lua-http."
sandbox.options = {
  { "--port", value = "N", number = "port", help = "Listen on this port; default: any free port." },
  { "--lifetime", value = "DURATION", number = "duration", help = "Lifetime of tokens, like 90 (seconds), 2m or 1h;"
    .. " default 7199, and 899 for workspaces and tenants, like GreenLake's." },
  { "--fail", value = "STATUSxTIMES", number = "failure", help = "Fail the first token requests: 503x3, or 503x* for"
    .. " all." },
  { "--latency", value = "DURATION", number = "duration", help = "Time that each token request takes, like 500ms"
    .. " or 2 (seconds)." },
  { "--rate-limit", value = "N", number = "count", help = "Limit of requests per minute; further ones get a 429." },
}
sandbox.arguments = { { name = "cmd", args = "*", help = "The program and its arguments." } }
sandbox.statuses = exec.statuses
sandbox.examples = {
  { "central-auth sandbox -- ./tests.sh", "The tests of a script, against a sandbox of their own." },
  { "central-auth sandbox --lifetime 60 --fail 503x2", "Short lifetimes, and two failures at first." },
  { "kill -USR1 PID", "Revoke all tokens: programs get a 401." },
}

-- The options for another shell, a line for each purpose: credentials, trust, tokens, API calls.
local EXPORTS = {
  { "client_id", "client_secret" }, { "ca_file" }, { "token_url", "revocation_url" }, { "base_url", "greenlake_url" },
}

local function print_exports(server)
  local values, lines = server:options(), {}
  for i, names in ipairs(EXPORTS) do
    local words = { "export" }
    for _, name in ipairs(names) do
      words[#words + 1] = ("CENTRAL_%s='%s'"):format(name:upper(), values[name])
    end
    lines[i] = table.concat(words, " ")
  end
  result(table.concat(lines, "\n"))
end

local function print_entry(entry)
  local colour = entry.status < 300 and "32" or entry.status < 500 and "33" or "31"
  io.stderr:write(("%s  %s  %-4s %s  %.0f ms\n"):format(terminal.time_of_day(entry.at),
    terminal.paint(colour, ("%d"):format(entry.status), 2), entry.method, errors.printable(entry.path), entry.ms))
end

local function on_signal(signal, number, server, state)
  if number == signal.SIGUSR1 then
    server:revoke()
    return "all tokens are revoked"
  elseif number == signal.SIGUSR2 then
    state.outage = not state.outage
    if state.outage then
      server:fail { status = 503, times = math.huge }
      return "an outage starts: 503"
    end
    server:recover()
    return "the outage ends"
  end
  state.ended = true
end

local function serve(options, server, signal, listener)
  local state, live = {}, terminal.columns(2) ~= nil and not options.quiet
  repeat
    local number = listener:wait(LOG_POLL)
    local message = number and on_signal(signal, number, server, state)
    for _, entry in ipairs(live and server:log() or {}) do
      print_entry(entry)
    end
    if message then
      terminal.note(options, ("%s  %s"):format(terminal.time_of_day(), message))
    end
  until state.ended
end

-- Runs CMD as a client of this server until it ends; returns its exit status.
local function run_program(cmd, server, signal)
  local console = require "central.auth.console"
  -- Neither a profile nor a token of this server stays in, or comes from, the user's folders.
  local variables = { "CENTRAL_PROFILE=off", "CENTRAL_CACHE=" .. server.ca_file:gsub("[^/]*$", "cache") }
  for name, value in pairs(server:options()) do
    variables[#variables + 1] = value and ("CENTRAL_%s=%s"):format(name:upper(), value) or nil
  end
  local child, why, absent = console.start(cmd, "CENTRAL_", variables)
  if not child then
    return exec.failed(cmd, child, why, absent)
  end
  local state = {}
  local status, number = console.attend(child)
  while not status do
    on_signal(signal, number, server, state)
    status, number = console.attend(child)
  end
  return status
end

--- Serves until a signal, or the end of CMD, ends it.
---@param options table
function sandbox.run(options)
  local cmd = options.cmd[1] and options.cmd
  local start = require("central.auth.sandbox").start
  local signal = require "cqueues.signal"
  local numbers = { signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
    cmd and signal.SIGCHLD, cmd and signal.SIGQUIT }
  signal.block(table.unpack(numbers)) -- first: the server's thread must not receive them
  local server <close> = start { port = options.port, lifetime = options.lifetime, fail = options.fail,
    latency = options.latency, rate_limit = options.rate_limit }
  if cmd then
    return run_program(cmd, server, signal)
  end
  local listener = signal.listen(table.unpack(numbers))
  print_exports(server)
  terminal.note(options, HINT:format(server.ca_file, server.base_url))
  serve(options, server, signal, listener)
end

return sandbox

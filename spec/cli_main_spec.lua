-- How central-auth ends: mistakes in its arguments, no token, no room for what it prints, Ctrl-C; in processes of their
-- own against the sandbox.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config.resolve").VERSION
local command = require "spec.support.command"
local sandbox = require "central.auth.sandbox"

describe("central-auth ends", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  it("with 2 and the nearest name when the arguments are wrong", function()
    for line, said in pairs {
      ["tokn"] = "unknown command 'tokn'.*Did you mean 'token'%?.*See central%-auth %-%-help",
      ["token --heder"] = "unknown option '%-%-heder'.*Did you mean '%-%-header'%?.*See central%-auth token %-%-help",
      ["token --json --header"] = "can not be used together",
      ["token --min-valid soon"] = "%-%-min%-valid: not a duration, like 30, 500ms, 2m or 1h: soon\n",
      ["token --min-valid=-5"] = "%-%-min%-valid: not a duration, like 30, 500ms, 2m or 1h: %-5\n",
      ["token --min-valid 1e3"] = "%-%-min%-valid: not a duration",
      ["exec --min-valid 0x10 -- ls"] = "%-%-min%-valid: not a duration",
      ["api /x --timeout 0s"] = "%-%-timeout: not a duration above 0 and up to 1h, like 30 or 500ms: 0s\n",
      ["api /x --timeout 61m"] = "%-%-timeout: not a duration above 0 and up to 1h, like 30 or 500ms: 61m\n",
      ["api /x --query x"] = "%-%-query: not like NAME=VALUE: x\n",
      ["api x"] = "PATH must begin with / or https://: x\n",
      ["sandbox --port 70000"] = "%-%-port: not the number of a port, like 8443: 70000\n",
      ["sandbox --rate-limit 0.5"] = "%-%-rate%-limit: not a whole number above 0, like 60: 0.5\n",
      ["sandbox --latency=-1"] = "%-%-latency: not a duration, like 30, 500ms, 2m or 1h: %-1\n",
      ["sandbox --lifetime 1d"] = "%-%-lifetime: not a duration, like 30, 500ms, 2m or 1h: 1d\n",
      ["sandbox --fail 999"] = "%-%-fail: not a status and a number of times, like 503x3: 999\n",
      ["-p '' token"] = "^central%-auth: %-%-profile: the value is empty\n",
      ["api-clients create x --save-to ''"] = "%-%-save%-to: the value is empty\n",
      ["api-clients create '' --show"] = "NAME: the value is empty\n", ["api ''"] = "PATH: the value is empty\n",
      ["sandbox --fail 5033"] = "%-%-fail: not a status and a number of times, like 503x3: 5033\n",
      ["exec -- ''"] = "CMD is empty",
      ["exec --min-vald 600 -- true"] = "unknown option '%-%-min%-vald'.*Did you mean '%-%-min%-valid'",
      ["sandbox --fail often"] = "%-%-fail: not a status and a number of times, like 503x3: often\n",
      ["login --client-secret=hush"] =
        "'%-%-client%-secret': other users can see arguments; central%-auth login %-%-client%-secret%-file FILE",
      ["help tokn"] = "unknown command 'tokn'.*Did you mean 'token'%?.*See central%-auth %-%-help",
      ["help api-clients rest"] = "unknown command 'rest'.*See central%-auth api%-clients %-%-help",
      ["help token more"] = "too many arguments", ["version 2"] = "too many arguments",
      ["help ''"] = "COMMAND: the value is empty\n",
      ["terminal"] = "unknown command 'terminal'\nSee central%-auth %-%-help",
      [""] = "a command is required",
      ["completion tcsh"] = "must be one of 'bash', 'zsh', 'fish'",
    } do
      local output, errors, status = home:run(line)
      assert.equal(2, status, line)
      assert.equal("", output)
      assert.matches("^central%-auth: ", errors)
      assert.matches(said, errors)
    end
  end)

  it("with 1 and the reason on standard error when there is no token", function()
    local output, errors, status = home:run("token -q", { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" })
    assert.equal("", output)
    assert.equal(1, status)
    assert.matches("^central%-auth: the server answered invalid_client", errors)
    output, errors, status = home:run("token", { CENTRAL_CLIENT_ID = false })
    assert.equal("1 ", status .. " " .. output)
    assert.matches("CENTRAL_CLIENT_ID", errors)
    local nothing = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false }
    local first = 'central-auth: no credentials: run "central-auth login", or set CENTRAL_CLIENT_ID and'
      .. " CENTRAL_CLIENT_SECRET\nProfile: " .. home:profile() .. ". "
    assert.equal(first .. "Create credentials in HPE GreenLake: Manage Workspace, Personal API clients, Create Personal"
      .. " API client.\n", home:fails("token", nothing))
    nothing.CENTRAL_CLIENTID = "x"
    assert.equal(first .. "CENTRAL_CLIENTID is not a variable of central-auth, and is ignored; did you mean"
      .. " CENTRAL_CLIENT_ID?\n", home:fails("token", nothing))
  end)

  it("with 1 when what it prints can't be written", function()
    local lines = { "--version", "--help", "token", "token --json", "status", "status --json", "doctor --offline",
      "completion bash", "help", "help token", "version",
      "api /network-monitoring/v1/gateways", "api /network-monitoring/v1/gateways --pages",
      "api /no/such/thing", "api-clients list", "sandbox" }
    for _, name in ipairs(require("central.auth.cli.texts").command_names) do
      lines[#lines + 1] = name .. " --help"
    end
    local of_server = { CENTRAL_BASE_URL = server.base_url, CENTRAL_GREENLAKE_URL = server.base_url }
    for _, line in ipairs(lines) do
      local _, errors, status = home:run(line .. " >/dev/full", of_server)
      assert.equal(1, status, line)
      assert.matches("^central%-auth: can't write to standard output: No space left", errors, line)
    end
  end)

  it("with 130 on Ctrl-C while the server is silent #slow", function()
    local listener = require("cqueues.socket").listen { host = "127.0.0.1", port = 0 }
    assert(listener:listen())
    local url = ("https://127.0.0.1:%d/"):format(select(3, listener:localname()))
    local line = "token & pid=$!; sleep 0.8; kill -INT $pid; wait $pid"
    local _, errors, status = home:run(line, { CENTRAL_TOKEN_URL = url })
    listener:close()
    assert.equal("", errors)
    assert.equal(130, status)
  end)

  it("with 0 after --version and --help, which are subcommands too", function()
    for _, line in ipairs { "--version", "version", "version -q" } do
      assert.same({ "central-auth " .. VERSION .. "\n", "", 0 }, { home:run(line) })
    end
    assert.matches("^Usage: central%-auth ", (home:run "--help"))
    for line, other in pairs {
      ["--help"] = "help", ["token --help"] = "help token", ["exec -h"] = "help exec", ["help -h"] = "help help",
      ["api-clients reset --help"] = "help api-clients reset",
    } do
      local output, errors, status = home:run(line)
      assert.equal("0 ", status .. " " .. errors)
      assert.same({ output, "", 0 }, { home:run(other) })
    end
  end)
end)

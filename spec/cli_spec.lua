-- The command central-auth in scripts: what each subcommand prints and how it ends, in processes of their own against
-- the sandbox.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config.resolve").VERSION
local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

local TOKEN = "^[%w_-]+%.[%w_-]+%.[%w_-]+\n$"

describe("central-auth", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

  describe("token", function()
    it("prints a token, one for all processes", function()
      local before = server:requests().token
      local token, errors, status = home:run "token"
      assert.matches(TOKEN, token)
      assert.equal("", errors)
      assert.equal(0, status)
      assert.equal(token, (home:run "token"))
      assert.equal("Bearer " .. token, (home:run "token --header"))
      assert.equal(token, (home:run "-q token --min-valid 60"))
      assert.equal(before + 1, server:requests().token)
    end)

    it("prints it as JSON and as a curl configuration, which curl takes", function()
      local token = home:run("token"):match "%S+"
      local json = cjson.decode((home:run "token --json"))
      assert.equal(token, json.access_token)
      assert.equal("Bearer", json.token_type)
      assert.near(7199, json.expires_in, 10)
      assert.near(os.time() + 7199, json.expires_at, 10)
      local answer = home:run(("token --curl | curl -sS --cacert %s -K - %s/network-monitoring/v1/gateways"):format(
        server.ca_file, server.base_url))
      assert.equal(2, cjson.decode(answer).count)
    end)

    it("writes a token of any characters so that curl reads it", function()
      local other <close> = rude.start { replies = rude.reply(200, nil,
        '{"access_token":"a\\"b\\\\c","token_type":"Bearer","expires_in":3600}') }
      local own <close> = command.home(server, { CENTRAL_TOKEN_URL = other.url })
      own:run(("token --curl | curl -sS -K - %s"):format(other.url:gsub("/as/.*", "/x")))
      assert.equal('Bearer a"b\\c', other:requests()[2].headers.authorization)
    end)

    it("renews a token in its window before it ends, after it gave the old one away #slow #timing", function()
      local short <close> = sandbox.start { lifetime = 6 }
      local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
      local first = own:run "token"
      require("cqueues").sleep(3.1)
      assert.equal(first, (own:run "token"))
      local second = own:run "token"
      assert.not_equal(first, second)
      assert.equal(2, short:requests().token)
    end)

    it("gives a token in its window away at once, although the server is silent #slow #timing", function()
      local short <close> = sandbox.start { lifetime = 6 }
      local own <close> = command.home(short, { CENTRAL_RENEW_BEFORE = "3" })
      local first = own:run "token"
      require("cqueues").sleep(3.1)
      short:latency(60)
      local log = process.write(own.folder .. "/log", "")
      local started = process.start { command = { "sh", "-c", "exec " .. own:words "token" }, log = log }
      process.wait_until(function() return process.read(log) == first end, 2, "the token")
      started:stop()
    end)

    it("says how long a token is good for that falls short of --min-valid", function()
      local token, said, status = home:run "token --min-valid 99999"
      assert.matches(TOKEN, token)
      assert.equal("0 central-auth: this token is valid for 1 h 59 min, less than --min-valid\n",
        status .. " " .. said)
      assert.equal("", (select(2, home:run "token --min-valid 99999 -q")))
      assert.equal("", (select(2, home:run "token --min-valid 7000")))
      assert.matches("less than %-%-min%-valid", (select(2, home:run "exec --min-valid 99999 -- true")))
    end)

    it("takes the profile it is told to, and names the one that was meant", function()
      home:run "login"
      local plain = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false, CENTRAL_TOKEN_URL = false,
        CENTRAL_CA_FILE = false }
      assert.matches(TOKEN, (home:run("token", plain)))
      assert.matches(TOKEN, (home:run("--profile default token", plain)))
      assert.matches('overrides the profile "default"', (select(2, home:run "--profile default token")))
      local _, errors, status = home:run("token -p defualt", plain)
      assert.equal(1, status)
      assert.matches('did you mean "default"', errors)
    end)
  end)

  describe("ends", function()
    it("with 2 and the nearest name when the arguments are wrong", function()
      for line, said in pairs {
        ["tokn"] = "unknown command 'tokn'.*Did you mean 'token'%?.*See central%-auth %-%-help",
        ["token --heder"] = "unknown option '%-%-heder'.*Did you mean '%-%-header'%?.*See central%-auth token %-%-help",
        ["token --json --header"] = "can not be used together",
        ["token --min-valid soon"] = "%-%-min%-valid: not a number of seconds, like 30: soon\n",
        ["token --min-valid=-5"] = "%-%-min%-valid: not a number of seconds, like 30: %-5\n",
        ["token --min-valid 1e3"] = "%-%-min%-valid: not a number of seconds",
        ["exec --min-valid 0x10 -- ls"] = "%-%-min%-valid: not a number of seconds",
        ["get /x --timeout 0"] = "%-%-timeout: not a number of seconds above 0 and up to 3600, like 30: 0\n",
        ["get /x --query x"] = "%-%-query: not like NAME=VALUE: x\n",
        ["get x"] = "PATH must begin with / or https://: x\n",
        ["sandbox --port 70000"] = "%-%-port: not the number of a port, like 8443: 70000\n",
        ["sandbox --rate-limit 0.5"] = "%-%-rate%-limit: not a whole number above 0, like 60: 0.5\n",
        ["sandbox --latency=-1"] = "%-%-latency: not a number of milliseconds, like 250: %-1\n",
        ["sandbox --lifetime long"] = "%-%-lifetime: not a number",
        ["sandbox --fail 999"] = "%-%-fail: not a status and a number of times, like 503x3: 999\n",
        ["-p '' token"] = "^central%-auth: %-%-profile: the value is empty\n",
        ["credentials create x --save-to ''"] = "%-%-save%-to: the value is empty\n",
        ["credentials create '' --show"] = "NAME: the value is empty\n", ["get ''"] = "PATH: the value is empty\n",
        ["sandbox --fail 5033"] = "%-%-fail: not a status and a number of times, like 503x3: 5033\n",
        ["exec -- ''"] = "CMD is empty",
        ["exec --min-vald 600 -- true"] = "unknown option '%-%-min%-vald'.*Did you mean '%-%-min%-valid'",
        ["sandbox --fail often"] = "%-%-fail: not a status and a number of times, like 503x3: often\n",
        ["login --client-secret=hush"] =
          "'%-%-client%-secret': other users can see arguments; central%-auth login %-%-client%-secret%-file FILE",
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
      assert.matches('run "central%-auth login"', errors)
    end)

    it("with 1 when what it prints can't be written", function()
      local lines = { "--version", "--help", "token", "token --json", "status", "status --json", "doctor --offline",
        "completion bash", "get /network-monitoring/v1/gateways", "credentials list", "sandbox" }
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

    it("with 0 after --version and --help", function()
      assert.equal("central-auth " .. VERSION .. "\n", (home:run "--version"))
      local output, errors, status = home:run "--help"
      assert.equal(0, status)
      assert.equal("", errors)
      assert.matches("Usage: central%-auth", output)
    end)
  end)

  describe("status", function()
    it("tells the state by its exit status, and asks nobody", function()
      local before = server:requests().token
      local output, _, status = home:run "status"
      assert.matches("^state +none\n", output)
      assert.equal(4, status)
      home:run "token"
      output, _, status = home:run "status"
      assert.matches("^state +fresh\n", output)
      assert.equal(0, status)
      output, _, status = home:run "status --quiet"
      assert.equal("0 ", status .. " " .. output)
      assert.equal(before + 1, server:requests().token)
    end)

    it("distinguishes an expired token from none #clocks", function()
      home:run "token"
      local clocks = process.write(home.folder .. "/clocks", ("i8i8"):pack(3 * 3600, 3 * 3600))
      local later = { LD_PRELOAD = os.getenv "BUILD" .. "/spec_clocks.so", CLOCKS_FILE = clocks }
      local output, _, status = home:run("status --json", later)
      local json = cjson.decode(output)
      assert.equal("expired", json.state)
      assert.equal(0, json.expires_in)
      assert.near(os.time() + 7200, json.expires_at, 30)
      assert.equal(3, status)
      assert.equal(3, select(3, home:run("status --quiet", later)))
      home:run("token", later)
      assert.equal(0, select(3, home:run("status --quiet", later)))
    end)

    it("shows the same time of renewal at each start", function()
      local seen = {}
      for i = 1, 4 do
        home:run "token"
        for _ = 1, 3 do
          local json = cjson.decode((home:run "status --json"))
          local window = ("%.2f"):format(json.expires_in - json.renews_in)
          assert.equal(window, seen[i] or window)
          seen[i] = window
        end
        home:run "renew"
      end
      assert.is_false(seen[1] == seen[2] and seen[2] == seen[3] and seen[3] == seen[4], "each token has its own time")
    end)

    it("prints JSON, with the failure other processes remember", function()
      local wrong = { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" }
      home:run("token", wrong)
      local output, _, status = home:run("status --json", wrong)
      local json = cjson.decode(output)
      assert.equal(4, status)
      assert.equal("none", json.state)
      assert.matches("invalid_client", json.last_error)
      assert.is_nil(output:find("certainly-not-the-secret", 1, true))
    end)

    it("fails where there are no credentials", function()
      local _, errors, status = home:run("status", { CENTRAL_CLIENT_ID = false })
      assert.equal(1, status)
      assert.matches("no client id", errors)
    end)
  end)

  describe("renew and invalidate", function()
    it("get a new token now", function()
      local first = home:run "token"
      local output, errors, status = home:run "renew"
      assert.equal("0 ", status .. " " .. output)
      assert.matches("A new token, valid for 1 h 59 min", errors)
      local second = home:run "token"
      assert.not_equal(first, second)
      assert.equal("", select(2, home:run "renew --quiet"))
      assert.not_equal(second, (home:run "token"))
    end)

    it("forget a token that the API refused, unless another has taken its place", function()
      local first = home:run "token"
      local function refuse(token)
        return (select(2, home:run("invalidate -", nil, token)))
      end
      home:run "renew"
      assert.matches("Nothing to forget", refuse(first))
      local second = home:run "token"
      assert.matches("forgotten", refuse(second))
      assert.not_equal(second, (home:run "token"))
      assert.matches("forgotten", (select(2, home:run "invalidate")))
      assert.matches("there is no token on standard input", home:fails "invalidate -")
      assert.equal(4, select(3, home:run "status -q"))
    end)
  end)

  describe("exec", function()
    it("gives the program the token and nothing else of ours", function()
      local token = home:run "token"
      local output, _, status = home:run("exec -- env", { CENTRAL_FOO = "bar", KEPT = "1" })
      assert.equal(0, status)
      local ours = {}
      for name, value in output:gmatch "(CENTRAL_[%w_]+)=([^\n]*)" do
        ours[name] = value
      end
      assert.same({ CENTRAL_TOKEN = token:match "%S+" }, ours)
      assert.matches("KEPT=1", output)
    end)

    it("becomes the program: arguments, exit status, signals, input and output, no descriptor more", function()
      local output, _, status = home:run([[exec -- sh -c 'cat; echo "$@"; exit 7' sh -- -x "a b"]], nil, "in\n")
      assert.equal("in\n-- -x a b\n", output)
      assert.equal(7, status)
      assert.equal(143, select(3, home:run [[exec -- sh -c 'kill -TERM $$']]))
      local list = "ls /proc/self/fd | wc -l"
      local plain, ours = process.run(list .. "; " .. home:words("exec -- " .. list)):match "(%d+)%s+(%d+)"
      assert.equal(plain, ours)
      local signals = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
      assert.equal(process.run(signals), (home:run("exec -- " .. signals)))
    end)

    it("ends with 127 where there is no such program, 126 where it can't be run", function()
      local _, errors, status = home:run "exec -- no-such-program"
      assert.equal(127, status)
      assert.matches("^central%-auth: no%-such%-program: No such file", errors)
      assert.equal(126, select(3, home:run "exec -- /etc/passwd"))
    end)

    it("takes the first word that is no option as the program, and all after it as its arguments", function()
      for line, words in pairs {
        ["exec echo hi"] = "hi", ["exec echo -p -- --help"] = "-p -- --help", ["exec --min-valid 3 echo -q"] = "-q",
        ["-q exec --min-valid=3 echo -x"] = "-x", ["exec -- echo -l"] = "-l",
        ["exec --min-valid=3 -q -- echo -p"] = "-p", ["exec echo exec -q"] = "exec -q",
      } do
        local output, errors, status = home:run(line)
        assert.equal("0 " .. words .. "\n", status .. " " .. output, line .. errors)
      end
      assert.matches("profile", home:fails "exec -qp none echo --help")
      assert.matches("profile", home:fails "exec -pnone echo --help")
      assert.equal("2", tostring(select(3, home:run "exec")))
      assert.equal("2", tostring(select(3, home:run "exec --")))
    end)

    it("runs nothing without a token", function()
      local output, _, status = home:run("exec -- echo ran", { CENTRAL_CLIENT_SECRET = "certainly-not-the-secret" })
      assert.equal("1 ", status .. " " .. output)
    end)
  end)
end)

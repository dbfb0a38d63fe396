-- central-auth exec: a program in its place, with a token in the environment.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth exec", function()
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server) end)
  after_each(function() home:remove() end)

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

-- What the command needs of terminals. (Asking and becoming are played in cli_login_spec and cli_exec_spec.)
-- SPDX-License-Identifier: MIT

local console = require "central.auth.console"
local core = require "central.auth.core"
local process = require "spec.support.process"

describe("console", function()
  it("knows what is a terminal and how wide", function()
    assert.is_nil(console.columns(99))
    local code = [[print(require("central.auth.console").columns(1))]]
    assert.equal("nil\n", (process.run(("lua5.4 -e '%s' | cat"):format(code))))
    assert.matches("^80", (process.run(("script -qec %s /dev/null </dev/null"):format(process.quote(
      ("lua5.4 -e '%s'"):format(code))))))
  end)

  it("waits until a descriptor is readable, or for the time given #slow", function()
    local notifier <close> = core.notifier()
    local clock = core.clock()
    local start = clock:boot()
    assert.is_false(console.wait(notifier:fd(), 0.03))
    assert.is_true(clock:boot() - start >= 0.029)
    notifier:signal()
    assert.is_true(console.wait(notifier:fd(), 10))
  end)

  it("says why it can't ask or execute", function()
    local code = [[print(require("central.auth.console").ask "? ")]]
    assert.equal("nil\tthere is no terminal\n", (process.run(("setsid -w lua5.4 -e '%s'"):format(code))))
    for _, run in ipairs { console.exec, console.start } do
      assert.is_false(pcall(run, {}, "X", {}))
      assert.is_false(pcall(run, { "a\0b" }, "X", {}))
      assert.is_false(pcall(run, { "/none" }, "X", { "a\0b=" }))
      assert.same({ nil, "No such file or directory", true }, { run({ "/none" }, "X", { "A=b" }) })
    end
  end)
end)

-- What runs the specs side by side. SPDX-License-Identifier: MIT

local lfs = require "lfs"
local process = require "spec.support.process"

describe("the runner of specs", function()
  local folder

  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  local function write_spec(name, text)
    return process.write(("%s/%s_spec.lua"):format(folder, name), text:format(folder))
  end

  it("that is interrupted ends what runs and starts nothing more", function()
    local first = write_spec("first",
      'it("waits #slow", function() os.execute "echo >%s/begun; exec sleep 60.0375" end)')
    local second = write_spec("second", 'it("runs", function() os.execute "echo >%s/second" end)')
    local runner <close> = process.start {
      command = { "lua5.4", "spec/runner.lua", second, first }, log = folder .. "/log",
      env = { JOBS = "1", TAGS = "", EXCLUDE = "", INIT = "", RUNNER = "", LUA = "lua5.4" },
    }
    process.wait_until(function() return lfs.attributes(folder .. "/begun") end, 20, "the first spec")
    process.run("kill -INT " .. runner.pid)
    process.wait_until(function() return not runner:alive() end, 20, "the end of the runner")
    assert.matches("\ninterrupted\n$", runner:output())
    assert.is_nil(lfs.attributes(folder .. "/second"))
    assert.equal("", (process.run "pgrep -fx 'sleep 60[.]0375'"))
  end)
end)

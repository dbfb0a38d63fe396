-- What `make test` says of specs that pass, fail, are skipped, hang or leave something behind.
-- SPDX-License-Identifier: MIT

local lfs = require "lfs"
local process = require "spec.support.process"

local folder

-- Nothing of the runner that may run this spec itself.
local ENVIRONMENT = { BUILD = os.getenv "BUILD", LUA = "lua5.4", JOBS = 2, TAGS = "", EXCLUDE = "", INIT = "",
  RUNNER = "", LUA_INIT_5_4 = "" }

-- Runs files with these texts by the runner: what it prints, and its exit status.
local function run(specs)
  local paths = {}
  for name, text in pairs(specs) do
    paths[#paths + 1] = process.write(("%s/%s_spec.lua"):format(folder, name), text)
  end
  table.sort(paths)
  return process.run(("env %s lua5.4 spec/runner.lua %s"):format(process.assignments(ENVIRONMENT),
    table.concat(paths, " ")))
end

local function last_line(output)
  return output:match "([^\n]*)\n$"
end

describe("the runner of specs #foreign #forks", function()
  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  it("adds up all files, says why specs are skipped, and shows failures once more at the end", function()
    local output, status = run {
      good = 'it("one", function() end) it("two", function() end)',
      late = 'it("measures time #timing", function() end)',
      other = 'it("skips", function() pending "no such server" end) it("fails", function() assert.equal(1, 2) end)',
    }
    assert.equal(1, status)
    assert.equal("3 passed, 1 failed, 1 skipped", last_line(output))
    assert.matches("other_spec.lua: no such server\n", output)
    assert.matches("\nfailures once more:\n== %S+other_spec.lua %(exit status 1%)\n.*@ 1\nfails\n", output)
    assert.matches("ok%s+[%d.]+ s  %S+late_spec.lua %(timing%): 1 passed\n", output)
  end)

  it("runs what fails beside others once more, alone, and says so", function()
    local mark = folder .. "/mark"
    local output, status = run {
      good = 'it("one", function() end)',
      once = ([[it("fails once", function()
        local is_second = io.open(%q)
        io.open(%q, "w"):close()
        assert(is_second, "the first run")
      end)]]):format(mark, mark),
    }
    assert.equal(0, status)
    assert.equal("2 passed, 0 failed, 0 skipped", last_line(output))
    assert.matches("\nfailed beside others, passed alone:\n== %S+once_spec.lua %(exit status 1%)\n.*the first run",
      output)
    assert.is_nil(output:find("failures once more", 1, true))
  end)

  it("does so for three files at most", function()
    local specs, count = {}, folder .. "/count"
    for i = 1, 4 do
      specs["bad" .. i] = ([[it("fails", function()
        os.execute "echo >>%s"
        error "always"
      end)]]):format(count)
    end
    local output, status = run(specs)
    assert.equal(1, status)
    assert.equal("0 passed, 4 failed, 0 skipped", last_line(output))
    assert.equal(4, select(2, process.read(count):gsub("\n", "")))
  end)

  it("fails where nothing is run, or a file does not load", function()
    assert.same({ "0 passed, 0 failed, 0 skipped", 1 },
      { last_line((run { none = "" })), (select(2, run { none = "" })) })
    local output, status = run { none = "", broken = "syntax error" }
    assert.equal("0 passed, 1 failed, 0 skipped", last_line(output))
    assert.equal(1, status)
  end)

  it("names files and ends processes that a spec leaves behind, and counts that as a failure", function()
    local pid = folder .. "/pid"
    local output, status = run {
      file = 'it("x", function() io.open(os.getenv "TMPDIR" .. "/forgotten", "w"):close() end)',
      process = ('it("x", function() os.execute "setsid sleep 300 & echo $! >%s" end)'):format(pid),
    }
    assert.equal(1, status)
    assert.equal("2 passed, 2 failed, 0 skipped", last_line(output))
    assert.matches("left behind: %S+/forgotten\n", output)
    assert.matches("left behind: %d+ sleep 300", output)
    assert.is_nil(io.open("/proc/" .. process.read(pid):match "%d+"))
  end)

  it("runs specs of their own tag beside the rest of their file, each once", function()
    local tagged = 'it("a #job_a", function() end) it("b #job_b", function() end) it("c", function() end)'
    local output = run { tagged = tagged }
    assert.equal("3 passed, 0 failed, 0 skipped", last_line(output))
    assert.matches("tagged_spec.lua %(a%): 1 passed\n", output)
    assert.matches("tagged_spec.lua: 1 passed\n", output)
  end)

  it("runs calm specs after the others, beside each other", function()
    local order = folder .. "/order"
    local function writes(name, seconds)
      return ('it("%s %s", function() os.execute "echo %s >>%s; sleep %s; echo %s >>%s" end)'):format(name,
        name == "a" and "" or "#calm_" .. name, name, order, seconds, name, order)
    end
    local output = run { calm = writes("b", 0.5) .. writes("c", 0.5), other = writes("a", 0.2) }
    assert.equal("3 passed, 0 failed, 0 skipped", last_line(output))
    local written = process.read(order):gsub("%s", "")
    assert.matches("^aa[bc][bc][bc][bc]$", written)
    assert.is_true(written:sub(3, 3) ~= written:sub(4, 4), written)
  end)

  it("ends at a signal all that runs, and starts nothing more", function()
    local first = process.write(folder .. "/first_spec.lua",
      ('it("waits #slow", function() os.execute "echo $$ >%s/pid; exec sleep 300" end)'):format(folder))
    local second = process.write(folder .. "/second_spec.lua",
      ('it("runs", function() os.execute "echo >%s/second" end)'):format(folder))
    local runner <close> = process.start { log = folder .. "/log", env = ENVIRONMENT,
      command = { "env", "JOBS=1", "lua5.4", "spec/runner.lua", second, first } }
    process.wait_until(function()
      return (lfs.attributes(folder .. "/pid", "size") or 0) > 1
    end, 20, "the first spec")
    process.run("kill -INT " .. runner.pid)
    process.wait_until(function() return not runner:alive() end, 30, "the runner's end")
    assert.matches("\ninterrupted\n$", runner:output())
    assert.is_nil(lfs.attributes(folder .. "/second"))
    assert.is_nil(lfs.attributes("/proc/" .. process.read(folder .. "/pid"):match "%d+"))
  end)
end)

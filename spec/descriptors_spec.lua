-- Descriptors of connections: no other program inherits them, and none stands where a standard stream was closed.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local sandbox = require "central.auth.sandbox"
local with = require "spec.support.with"

local server, folder

before_each(function()
  folder = process.scratch()
  server = sandbox.start()
end)

after_each(function()
  server:close()
  process.remove(folder)
end)

-- Runs a script as a shell would with these redirections: its output and exit status.
local function run(text, redirections, more)
  local env = process.credentials(server, folder .. "/cache")
  env.CENTRAL_BASE_URL = server.base_url
  with(env, more)
  local script = process.write(folder .. "/child.lua", text)
  local line = "env %s timeout -k 1 10 lua5.4 %s %s"
  return process.run(line:format(process.assignments(env), script, redirections or ""))
end

describe("descriptors", function()
  it("are inherited by no program, whatever is under way", function()
    local redis_server <close> = redis.start()
    server:latency(0.05)
    local output, status = run([[
      local inherited = require "spec.support.inherited"
      local auth, clock = require "central.auth", require "central.auth.core".clock()
      local before = inherited()
      local function check()
        local now = inherited()
        assert(now == before, now)
      end
      local pending = assert(auth.pending())
      repeat
        check()
        clock:sleep(0.001)
      until pending:done()
      assert(pending:result())
      assert(auth.renew())
      check()
      assert(auth.get "/network-monitoring/v1/aps")
      check()
      local alone = assert(auth.new { cache = false })
      assert(alone:token())
      check()
      print "checked"
    ]], nil, { CENTRAL_CACHE = redis_server.url, CENTRAL_CACHE_PASSWORD = redis.password })
    assert.same({ "checked\n", 0 }, { output, status })
  end)

  it("never stand where standard streams were closed", function()
    for _, redirections in ipairs { "<&- >&- 2>&-", "<&-", ">&- 2>&-", "<&- 2>&-" } do
      server:latency(0.02)
      process.run("rm -rf " .. folder .. "/cache " .. folder .. "/result")
      local output, status = run(([[
        local auth, clock = require "central.auth", require "central.auth.core".clock()
        local lfs = require "lfs"
        local closed = {}
        for fd, stream in pairs { [0] = "stdin", "stdout", "stderr" } do
          if not lfs.symlinkattributes("/proc/self/fd/" .. fd, "target") then
            closed[#closed + 1] = io[stream]
            io[stream]:setvbuf "no"
          end
        end
        local function write()
          local written = 0
          for _, stream in ipairs(closed) do
            written = written + (stream:write "garbage" and 1 or 0)
          end
          return written
        end
        local function check()
          assert(write() == 0)
        end
        local ok, result = pcall(function()
          local pending = assert(auth.pending())
          repeat
            write() -- a thread may be opening a file just now, for a microsecond
            clock:sleep(0.001)
          until pending:done()
          check()
          local token = assert(pending:result())
          assert(auth.renew())
          check()
          assert(auth.get "/network-monitoring/v1/aps")
          check()
          return #closed
        end)
        local file = assert(io.open(%q, "w"))
        file:write(tostring(result))
        file:close()
      ]]):format(folder .. "/result"), redirections)
      assert.same({ "", 0 }, { output, status }, redirections)
      assert.equal(tostring(select(2, redirections:gsub("%d?[<>]&%-", ""))), process.read(folder .. "/result"),
        redirections)
    end
  end)

  it("of the command neither: what it cannot write is a failure", function()
    local home <close> = command.home(server)
    local token = home:run "token"
    for _, redirections in ipairs { ">&-", ">&- 2>&-", "<&- >&-", "<&- >&- 2>&-" } do
      process.run("rm -rf " .. home.folder .. "/central-auth") -- its cache
      local output, _, status = home:run("token " .. redirections)
      assert.same({ "", 1 }, { output, status }, redirections)
      output, _, status = home:run("status --json " .. redirections)
      assert.same({ "", 1 }, { output, status }, redirections)
    end
    for _, redirections in ipairs { "<&-", "2>&-", "<&- 2>&-" } do
      local output, errors, status = home:run("token " .. redirections)
      assert.same({ "", 0 }, { errors, status }, redirections)
      assert.equal(#token, #output)
    end
  end)
end)

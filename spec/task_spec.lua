-- Tasks that yield where nobody is, that are given up, and that a fork leaves behind.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local scripted = require "spec.support.scripted"

local token = scripted.token

-- What scripts of a process that forks have in common: a request of a second, asked for by a scripted client.
local FORKS = [[
  local cqueues, host, scripted = require "cqueues", require "spec_fork", require "spec.support.scripted"
  local s = scripted.new(function(n) return scripted.token("t" .. n, 1000) end)
  s.took = 1
  local function rings(fd)
    local polled = { pollfd = fd, events = "r" }
    return cqueues.poll(polled, 0.02) == polled
  end
]]

describe("a secret's function that yields #valgrind", function()
  it("begins anew where the coroutine in which a secret's function yields is closed", function()
    local s = scripted.new({ token("t1", 1000) }, {
      client_secret = function() return coroutine.yield "please read the secret" end,
    })
    local killed = coroutine.create(function() return s.client:token() end)
    local waits = coroutine.create(function() return s.client:token() end)
    s.client._renewal.host.wait = coroutine.yield
    assert(coroutine.resume(killed))
    assert(coroutine.resume(waits))
    coroutine.close(killed)
    assert.equal("please read the secret", select(2, coroutine.resume(waits)))
    assert.equal("t1", select(2, coroutine.resume(waits, "a-long-enough-secret")))
    assert.equal("t1", s.client:token())
  end)

  it("lets others sleep while a secret's function is at it elsewhere", function()
    local s = scripted.new({ token("t1", 1000) }, {
      client_secret = function() return coroutine.yield "please read the secret" end,
    })
    local reads = coroutine.wrap(function() return s.client:token() end)
    reads()
    local naps, sleep = 0, s.client._renewal.host.sleep
    s.client._renewal.host.sleep = function(seconds)
      assert.is_true(seconds >= 0)
      naps = naps + 1
      sleep(seconds)
    end
    assert.equal("timeout", (select(3, s.client:token())))
    assert.is_true(naps <= 12, naps)
    assert.equal("t1", reads "a-long-enough-secret")
  end)

  it("fails where a secret's function yields and nobody is there to yield to", function()
    local s = scripted.new({ token("t1", 1000) }, {
      client_secret = function() return coroutine.yield() or "a-long-enough-secret" end,
    })
    assert.equal("config", (select(3, s.client:pending():result())))
    assert.equal("config", (select(3, s.client:token())))
    local waiter = coroutine.wrap(function() return s.client:token() end)
    waiter()
    assert.equal("t1", waiter())
  end)
end)

describe("a renewal under way in a process that forks #slow #forks", function()
  it("is not heard of in the parent because the child closes its client", function()
    assert.equal("false\ntrue\ttrue\n", (child.run(FORKS .. [[
      local pending = s.client:pending()
      local pid = host.fork()
      if pid == 0 then
        s.client:close()
        os.exit(true, true)
      end
      assert(host.wait(pid) == 0)
      print(rings(pending:fd()))
      s:wait(1)
      print(pending:done(), rings(pending:fd()))
    ]])))
  end)

  it("is begun anew by a coroutine that goes on in the child", function()
    assert.equal("t2\nt1\n", (child.run(FORKS .. [[
      s.client._renewal.host.wait = coroutine.yield
      local waiter = coroutine.wrap(function() return s.client:token() end)
      waiter()
      local pid = host.fork()
      if pid == 0 then
        waiter()
      end
      s:wait(1)
      print(pid == 0 and waiter() or host.wait(pid) == 0 and waiter())
      os.exit(true, true)
    ]])))
  end)
end)

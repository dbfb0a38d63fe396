-- Every public function with its first, second, third … allocation failing, until it succeeds: no crash, no leak (by
-- the sanitizers), and what was being used works afterwards or can be closed.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local torture = require "spec_torture"

local MOST = 5000 -- allocations; no call needs as many

local token = scripted.token

-- `make` yields a subject; `call` is tried; `still` must work afterwards, whatever became of the call. `stride` leaves
-- allocations out where a try is slow.
local function survive(make, call, still, stride)
  for n = 1, MOST, stride or 1 do
    local subject = make()
    collectgarbage "stop"
    torture.from(n)
    local ok, why = pcall(call, subject)
    local failed = torture.stop()
    collectgarbage "restart"
    assert(ok or tostring(why):find("not enough memory", 1, true), tostring(why))
    still(subject)
    if not failed then
      return n
    end
  end
  error "it never succeeds"
end

-- A client by a scripted network: one reply after the other.
local function client(used)
  return function()
    local s = scripted.new(function(n) return token("t" .. n, 1000) end)
    if used then
      s.client:token()
      s:wait(used)
    end
    return s
  end
end

local function works(s)
  s:wait(120) -- past whatever back-off a failure led to
  assert.matches("^t%d+$", assert(s.client:token()))
  s.client:close()
  s.client:close()
end

describe("without memory #torture #slow", function()
  for name, case in pairs {
    ["token, the first"] = { nil, function(s) return s.client:token() end },
    ["token, a fresh one"] = { 1, function(s) return s.client:token() end },
    ["token, a stale one"] = { 950, function(s) return s.client:token() end },
    ["token, a dead one"] = { 5000, function(s) return s.client:token { min_valid = 5 } end },
    header = { nil, function(s) return s.client:header() end },
    renew = { 1, function(s) return s.client:renew() end },
    invalidate = { 1, function(s) return s.client:invalidate() end },
    status = { 1, function(s) return tostring(s.client:status()) end },
    ["pending and result"] = { nil, function(s)
      local pending <close> = s.client:pending()
      return pending:done() or pending:result()
    end },
    ["the parts of pending"] = { 1, function(s)
      local pending = s.client:pending()
      return pending:fd(), pending:pollfd(), pending:events(), pending:timeout(), tostring(pending), pending:close()
    end },
  } do
    it(name, function() survive(client(case[1]), case[2], works) end)
  end

  it("close", function()
    survive(client(1), function(s) s.client:close() end, function(s)
      s.client:close()
      assert.equal("closed", (select(3, s.client:token())))
    end)
  end)

  it("a request that is turned down", function()
    survive(function()
      return scripted.new(function(n) return n == 1 and scripted.refusal "invalid_client" or token("t" .. n, 100) end)
    end, function(s) return s.client:token() end, function(s)
      s.client:token() -- to be turned down, where that has not happened yet
      works(s)
    end)
  end)

  it("new and configure", function()
    local options = { client_id = "an-identifier", client_secret = "a-long-enough-secret", scope = { "a", "b" } }
    survive(function() return options end, function(given) assert(auth.new(given)):close() end, function() end)
    survive(function() return options end, function(given) assert(auth.configure(given)) end, auth.close)
  end)

  describe("over the network #network", function()
    local box, folder
    before_each(function()
      box, folder = sandbox.start(), process.scratch()
    end)
    after_each(function()
      box:close()
      process.remove(folder)
    end)

    local function real(n)
      local options = box:options()
      options.cache = n and ("%s/%s"):format(folder, n) or false
      return assert(auth.new(options))
    end

    it("a token, its cache and a thread", function()
      local count = 0
      survive(function()
        count = count + 1
        return real(count)
      end, function(subject)
        assert(subject:token())
        subject:invalidate()
        local pending <close> = assert(subject:pending())
        assert(pending:result())
      end, function(subject)
        process.wait_until(function() return (subject:renew()) end, 5, "a token after all")
        subject:close()
      end, 17)
    end)

    it("leaves no thread and no descriptor behind", function()
      local threads, descriptors = process.count "task", process.count "fd"
      for n = 1, 2000, 37 do
        local subject = real()
        local function try()
          subject:renew()
          subject:pending()
        end
        torture.from(n)
        pcall(try)
        torture.stop()
        subject:close()
      end
      assert.equal(threads, process.count "task")
      assert.equal(descriptors, process.count "fd")
    end)
  end)
end)

-- Ten thousand renewals in one process: after the first hundred nothing may grow any more. Half are made in the
-- background of calls for a stale token, half by force. Time is moved, so that tokens age at once; all else is real.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local config = require "central.auth.config.resolve"
local core = require "central.auth.core"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

local RENEWALS, WARM, EVERY = tonumber(os.getenv "RENEWALS") or 10000, 100, 1000
local SLACK = 128 -- KiB: of pages that a heap still touches; 13 bytes kept of each renewal would be more

local function measure()
  local fds, threads = process.count "fd", process.count "task" -- collects garbage
  local status = process.read "/proc/self/status"
  return {
    resident = tonumber(status:match "VmRSS:%s+(%d+)"), lua = collectgarbage "count" // 1, fds = fds,
    threads = threads,
  }
end

local function tell(n, m)
  print(("%6d renewals: %d KiB resident, %d KiB of Lua, %d descriptors, %d threads"):format(
    n, m.resident, m.lua, m.fds, m.threads))
end

local function stale_renewal(subject, clock)
  local old, pause = subject:token(), core.clock()
  clock:shift(7000, 7000)
  while subject:token() == old do
    pause:sleep(0.0002)
  end
end

local function forced_renewal(subject, clock)
  clock:shift(100, 100) -- so many requests are allowed then
  assert(subject:renew())
end

io.stdout:setvbuf "line"
local folder = process.scratch()
local server = nginx.start(folder)
local ok, why = xpcall(function()
  local clock = core.clock()
  local subject <close> = client.new(assert(config.resolve {
    client_id = "an-identifier", client_secret = "a-long-enough-secret", token_url = server.token_url,
    ca_file = server.ca_file, cache = folder .. "/cache",
  }), { clock = clock })
  assert(subject:token())
  local warm
  for n = 1, RENEWALS do
    (n % 2 == 0 and stale_renewal or forced_renewal)(subject, clock)
    assert(subject:status().state == "fresh", "an old token")
    if n == WARM or n % EVERY == 0 then
      local now = measure()
      tell(n, now)
      warm = warm or now
      assert(now.fds == warm.fds and now.threads == warm.threads, "descriptors or threads grow")
      assert(now.resident <= warm.resident + SLACK and now.lua <= warm.lua + SLACK, "memory grows")
    end
  end
  assert(subject:status().renewals == RENEWALS, subject:status().renewals)
  assert(server:requests() == RENEWALS + 1, server:requests())
end, debug.traceback)
server:stop()
process.remove(folder)
assert(ok, why)
print("nothing grew after the first hundred; one request for each renewal")

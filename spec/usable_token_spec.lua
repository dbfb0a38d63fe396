-- A usable token is returned whatever keeps it from being renewed: what has to be loaded first is out of reach, or no
-- descriptor is left. Real processes that reach such a state after their token came from the cache.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local child = require "spec.support.child"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

-- What each child begins with: a token that another process got, and that is due.
local BEGIN = [[
local config, client = require "central.auth.config.resolve", require "central.auth.client"
local core, host = require "central.auth.core", require "spec_fork"
local clock, events = core.clock(), {}
local c = client.new(assert(config.resolve { on_event = function(event)
  events[event.event] = (events[event.event] or 0) + 1
  events.last = event.message
end }), { clock = clock, tracker = core.tracker(clock) })
local token = assert(c:token())
assert(c:status().source == "cache" and not package.loaded["central.auth.http"])

clock:shift(6800, 6800)
assert(c:status().state == "stale")

-- All that are left.
local function take_descriptors()
  local files = {}
  for file in function() return (io.open "/dev/null") end do
    files[#files + 1] = file
  end
  return function()
    for _, file in ipairs(files) do
      file:close()
    end
  end
end

local function is_kept(why)
  for _ = 1, 200 do
    assert(c:token() == token)
  end
  assert(events.failed >= 1 and events.failed <= 10, events.failed) -- it backs off
  assert(events.last:find(why, 1, true), events.last)
end

local function is_renewed()
  local deadline = clock:boot() + 120
  repeat
    assert(clock:boot() < deadline, events.last)
    clock:shift(1, 1)
    clock:sleep(0.01)
  until assert(c:token()) ~= token
  print "renewed"
end
]]

local IN_A_NAMESPACE = apart.flags "m"
local rooted = apart.only(_ENV, IN_A_NAMESPACE, "this machine forbids namespaces")

describe("a usable token is returned", function()
  local server, folder, environment

  before_each(function()
    folder = process.scratch()
    server = sandbox.start()
    environment = process.credentials(server, folder .. "/cache")
    child.run('assert(require "central.auth".token())', environment)
  end)

  after_each(function()
    server:close()
    process.remove(folder)
  end)

  local function run(text)
    local script = process.write(folder .. "/child.lua", BEGIN .. text)
    local output, status = process.run(("ulimit -n 64; env %s timeout -k 1 20 lua5.4 %s"):format(
      process.assignments(environment), script))
    assert.same({ "renewed\n", 0 }, { output, status })
  end

  it("where what makes requests cannot be loaded, and renewed once it can", function()
    run [[
      local path, cpath = package.path, package.cpath
      package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
      is_kept "central.auth.http"
      package.path, package.cpath = path, cpath
      is_renewed()
    ]]
    assert.equal(2, server:requests().token)
  end)

  it("where no descriptor is left, and renewed once there is", function()
    run [[
      require "central.auth.http"
      local give_back = take_descriptors()
      is_kept "descriptor"
      give_back()
      is_renewed()
    ]]
    assert.equal(2, server:requests().token)
  end)

  it("where neither can be, and no descriptor is left", function()
    run [[
      local give_back = take_descriptors()
      is_kept "central.auth.http"
      give_back()
      is_renewed()
    ]]
  end)

  rooted("below another root, and renewed there where that was loaded before", function()
    local root = folder .. "/root"
    local file = server.ca_file
    process.run(("mkdir -p %s$(dirname %s) && cp %s %s%s"):format(root, file, file, root, file))
    local function below(text)
      local script = process.write(folder .. "/child.lua", BEGIN .. text)
      return process.run(("env %s unshare %s lua5.4 %s %s"):format(process.assignments(environment), IN_A_NAMESPACE,
        script, root))
    end
    assert.same({ "", 0 }, { below 'host.chroot(arg[1]) is_kept "central.auth.http"' })
    assert.same({ "renewed\n", 0 }, { below 'require "central.auth.http" host.chroot(arg[1]) is_renewed()' })
  end)

  it("by no first call: that fails with a code", function()
    environment.CENTRAL_CACHE = "off"
    local output, status = child.run([[
      local auth = require "central.auth"
      auth.status()
      package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
      local token, message, code = auth.token()
      print(token, code, message:match "central.auth.http")
    ]], environment)
    assert.same({ "nil\tconfig\tcentral.auth.http\n", 0 }, { output, status })
  end)
end)

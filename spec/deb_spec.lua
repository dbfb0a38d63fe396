-- The Debian package: what lintian says, and a Debian that has nothing else, in which it is installed, used and
-- removed. `make check-deb` runs it.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config").VERSION
local apart = require "spec.support.apart"
local process = require "spec.support.process"

local only = apart.only({ it = it, pending = pending }, process.run "id -u" == "0\n", "only root may make a Debian")

-- Each of the package's modules but `without` and the sandbox's, which need what is only recommended.
local LOAD_ALL = [[
for path in io.popen("dpkg -L lua-central-auth"):lines() do
  local name = path:match "/lua/5%.4/(central/auth.*)%.lua$" or path:match "/lua/5%.4/(central/auth/.*)%.so$"
  if name and not name:find "sandbox" and name ~= without then
    require((name:gsub("/", ".")))
  end
end]]

-- A token with a Redis server that is not there.
local BY_REDIS = [[
local auth = require "central.auth"
local box <close> = require("central.auth.sandbox").start()
local options = box:options()
options.cache, options.on_event = "redis://127.0.0.1:1", function(event) print(event.message) end
assert(auth.configure(options))
print(auth.token() ~= nil)]]

local folder, root

-- In the new Debian, as an ordinary user unless said otherwise.
local function within(command, user)
  return process.run(("chroot --userspec=%s %s env -i HOME=/tmp LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin %s")
    :format(user or "1000:1000", root, command))
end

local function lua(code)
  return within("lua5.4 -l auth=central.auth -e " .. process.quote(code))
end

local function apt(command)
  local output, status = within("DEBIAN_FRONTEND=noninteractive apt-get -qq " .. command, "0:0")
  assert.equal(0, status, output)
end

describe("the Debian package #deb #slow", function()
  lazy_setup(function()
    folder = process.scratch()
    root = folder .. "/root"
    local output, status = process.run("make deb BUILD=" .. folder)
    assert(status == 0, output)
  end)
  lazy_teardown(function() process.remove(folder) end)

  it("has nothing that lintian dislikes", function()
    local output, status = process.run(("lintian --allow-root --fail-on error,warning %s/deb/*.changes"):format(folder))
    assert.equal(0, status, output)
    assert.is_nil(output:find "[EW]: ", output)
  end)

  it("names all that a build needs", function()
    local control = process.read ".ci/deb/control"
    for name in process.read(".ci/packages"):match('\nbuild="([^"]*)"'):gmatch "[%w.-]+%-dev" do
      if name ~= "libc6-dev" then -- essential to every build
        assert.truthy(control:match("Build%-Depends:[^\n]*"):find(name, 1, true), name)
      end
    end
  end)

  only("is installed, works and is removed in a fresh Debian", function()
    local output, status = process.run((". /etc/os-release; PATH=$PATH:/usr/sbin "
      .. "debootstrap --variant=minbase $VERSION_CODENAME %s"):format(root))
    assert.equal(0, status, output)
    process.run(("cp %s/deb/lua-central-auth_%s_*.deb %s/tmp/this.deb"):format(folder, VERSION, root))

    apt "install --no-install-recommends /tmp/this.deb"
    assert.same({ "", 0 }, { lua("without = 'central/auth/redis' " .. LOAD_ALL) })
    assert.matches("^nil\tclient_id is needed.*\tconfig\t", (lua "print(auth.token())"))
    local unit = process.read "lua/examples/systemd/central-aps.service"
    assert.equal("", (within("ls " .. unit:match "ExecStart=%S+ (%S+)" .. " >/dev/null")))
    for command in within("dpkg -L lua-central-auth"):gmatch "/usr/bin/([^\n]+)" do
      assert.equal(command .. " " .. VERSION .. "\n", (within(command .. " --version")))
    end

    apt "update"
    apt "install lua-http"
    local block = process.read("README.md"):match "\n## Ten lines\n.-\n```lua\n(.-)\n```"
    output, status = within("lua5.4 -e " .. process.quote(block))
    assert.equal(0, status, output)
    assert.matches("^state%s+fresh\n", output)

    assert.matches("hiredis can't be loaded.*\ntrue\n$", (within("lua5.4 -e " .. process.quote(BY_REDIS))))
    local hiredis = within("dpkg-query -W -f '${Recommends}' lua-central-auth", "0:0"):match "libhiredis[%w.]+"
    apt("install " .. hiredis)
    assert.matches("nobody listens there.*\ntrue\n$", (within("lua5.4 -e " .. process.quote(BY_REDIS))))
    assert.same({ "", 0 }, { lua(LOAD_ALL) })

    apt "purge lua-central-auth"
    assert.equal("", (process.run(("find %s/usr %s/etc %s/var/lib -path '*central*auth*'"):format(root, root, root))))
  end)
end)

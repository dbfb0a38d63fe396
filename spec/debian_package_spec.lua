-- The Debian package: what lintian says, and a Debian that has nothing else, in which it is installed, used and
-- removed, runs the example for systemd by systemd, and that for containers in a container. `make check-deb` runs it.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config.resolve").VERSION
local apart = require "spec.support.apart"
local debian = require "spec.support.debian"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local is_root = process.run "id -u" == "0\n"
local only = apart.only(_ENV, is_root, "only root may make a Debian")

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
local server <close> = require("central.auth.sandbox").start()
local options = server:options()
options.cache, options.on_event = "redis://127.0.0.1:1", function(event) print(event.message) end
assert(auth.configure(options))
print(auth.token() ~= nil)]]

local EXAMPLES = "/usr/share/doc/lua-central-auth/examples/"

local folder, package, fresh

-- Whether a file holds the sandbox's access points.
local function is_list(path)
  return select(2, process.read(path):gsub('"serialNumber"', "")) == 12
end

describe("the Debian package #deb #slow", function()
  lazy_setup(function()
    folder = process.scratch()
    local output, status = process.run("make deb BUILD=" .. folder)
    assert(status == 0, output)
    package = process.run(("ls %s/deb/lua-central-auth_%s_*.deb"):format(folder, VERSION)):match "[^\n]+"
    fresh = is_root and debian.new(folder .. "/root")
  end)
  lazy_teardown(function() process.remove(folder) end)

  it("has nothing that lintian dislikes", function()
    local output, status = process.run(("lintian --allow-root --fail-on error,warning %s/deb/*.changes"):format(folder))
    assert.equal(0, status, output)
    assert.is_nil(output:find "[EW]: ", output)
  end)

  it("names all that a build needs, and nothing else", function()
    local wanted, named = {}, { gcc = true, ["libc6-dev"] = true } -- essential to every build
    for name in process.read(".ci/packages"):match('\nbuild="([^"]*)"'):gmatch "[^%s]+" do
      wanted[name:match "^[^:]+"] = true
    end
    local control = process.read ".ci/deb/control"
    for name in control:match("Build%-Depends: debhelper%-compat[^,]*, ([^\n]*)"):gmatch "[^%s,]+" do
      named[name] = true
    end
    assert.same(named, wanted)
  end)

  only("builds the example of a container, which keeps a list and its token on the volume", function()
    local server <close> = sandbox.start()
    local place = folder .. "/container"
    local release = process.run ". /etc/os-release && printf %s $VERSION_ID"
    local function buildah(words)
      local output, status = process.run(("buildah --root %s/store --runroot %s/run --storage-driver vfs %s")
        :format(place, place, words))
      assert.equal(0, status, output)
      return output:match "([^\n]*)\n?$"
    end
    local base = buildah "from scratch"
    buildah(("add --quiet %s %s /"):format(base, fresh.root))
    buildah(("commit --quiet --rm %s docker.io/library/debian:%s"):format(base, release))

    process.run(("mkdir %s/here %s/data && cp %s lua/examples/cron.lua lua/examples/container/Containerfile %s/here")
      :format(place, place, package, place))
    -- By itself a later buildah raises both, which not every root may.
    local limits = "--ulimit nofile=1024 --ulimit nproc=32768"
    buildah(("build --quiet --isolation=chroot --pull-never %s --build-arg DEBIAN=%s --tag central-aps %s/here")
      :format(limits, release, place))
    local made = buildah(("from --pull-never %s localhost/central-aps"):format(limits))
    process.run(("chmod 700 %s/data && chown nobody %s/data"):format(place, place)) -- as engines take it from the image
    local command = process.read "lua/examples/container/Containerfile":match "\nCMD %[([^\n]*)%]":gsub(",", "")
    process.write(place .. "/secret", server.client_secret, "444")
    process.write(place .. "/ca.pem", process.read(server.ca_file), "444")
    local run = ("run --isolation=chroot --volume %s/data:/data --volume %s/secret:/run/secrets/central:ro"
      .. " --volume %s/ca.pem:/ca.pem:ro --env SSL_CERT_FILE=/ca.pem --env CENTRAL_CLIENT_ID=%s"
      .. " --env CENTRAL_BASE_URL=%s --env CENTRAL_TOKEN_URL=%s %s -- %s"):format(place, place, place, server.client_id,
      server.base_url, server.token_url, made, command)
    for _ = 1, 2 do
      assert.equal("", buildah(run))
    end
    assert.is_true(is_list(place .. "/data/aps.jsonl"))
    assert.same({ token = 1, api = 2 }, server:requests())
  end)

  only("is installed and works in a fresh Debian", function()
    process.run(("cp %s %s/root/"):format(package, fresh.root))
    fresh:apt("install --no-install-recommends /root/" .. package:match "[^/]+$")
    assert.same({ "", 0 }, { fresh:run("lua5.4 -e "
      .. process.quote("without = 'central/auth/redis' " .. LOAD_ALL)) })
    assert.matches("^nil\tno credentials.*\tconfig\t", (fresh:run
      "lua5.4 -l auth=central.auth -e 'print(auth.token())'"))
    local files = fresh:run "dpkg -L lua-central-auth"
    for _, path in ipairs { "/usr/share/bash-completion/completions/central-auth",
      "/usr/share/zsh/vendor-completions/_central-auth", "/usr/share/fish/vendor_completions.d/central-auth.fish" } do
      assert.truthy(files:find("\n" .. path .. "\n", 1, true), path)
    end
    for command in files:gmatch "/usr/bin/([^\n]+)" do
      assert.equal(command .. " " .. VERSION .. "\n", (fresh:run(command .. " --version")))
    end
  end)

  only("has units that systemd runs", function()
    local server <close> = sandbox.start()
    fresh:apt "install --no-install-recommends systemd"
    fresh:write("/etc/central/secret", server.client_secret .. "\n", "600")
    fresh:write("/etc/central/ca.pem", process.read(server.ca_file))
    for _, name in ipairs { "central-aps", "central-token" } do
      fresh:write(("/etc/systemd/system/%s.service.d/here.conf"):format(name), ([[
        [Service]
        Environment=CENTRAL_CLIENT_ID=%s CENTRAL_CLUSTER= CENTRAL_BASE_URL=%s CENTRAL_TOKEN_URL=%s
        Environment=SSL_CERT_FILE=/etc/central/ca.pem]])
        :format(server.client_id, server.base_url, server.token_url))
    end
    local said, went_well = fresh:boot(([[
      cp %ssystemd/* /etc/systemd/system && systemctl daemon-reload
      systemctl start central-aps && systemctl start central-aps && systemctl enable --now -q central-aps.timer &&
      systemctl is-active central-aps.timer &&
      systemctl start central-token && systemctl start central-token && systemctl start central-token.timer &&
      systemctl is-active central-token.timer && stat -c '%%U %%a' /run/central-token/header && exit
      journalctl -o cat -u central-aps -u central-token
      exit 1]]):format(EXAMPLES))
    assert.is_true(went_well, said)
    assert.matches("active\nactive\nwww%-data 600\n$", said)
    assert.is_true(is_list(fresh.root .. "/var/lib/private/central-aps/aps.jsonl"))
    assert.same({ token = 2, api = 2 }, server:requests()) -- one a unit
  end)

  only("brings the sandbox with lua-http and Redis with hiredis, and is removed", function()
    fresh:apt "update"
    fresh:apt "install lua-http"
    local block = process.read("README.md"):match "\n## Quick start\n.-\n```lua\n(.-)\n```"
    local output, status = fresh:run("lua5.4 -e " .. process.quote(block))
    assert.equal(0, status, output)
    assert.matches("^state%s+fresh\n", output)

    local by_redis = "lua5.4 -e " .. process.quote(BY_REDIS)
    assert.matches("hiredis can't be loaded.*\ntrue\n$", (fresh:run(by_redis)))
    local recommended = fresh:run("dpkg-query -W -f '${Recommends}' lua-central-auth", "0:0")
    fresh:apt("install " .. recommended:match "libhiredis[%w.]+")
    assert.matches("Connection refused.*\ntrue\n$", (fresh:run(by_redis)))
    assert.same({ "", 0 }, { fresh:run("lua5.4 -e " .. process.quote(LOAD_ALL)) })

    fresh:apt "purge lua-central-auth"
    assert.equal("", (process.run(("cd %s && find usr etc var/lib -path '*central*auth*'"):format(fresh.root))))
  end)
end)

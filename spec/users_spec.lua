-- More than one user on a machine: whose files are relied on, and where nothing is made.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local user = require "spec.support.user"

local NAMESPACES = apart.flags "m"
local with_users = apart.only(_ENV, user.available(), user.MISSING)
local with_mounts = apart.only(_ENV, user.available() and NAMESPACES,
  user.MISSING .. ", and this machine must allow namespaces")

-- Prints "token <where it is shared>", or "failed <code> <message>", and the events.
local ASK = [[
local auth = require "central.auth"
local client, message, code = auth.new { on_event = function(event) print(event.event, event.message or "") end }
local token
if client then
  token, message, code = client:token()
end
print(token and "token" or "failed", token and client:status().cache or code, token and "" or message)
]]

local server, other, ask, credentials

local function set_up()
  if not user.available() then
    return
  end
  server, other = sandbox.start(), user.new()
  ask = "lua5.4 " .. process.write(other.folder .. "/ask.lua", ASK, "644")
  credentials = process.credentials(server, "")
  credentials.CENTRAL_CACHE = nil
  credentials.CENTRAL_CA_FILE = other.folder .. "/ca.pem"
  process.run(("cp %s %s/ca.pem && chmod 644 %s/ca.pem"):format(server.ca_file, other.folder, other.folder))
end

local function tear_down()
  if other then
    other:remove()
    server:close()
  end
  other = nil
end

-- The credentials, some of them replaced.
local function with(more)
  local all = {}
  for _, source in ipairs { credentials, more } do
    for name, value in pairs(source) do
      all[name] = value
    end
  end
  return all
end

local function exists(path)
  return select(2, process.run("test -e " .. process.quote(path))) == 0
end

local PROFILE = "home/.config/central-auth/default.lua"

describe("a profile of another user", function()
  local mark, evil

  before_each(function()
    if user.available() then
      set_up()
      mark = other.folder .. "/home/command-ran"
      evil = ('return { client_id = "x", client_secret_command = "touch %s; echo %s" }'):format(
        mark, server.client_secret)
    end
  end)
  after_each(tear_down)

  with_users("runs no command of it as root, which has only that user's HOME", function()
    local path = other:write(PROFILE, evil)
    local output = other:run(ask, nil, true)
    assert.matches("^failed\tconfig\tno credentials", output)
    assert.is_truthy(output:find(("%s: belongs to another user (65534)"):format(path), 1, true), output)
    assert.is_false(exists(mark))
    assert.matches("belongs to another user", (other:run(ask, { CENTRAL_PROFILE = "default" }, true)))
    assert.is_false(exists(mark))
    assert.matches("token\t", (other:run(ask, with { CENTRAL_CLIENT_ID = server.client_id }, true)))
    assert.is_false(exists(mark))
    output = other:run(("lua5.4 %s/lua/central-auth doctor --offline"):format(other.copy), credentials, true)
    assert.matches("note profile file .*belongs to another user %(65534%); it is ignored unless a profile is requested",
      output)
  end)

  with_users("is that user's own", function()
    other:write(PROFILE, evil)
    assert.matches("token\t", (other:run(ask, with { CENTRAL_CLIENT_SECRET = false })))
    assert.is_true(exists(mark))
  end)

  with_users("is not read through that user's links, at whichever place of the path", function()
    local roots = other.folder .. "/roots"
    process.run(("mkdir -p -m 700 %s/.config/central-auth"):format(roots))
    process.write(roots .. "/.config/central-auth/default.lua", evil, "600")
    for _, place in ipairs { "/.config/central-auth/default.lua", "/.config/central-auth", "/.config" } do
      local link = other.home .. place
      process.run(("rm -rf %s/.config && mkdir -p %s && ln -s %s%s %s"):format(other.home, link:match "^(.*)/", roots,
        place, link))
      assert.matches("token\t", (other:run(ask, with { CENTRAL_CLIENT_SECRET = false }, true))) -- root's own link
      assert.is_true(exists(mark), place)
      os.remove(mark)
      process.run(("chown -h %d %s"):format(user.id, link))
      assert.matches("^failed\tconfig\t.*is reached by a link of another user",
        (other:run(ask, { CENTRAL_PROFILE = "default" }, true)))
      assert.is_false(exists(mark), place)
    end
  end)
end)

describe("a secret file", function()
  before_each(set_up)
  after_each(tear_down)

  local function from(path)
    return with { CENTRAL_CLIENT_SECRET = false, CENTRAL_CLIENT_SECRET_FILE = path }
  end

  local function secret(mode)
    return process.write(other.folder .. "/secret", server.client_secret .. "\n", mode)
  end

  with_users("of another user is refused, by root and by others", function()
    local path = other:write("home/secret", server.client_secret)
    local output = other:run(ask, from(path), true)
    assert.is_truthy(output:find(path .. ": belongs to another user (65534): it must be this user's (0) or root's", 1,
      true), output)
    assert.matches("token\t", (other:run(ask, from(path))))
    process.run(("chown 65533 %s && chmod 644 %s"):format(path, path))
    assert.matches("belongs to another user %(65533%)", (other:run(ask, from(path))))
  end)

  with_users("of another user is refused by login, which says what to do", function()
    local path = other:write("home/secret", server.client_secret)
    local login = ("lua5.4 %s/lua/central-auth login --no-check --client-id x "):format(other.copy)
    local without_secret = with { CENTRAL_CLIENT_SECRET = false, XDG_CONFIG_HOME = other.folder .. "/config" }
    for line, advised in pairs {
      ["--client-secret-file " .. path] = "; copy the file, or pass it on standard input (-)",
      ["--from-file " .. path] = "; copy the file, or pass it on standard input (-)",
      ["--client-secret-file - <" .. path] = false,
    } do
      local said = other:run(login .. line, without_secret, true)
      assert.equal(advised and true or false, said:find("belongs to another user (65534)", 1, true) ~= nil, said)
      assert.truthy(said:find(advised or "The profile", 1, true), said)
    end
  end)

  with_users("of root is for the group of another user, and not for all", function()
    for mode, pattern in pairs {
      ["440"] = "token\t", ["640"] = "token\t", ["644"] = "open to others %(mode 0644%): run chmod 640 ",
      ["660"] = "open to others", ["600"] = "Permission denied",
    } do
      local path = secret(mode)
      process.run(("chgrp %d %s"):format(user.id, path))
      assert.matches(pattern, (other:run(ask, from(path))))
      os.remove(path)
    end
  end)

  with_users("in a volume of Kubernetes is read by every service, its links followed", function()
    process.run(([[cd %s && mkdir -p volume/..2026 && ln -s ..2026 volume/..data && ln -s ..data/secret volume/ &&
      printf %%s %s >volume/..2026/secret && chmod 644 volume/..2026/secret]]):format(
      other.folder, server.client_secret))
    local path = other.folder .. "/volume/secret"
    assert.matches("token\t", (other:run(ask, from(path))))
    assert.matches("token\t", (other:run(ask, from(path), true)))
    process.run(("chown -h %d %s/volume/..data"):format(user.id, other.folder)) -- not of root, who alone makes them
    assert.matches("link of another user", (other:run(ask, from(path), true)))
    assert.matches("open to others", (other:run(ask, from(path))))
  end)

  with_mounts("may be open to others where it is mounted read-only", function()
    local path = secret "644"
    process.run("mkdir " .. other.folder .. "/mount")
    local script = process.write(other.folder .. "/mount.sh", ([[
      cd %s && mount --bind . mount && mount -o remount,bind,ro mount && ]]):format(other.folder)
      .. other:words(ask, from(other.folder .. "/mount/secret")))
    assert.matches("open to others", (other:run(ask, from(path))))
    assert.matches("token\t", (process.run(("unshare %s sh %s"):format(NAMESPACES, script))))
    process.run("chown 65533 " .. path)
    assert.matches("belongs to another user", (process.run(("unshare %s sh %s"):format(NAMESPACES, script))))
  end)

  with_mounts("is as an engine puts it below /run/secrets and /var/run/secrets, even by a link", function()
    local elsewhere = other:write("home/secret", server.client_secret)
    for _, place in ipairs { "/run/secrets", "/var/run/secrets" } do
      local mount = ([[mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/run && mkdir -p %s/sub && cd %s/sub &&
        printf %%s %s >central && chown 65533 central && chmod 666 central && ln -s sub/central .. && ]]):format(
        place, place, server.client_secret)
      local function run(path, as_root)
        return (process.run(("unshare %s sh -c %s"):format(NAMESPACES,
          process.quote(mount .. other:words(ask, from(path), as_root)))))
      end
      assert.matches("token\t", run(place .. "/central"))
      assert.matches("token\t", run(place .. "/central", true))
      assert.matches("belongs to another user", run(place .. "/sub/../.." .. ("/.."):rep(3) .. elsewhere, true))
    end
  end)
end)

describe("a home", function()
  before_each(set_up)
  after_each(tear_down)

  local function listing(path)
    return (process.run("find " .. path .. " -mindepth 1"))
  end

  with_users("that may not be entered is as if it were not there", function()
    local home = other.folder .. "/closed"
    process.run("mkdir -m 700 " .. home)
    local output = other:run(ask, with { HOME = home })
    assert.matches("^request\t\nfetched\t\ntoken\tnone: .*/closed/.cache/central%-auth: Permission denied\t\n$", output)
    assert.matches("^failed\tconfig\tno credentials.*: Permission denied", (other:run(ask, { HOME = home })))
    output = other:run(ask, with { HOME = home, CENTRAL_PROFILE = "lab" })
    assert.matches("^failed\tconfig\tthe profile .*/closed/.config/central%-auth/lab.lua: Permission denied",
      output)
  end)

  with_users("of another user gets nothing from root: neither the token's folder nor a profile", function()
    assert.matches("token\tnone: .*/home/.cache/central%-auth: it would be in a folder of another user\t",
      (other:run(ask, credentials, true)))
    local login = ("lua5.4 %s/lua/central-auth login --no-check --yes"):format(other.copy)
    local output, status = other:run(login, credentials, true)
    assert.equal(1, status)
    assert.matches("default.lua can't be written: it would be in a folder of another user", output)
    assert.equal("", listing(other.home))
    -- Not even where an earlier version left a folder of root's.
    process.run(("mkdir -p -m 700 %s/.cache/central-auth %s/.config/central-auth"):format(other.home, other.home))
    local before = listing(other.home)
    assert.matches("token\tnone: ", (other:run(ask, credentials, true)))
    assert.equal(1, select(2, other:run(login, credentials, true)))
    assert.equal(before, listing(other.home))
  end)

  local IN_NAMESPACE = user.as .. "unshare -r "
  local namespaced = apart.only(_ENV, user.available() and select(2, process.run(IN_NAMESPACE .. "true")) == 0,
    "only root can become a user who makes a user namespace")

  namespaced("of one's own has them in a user namespace, too, in whose eyes the folders above are another user's",
    function()
      local output = other:run("unshare -r " .. ask, credentials)
      assert.is_truthy(output:find(("token\t%s/.cache/central-auth\t"):format(other.home), 1, true), output)
    end)

  with_users("of one's own has the token's folder, and the profile", function()
    assert.is_truthy(other:run(ask, credentials):find(("token\t%s/.cache/central-auth\t"):format(other.home), 1, true))
    local login = ("lua5.4 %s/lua/central-auth login --no-check --yes"):format(other.copy)
    assert.equal(0, select(2, other:run(login, credentials)))
    assert.is_true(exists(other.folder .. "/" .. PROFILE))
    assert.equal("65534\n", (process.run(("find %s -printf '%%U\\n' | sort -u"):format(other.home))))
  end)

  with_users("gives way to no XDG_RUNTIME_DIR that is stale: gone, another user's, or open to others", function()
    local function assert_shared(runtime, cache_home, where, as_root)
      local output = other:run(ask, with { XDG_RUNTIME_DIR = runtime, XDG_CACHE_HOME = cache_home, HOME = as_root and
        other.folder .. "/root" or other.home }, as_root)
      assert.equal(("token\t%s/central-auth\t"):format(where), output:match "(token\t[^\n]*)", output)
      assert.is_nil(output:find "cache_error")
    end
    process.run(("cd %s && mkdir -m 700 root user && mkdir -m 755 run && install -d -o %d -m 700 run/%d caches"):format(
      other.folder, user.id, user.id))
    local run = other.folder .. "/run"
    assert_shared(run .. "/65534", nil, run .. "/65534") -- as it should be
    assert_shared(run .. "/1000", nil, other.home .. "/.cache") -- after logout
    assert_shared(run .. "/1000", nil, other.folder .. "/root/.cache", true) -- even for root, which could make it
    assert.is_false(exists(run .. "/1000"))
    assert_shared(other.folder .. "/root", other.folder .. "/caches", other.folder .. "/caches") -- root's, after su
    assert_shared(run .. "/65534", nil, other.folder .. "/root/.cache", true) -- the other user's, after sudo
    assert_shared(run .. "/1000", run .. "/none", other.home .. "/.cache") -- no place in the second, either
  end)
end)

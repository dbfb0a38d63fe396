-- Installing as packagers and LuaRocks do it, from a release's tarball without git, and what a build refuses.
-- SPDX-License-Identifier: MIT

local VERSION = require("central.auth.config.resolve").VERSION
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

-- As somebody who installs has it: nothing of the build that runs this spec.
local PLAIN = "unset BUILD; PATH=%s:/usr/local/bin:/usr/bin:/bin; cd %s && "

local folder, source, tarball

local function run(command, ...)
  local words = {}
  for i, word in ipairs { ... } do
    words[i] = process.quote(word)
  end
  return process.run(PLAIN:format(folder .. "/bin", source) .. command:format(table.unpack(words)))
end

-- Lua with a tree on its path and nothing else but the one rock that ours depends on.
local function lua(tree, code, environment)
  process.run(("cp $(lua5.4 -e 'print((package.searchpath(\"cjson\", package.cpath)))') %s/lib/lua/5.4/"):format(tree))
  return process.run(("env -i PATH=\"$PATH\" LUA_PATH=%s LUA_CPATH=%s %s lua5.4 -e %s"):format(
    process.quote(tree .. "/share/lua/5.4/?.lua"), process.quote(tree .. "/lib/lua/5.4/?.so"), environment or "",
    process.quote(code)))
end

-- The command of a tree, which Lua has on its path as `luarocks path` puts it there.
local function assert_command_works(tree)
  local environment = process.assignments {
    HOME = folder, LUA_PATH = tree .. "/share/lua/5.4/?.lua;;", LUA_CPATH = tree .. "/lib/lua/5.4/?.so;;",
  }
  local command = ("env -i PATH=\"$PATH\" %s %s/bin/central-auth --version"):format(environment, tree)
  local output, status = process.run(command)
  assert.equal("central-auth " .. VERSION .. "\n", output)
  assert.equal(0, status)
end

-- The completions of a tree, which fish and zsh find there. That of bash is where the package bash-completion looks.
local function assert_shells_complete(tree)
  local share = tree .. "/share"
  for shell, path in pairs { bash = "bash-completion/completions/central-auth",
    zsh = "zsh/site-functions/_central-auth", fish = "fish/vendor_completions.d/central-auth.fish" } do
    local printed, status = process.run("lua5.4 lua/central-auth completion " .. shell)
    assert.equal(0, status)
    assert.equal(printed, process.read(("%s/%s"):format(share, path)))
  end
  assert.matches("^profiles\t", (process.run(("env HOME=%s XDG_DATA_DIRS=%s PATH=%s/bin:$PATH fish -c %s"):format(
    folder, share, tree, process.quote "complete -C 'central-auth profi'"))))
  assert.equal("_central-auth\n", (process.run(("zsh -fc 'fpath=(%s/zsh/site-functions $fpath); autoload -U compinit;"
    .. " compinit -u -D; echo $_comps[central-auth]'"):format(share))))
end

local function assert_works(tree)
  local server <close> = sandbox.start()
  local output, status = lua(tree, [[
    local auth = require "central.auth"
    print(#assert(auth.token()) > 20, auth.status().state, package.searchpath("central.auth.http", package.cpath))]],
    ("CENTRAL_CLIENT_ID=%s CENTRAL_CLIENT_SECRET=%s CENTRAL_TOKEN_URL=%s CENTRAL_CA_FILE=%s"):format(server.client_id,
      server.client_secret, server.token_url, server.ca_file))
  assert.equal(0, status, output)
  assert.equal(("true\tfresh\t%s/lib/lua/5.4/central/auth/http.so\n"):format(tree), output)
end

describe("installing #slow", function()
  setup(function()
    folder = process.scratch()
    tarball = process.run(("make dist BUILD=%s/dist"):format(folder)):match "(%S+)\n$"
    source = ("%s/central-auth-%s"):format(folder, VERSION)
    process.run(("tar -xzf %s -C %s; mkdir %s/bin"):format(tarball, folder, folder))
    process.write(folder .. "/bin/git", ("#!/bin/sh\ntouch %s/git-was-called; exit 1\n"):format(folder), "755")
  end)
  teardown(function() process.remove(folder) end)

  it("by make goes where PREFIX and DESTDIR say, works there, and is undone", function()
    local output, status = run("make install DESTDIR=%s PREFIX=/opt/x", folder .. "/staged")
    assert.equal(0, status, output)
    assert_works(folder .. "/staged/opt/x")
    local x = folder .. "/staged/opt/x"
    assert_command_works(x)
    assert.matches("\n%.SH COMMANDS\n", process.read(x .. "/share/man/man1/central-auth.1"))
    assert_shells_complete(x)
    assert.matches('^#!/%S*lua%S*\npackage.path, package.cpath = "/opt/x/share/lua/5.4/%?.lua;"', process.read(x
      .. "/bin/central-auth"))
    assert.equal(0, select(2, run("make uninstall DESTDIR=%s PREFIX=/opt/x", folder .. "/staged")))
    assert.equal("", (process.run(("find %s/staged -path '*central*' -type f -o -path '*/man1/*'"):format(folder))))
  end)

  -- `action`: make or install, as the README says it, with a rockspec of this place.
  local function assert_rock_works(tree, action, rockspec)
    local command = process.read("README.md"):match("`(luarocks [^`]*" .. action .. ") rockspec/[^`]*`")
    local output, status = run("HOME=%s " .. command .. " %s --tree %s --deps-mode none", folder, rockspec, tree)
    assert.equal(0, status, output)
    assert_works(tree)
    assert_command_works(tree)
    assert.equal("", (process.run(("find %s -name central-auth.1 | grep -q . || echo no manual"):format(tree))))
    local listed = process.run(("ls %s/share/lua/5.4/central/auth"):format(tree))
    assert.equal(process.run("{ ls lua/central/auth; echo help_texts.lua; } | sort"), listed)
  end

  it("by LuaRocks makes a rock that works from its tree", function()
    assert_rock_works(folder .. "/tree", "make", "rockspec/central-auth-scm-1.rockspec")
  end)

  it("by LuaRocks takes a release from where its rockspec says", function()
    local name = ("central-auth-%s-1.rockspec"):format(VERSION)
    local rockspec, places = process.read("rockspec/" .. name):gsub("https:[^\"]*/", "file://" .. folder .. "/dist/")
    assert.equal(1, places)
    process.write(folder .. "/" .. name, rockspec)
    assert_rock_works(folder .. "/released", "install", "../" .. name)
  end)

  it("leaves nothing but .build in the source, and needs no git", function()
    local listed = run("find . -type f ! -path './.build/*' -printf '" .. source:match "[^/]+$" .. "/%%P\\n' | sort")
    assert.equal(process.run("tar -tzf " .. tarball .. " | sort"), listed)
    for _, name in ipairs { "csrc", "lua", "rockspec" } do
      assert.equal("", (process.run(("diff -rq %s %s/%s"):format(name, source, name))))
    end
    assert.is_nil(io.open(folder .. "/git-was-called"))
  end)

  it("makes the same tarball of an unpacked release", function()
    assert.equal(".build/central-auth-" .. VERSION .. ".tar.gz\n", (run "make dist"))
    local output, status = run("cmp .build/central-auth-" .. VERSION .. ".tar.gz " .. tarball)
    assert.equal(0, status, output)
  end)

  it("makes shared objects that are hardened, stay loaded and export one symbol", function()
    for name, library in pairs { core = "libsodium", http = "libcurl", redis = "libhiredis", console = "libsodium" } do
      local object = ("%s/.build/central/auth/%s.so"):format(source, name)
      local symbols = process.run("nm -D --defined-only " .. object)
      assert.matches("^%x+ T luaopen_central_auth_" .. name .. "\n$", symbols)
      local dynamic = process.run("readelf -d " .. object)
      assert.matches("NODELETE", dynamic)
      assert.matches("BIND_NOW", dynamic)
      assert.matches("NEEDED[^\n]+" .. library, dynamic)
      assert.equal(name == "http" or name == "redis", dynamic:find("libcurl", 1, true) ~= nil)
      assert.equal(name == "redis", dynamic:find("libhiredis", 1, true) ~= nil)
      local segments = process.run("readelf -lW " .. object)
      assert.matches("GNU_RELRO", segments)
      assert.matches("GNU_STACK[^\n]+ RW ", segments)
      assert.matches("__stack_chk_fail", (process.run("nm -D --undefined-only " .. object)))
    end
  end)

  it("stops with a sentence where Lua is too old, or its headers are missing", function()
    process.run(("mkdir -p %s/lua53 && echo '#define LUA_VERSION_NUM 503' >%s/lua53/lua.h"):format(folder, folder))
    for _, headers in ipairs { folder .. "/lua53", folder .. "/none" } do
      local output, status = run("make LUA_INCDIR=%s", headers)
      assert.equal(2, status)
      assert.matches("^central%-auth needs Lua 5.4 or newer and its headers; none found in '" .. headers, output)
    end
  end)

  it("stops with a sentence where libcurl is too old, or missing", function()
    process.run("mkdir " .. folder .. "/pc")
    process.write(folder .. "/pc/libcurl.pc", "Name: libcurl\nDescription: old\nVersion: 7.86.0\n")
    for where, found in pairs { [folder .. "/pc"] = "7.86.0", [folder .. "/none"] = "none" } do
      local output, status = run("make LUA_INCDIR=/usr/include/lua5.4 PKG_CONFIG=%s",
        "env PKG_CONFIG_LIBDIR=" .. where .. " pkg-config")
      assert.equal(2, status)
      assert.is_truthy(output:find("central-auth needs libcurl 7.87 or newer; found: " .. found .. "\n", 1, true))
    end
  end)

  it("goes without Redis where hiredis is missing, and says so where it is asked for", function()
    local without = process.write(folder .. "/pkg-config",
      '#!/bin/sh\ncase "$*" in *hiredis*) exit 1 ;; esac\nexec /usr/bin/pkg-config "$@"\n', 755)
    local output, status = run("make install PREFIX=%s BUILD=%s PKG_CONFIG=%s", folder .. "/less", folder .. "/build",
      without)
    assert.equal(0, status, output)
    assert.equal("console.so\ncore.so\nhttp.so\n",
      (process.run(("ls %s/less/lib/lua/5.4/central/auth"):format(folder))))
    assert.matches("this build does not support Redis: install hiredis", (lua(folder .. "/less", [[
      print(require("central.auth").new { client_id = "i", client_secret = "s", cache = "redis://host" })]])))
  end)

  -- Prints where the code of a module is from.
  local ORIGIN = "require 'central.auth' print(debug.getinfo(require('central.auth.token.source').new, 'S').source)"

  it("has all precompiled but the first file, sandbox and most of the command; what is preloaded is first", function()
    local tree = folder .. "/precompiled"
    run("make install PREFIX=%s", tree)
    assert.equal("@central/auth/token/source.lua\n", (lua(tree, ORIGIN)))
    assert.matches("^central/auth/token/source.lua:%d+: attempt to index a nil value", (lua(tree,
      "require 'central.auth' print(select(2, pcall(require('central.auth.token.source').new)))")))
    local prints_token = { main = true, ["commands/token"] = true, session = true, result = true, try = true }
    local files = process.run(("cd %s/share/lua/5.4 && find central -name '*.lua'"):format(tree))
    local found = lua(tree, ([[
      require "central.auth"
      for path in (%q):gmatch "%%S+" do
        print(package.searchers[2](path:gsub("%%.lua$", ""):gsub("/", ".")) and path)
      end]]):format(files))
    for path in files:gmatch "%S+" do
      local command = path:match "/cli/(.*)%.lua"
      local is_text = path == "central/auth.lua" or command and not prints_token[command] or path:find "auth/sandbox"
      assert.equal(not is_text, ("\n" .. found):find("\n" .. path .. "\n", 1, true) ~= nil, path)
    end
    assert.equal("=mine\n", (lua(tree,
      "package.preload['central.auth.token.source'] = load('return { new = function() end }', '=mine') " .. ORIGIN)))
  end)

  it("takes their text where Lua is of another make than that which precompiled them", function()
    process.write(folder .. "/bin/lua5.3", [[#!/bin/sh
      exec lua5.4 -e 'local dump = string.dump function string.dump(...) return (dump(...):gsub("T", "S", 1)) end' "$@"
    ]], "755")
    local tree = folder .. "/another"
    local output, status = run("make install LUA=lua5.3 BUILD=%s PREFIX=%s", folder .. "/other", tree)
    assert.equal(0, status, output)
    assert.equal(("@%s/share/lua/5.4/central/auth/token/source.lua\n"):format(tree), (lua(tree, ORIGIN)))
    assert.matches("^auth.token%(%[options%]%)\n", (lua(tree, "print(require('central.auth').help 'token')")))
    assert_works(tree)
  end)

  it("is described by make help, every target of it", function()
    local help = run("make help")
    for target in process.run("grep -ohE '`make [a-z-]+' README.md */README.md"):gmatch("make ([a-z-]+)") do
      assert.matches("\n  make " .. target:gsub("%-", "%%-") .. " ", "\n" .. help)
    end
  end)
end)

describe("a release", function()
  it("has the rockspec of the repository, but for version and source, which is at the homepage", function()
    local function read(version)
      local rockspec = {}
      assert(loadfile(("rockspec/central-auth-%s-1.rockspec"):format(version), "t", rockspec))()
      return rockspec
    end
    local released, current = read(VERSION), read "scm"
    assert.equal(VERSION .. "-1", released.version)
    assert.truthy(released.source.url:find(("/v%s/central-auth-%s.tar.gz"):format(VERSION, VERSION), 1, true))
    local homepage = process.read("Makefile"):match "\nHOMEPAGE := (%S+)"
    assert.equal(homepage .. "/", released.source.url:sub(1, #homepage + 1))
    assert.equal("git+" .. homepage .. ".git", current.source.url)
    current.version, current.source = released.version, released.source
    assert.same(current, released)
  end)
end)

-- central-auth login: what ends up in the file of the profile, and that no option is lost.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("central-auth login", function()
  local good, home

  setup(function() good = sandbox.start { client_secret = "what no shell likes: '$&;" } end)
  teardown(function() good:close() end)
  before_each(function()
    home = command.home(nil, { CENTRAL_TOKEN_URL = good.token_url, CENTRAL_CA_FILE = good.ca_file })
  end)
  after_each(function() home:remove() end)

  local function modes()
    return (process.run(("stat -c %%a %s %s/config/central-auth"):format(home:profile(), home.folder)))
  end

  it("keeps credentials from standard input in a file of mode 0600, with what belongs to them", function()
    local output, said, status = home:run(("login --client-id %s --client-secret-file -"):format(good.client_id), nil,
      good.client_secret .. "\n")
    assert.equal("0 ", status .. " " .. output)
    assert.matches("The server accepted the credentials; a token is valid for 1 h 59 min.\n"
      .. "The profile \"default\" is in ", said)
    assert.equal("600\n700\n", modes())
    assert.equal("default.lua\n", (process.run("ls -A " .. home.folder .. "/config/central-auth")))
    assert.matches("^%-%- Written by central%-auth login%. .-\nreturn {\n", process.read(home:profile()))
    assert.same({ client_id = good.client_id, client_secret = good.client_secret, token_url = good.token_url,
      ca_file = good.ca_file }, dofile(home:profile()))
    home.environment.CENTRAL_TOKEN_URL, home.environment.CENTRAL_CA_FILE = nil, nil
    assert.equal(0, select(3, home:run "token"))
  end)

  it("writes nothing when the server turns them down", function()
    local _, said, status = home:run("login --client-id x --client-secret-file -", nil, "certainly not the secret")
    assert.equal(1, status)
    assert.matches("invalid_client.*Nothing was written", said)
    assert.is_nil(said:find("certainly not", 1, true))
    assert.is_nil(io.open(home:profile()))
    assert.equal(0, select(3, home:run("login --no-check --client-id x --client-secret-file -", nil, "whatever it is")))
    assert.equal("whatever it is", dofile(home:profile()).client_secret)
  end)

  it("keeps no byte-order mark of a file or of standard input", function()
    local marked = "\xEF\xBB\xBFa secret of an editor\r\n"
    local path = process.write(home.folder .. "/secret", marked, "600")
    local json = process.write(home.folder .. "/json",
      '\xEF\xBB\xBF{ "client_id": "x", "client_secret": "a secret of an editor" }', "600")
    for line, input in pairs {
      ["--client-id x --client-secret-file " .. path] = "", ["--client-id x --client-secret-file -"] = marked,
      ["--from-file " .. json] = "", ["--from-file -"] = process.read(json),
    } do
      os.remove(home:profile())
      assert.equal(0, select(3, home:run("login --no-check " .. line, nil, input)), line)
      assert.equal("a secret of an editor", dofile(home:profile()).client_secret, line)
    end
  end)

  it("takes a file that others may read, and none that they may write", function()
    local secret = process.write(home.folder .. "/secret", "a secret of this user", "644")
    local json = process.write(home.folder .. "/json", '{ "client_id": "x", "client_secret": "y" }', "644")
    for path, options in pairs { [secret] = "--client-id x --client-secret-file ", [json] = "--from-file " } do
      local line = "login --no-check --yes " .. options .. path
      assert.equal(0, select(3, home:run(line)))
      process.run("chmod 666 " .. path)
      local _, said, status = home:run(line)
      assert.equal(1, status)
      assert.truthy(said:find(path .. ": is open to others (mode 0666): run chmod 600 " .. path, 1, true), said)
      assert.is_nil(said:find("a secret of this user", 1, true))
    end
  end)

  it("says where what is wrong came from", function()
    local wrong = "certainly not the secret"
    local function said(line, more, input)
      local _, errors, status = home:run(line, more, input)
      assert.is_nil(errors:find("the argument", 1, true), errors)
      assert.is_nil(errors:find(wrong, 1, true))
      return errors, status
    end
    local path = process.write(home.folder .. "/secret", wrong, "600")
    local line = "login --client-id x --client-secret-file "
    assert.matches("%(client_id from %-%-client%-id, client_secret from standard input%)",
      said(line .. "-", nil, wrong))
    assert.matches("client_secret from " .. path .. "%)", said(line .. path))
    assert.matches("client_secret from the environment variable CENTRAL_CLIENT_SECRET%)",
      said("login --client-id x", { CENTRAL_CLIENT_SECRET = wrong }))
    assert.matches("^central%-auth: client_secret %(from standard input%): .*more than one line",
      said(line .. "-", nil, "a\nb"))
    local shown = home:play("login --client-id x", { { "(not shown): ", "not the secret\r" }, { "Cluster", "\r" },
      { "client_secret from the keyboard)", "" }, { "(not shown): ", "\4" } })
    assert.is_nil(shown:find("the argument", 1, true))
    home:run("login -q -p lab --no-check --client-id x --client-secret-file -", { CENTRAL_PROXY = "http://p:1" }, wrong)
    assert.matches('proxy from the profile "lab"', said("login -p lab --client-id x --client-secret-file -", nil,
      wrong))
    home:write_profile("return { nonsense = 1 }", "lab")
    assert.matches('nonsense %(from the profile "lab" in .*/lab.lua%): unknown option', said(
      "login -p lab --client-id x --client-secret-file -", nil, wrong))
    assert.equal("return { nonsense = 1 }", process.read(home:profile "lab"))
  end)

  it("takes an option before the environment, and ends with 2 where its value is wrong", function()
    local more = { CENTRAL_BASE_URL = "https://api.example.net", CENTRAL_CLUSTER = "US-1" }
    local line = "login -q --no-check --client-id x --client-secret-file - "
    assert.equal(0, select(3, home:run(line .. "--cluster EU-1", more, "whatever it is")))
    assert.equal("EU-1", dofile(home:profile()).cluster)
    assert.is_nil(dofile(home:profile()).base_url)
    for _, option in ipairs { "--cluster nope", "--token-url http://example.net/", "--ca-file /nowhere" } do
      local _, errors, status = home:run(line .. option, nil, "whatever it is")
      assert.equal(2, status, option)
      assert.matches("from " .. option:match("%S+"):gsub("%-", "%%-") .. "%)", errors)
    end
    assert.equal("EU-1", dofile(home:profile()).cluster)
    assert.equal(1, select(3, home:run(line, { CENTRAL_TOKEN_URL = "http://example.net" }, "whatever it is")))
  end)

  it("takes from the environment what belongs to the credentials, as the library would", function()
    local more = { CENTRAL_CLIENT_ID = "x", CENTRAL_CLIENT_SECRET = "whatever it is", CENTRAL_AUDIENCE = "one two",
      CENTRAL_BASE_URL = "api.example.net/", CENTRAL_TIMEOUT = "7", CENTRAL_CACHE = "off",
      CENTRAL_CLIENT_SECRET_FILE = "/x" }
    assert.equal(0, select(3, home:run("login --no-check", more)))
    assert.same({ client_id = "x", client_secret = "whatever it is", audience = { "one", "two" },
      base_url = "https://api.example.net", token_url = good.token_url, ca_file = good.ca_file },
      dofile(home:profile()))
  end)

  it("saves credentials of a sandbox, which are explained after its end", function()
    local server = sandbox.start()
    local more = { CENTRAL_CLIENT_ID = server.client_id, CENTRAL_CLIENT_SECRET = server.client_secret,
      CENTRAL_TOKEN_URL = server.token_url, CENTRAL_CA_FILE = server.ca_file }
    assert.equal(0, select(3, home:run("login -q", more)))
    home.environment.CENTRAL_TOKEN_URL, home.environment.CENTRAL_CA_FILE = nil, nil
    server:close()
    assert.matches('^central%-auth: ca_file %(from the profile "default" in [^\n]*%): /[^\n]*: No such file or '
      .. "directory; it belonged to a sandbox that has ended: start another one, or use other credentials\n",
      home:fails "token")
  end)

  it("asks the server also where a token lies ready", function()
    local credentials = { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret }
    home:run("token", credentials)
    local before = good:requests().token
    assert.equal(0, select(3, home:run("login -q", credentials)))
    assert.equal(before + 1, good:requests().token)
  end)

  it("adds and replaces profiles without losing an option, and says that comments are lost", function()
    home:write_profile([[-- mine
      return { client_id = "l", client_secret_command = "pass l", timeout = 7, hosts = { "a.example" } } -- l
    ]], "lab")
    local before = process.read(home:profile "lab")
    local credentials = { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret }
    local _, said, status = home:run("login -p site", credentials)
    assert.equal(0, status)
    assert.matches('The profile "site" is in [^\n]*/site.lua.\nNext: ', said)
    assert.equal(before, process.read(home:profile "lab"))
    _, said, status = home:run("login -p lab", credentials)
    assert.equal(1, status)
    assert.matches("other credentials and was not changed: .*; %-%-yes replaces them", said)
    assert.equal(before, process.read(home:profile "lab"))
    _, said, status = home:run("login -p lab --yes", credentials)
    assert.equal(0, status)
    assert.matches('The profile "lab" is in [^\n]*/lab.lua; its comments are lost.\nNext: ', said)
    local lab = dofile(home:profile "site")
    lab.timeout, lab.hosts = 7, { "a.example" }
    assert.same(lab, dofile(home:profile "lab"))
  end)

  it("follows a link to the file, and closes a file that was open", function()
    local mine = home.folder .. "/dotfiles/mine.lua"
    process.run(("mkdir -p %s/config/central-auth %s/dotfiles"):format(home.folder, home.folder))
    process.write(mine, "return {}\n", 644)
    process.run(("ln -s %s %s"):format(mine, home:profile()))
    home:run("login", { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret })
    assert.equal("symbolic link\n600\n", (process.run(("stat -c %%F %s; stat -L -c %%a %s"):format(home:profile(),
      home:profile()))))
    assert.equal(good.client_id, dofile(mine).client_id)
  end)

  it("leaves a file alone that has errors, or can't be written", function()
    local credentials = { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret }
    for text, expected in pairs {
      ["return {\n= \n"] = "default.lua: line 2: not valid Lua",
      ["return 1"] = "default.lua: the file must return a table of options: return {",
      ["return { lab = {} }"] = 'lab %(from the profile "default" in .*default.lua%): unknown option',
    } do
      home:write_profile(text)
      local _, errors, status = home:run("login", credentials)
      assert.equal(1, status)
      assert.matches(expected, errors)
      assert.equal(text, process.read(home:profile()))
    end
    os.remove(home:profile())
    process.run("mkdir " .. home:profile())
    assert.matches("default.lua: is a folder", (select(2, home:run("login", credentials))))
    process.run("rmdir " .. home:profile())
    process.run(("rmdir %s/config/central-auth && touch %s/config/central-auth"):format(home.folder, home.folder))
    assert.matches("default.lua can't be written: Not a directory", (select(2, home:run("login", credentials))))
  end)

  it("writes no file whose name is a path", function()
    local credentials = { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret }
    for _, name in ipairs { "../x", "/tmp/x", ".x", "..", "a b", "a/b", "ä" } do
      local _, said, status = home:run(("login --no-check -p '%s'"):format(name), credentials)
      assert.equal(2, status)
      assert.matches("%-%-profile: only letters, digits, %-, _ and %. are allowed in a profile's name,"
        .. " and no %. at its start", said)
      credentials.CENTRAL_PROFILE = name
      _, said, status = home:run("login --no-check", credentials)
      credentials.CENTRAL_PROFILE = nil
      assert.equal(1, status)
      assert.matches("^central%-auth: profile %(from the environment variable CENTRAL_PROFILE%): only letters", said)
    end
    assert.equal("", (process.run(("ls -A %s/config 2>/dev/null"):format(home.folder))))
    assert.equal(0, select(3, home:run("login --no-check -p A-1_b.c", credentials)))
    assert.equal(good.client_id, dofile(home:profile "A-1_b.c").client_id)
  end)

  it("writes nothing where the last question has no answer", function()
    for _, key in ipairs { "\4", "\3" } do
      local shown, status = home:play("login --no-check --client-id x", {
        { "Client secret (not shown): ", "a-secret-of-some-length\r" }, { "API): ", key },
      })
      assert.not_equal(0, status, shown)
      assert.is_nil(io.open(home:profile()))
    end
  end)

  it("takes credentials that were written for another program", function()
    local path = home.folder .. "/handed"
    for _, text in ipairs {
      '{"client_id": "%s", "client_secret": "%s"}',
      '{"new_central": {"client_id": "%s", "client_secret": "%s", "cluster_name": "EU-1", "unknown": 1}}',
      "export CENTRAL_CLIENT_ID=%s\nexport CENTRAL_CLIENT_SECRET='%s'\n",
      "new_central:\n  client_id: %s\n  client_secret: \"%s\"\n",
    } do
      os.remove(home:profile())
      process.write(path, text:format(good.client_id, good.client_secret), 600)
      local _, said, status = home:run("login --from-file " .. path)
      assert.equal(0, status, said)
      assert.equal(good.client_secret, dofile(home:profile()).client_secret)
    end
    process.write(path, '{"client_id": "x", "client_secret": "y", "cluster_name": "US-2"}')
    home:run("login --no-check --yes --from-file " .. path)
    assert.equal("US-2", dofile(home:profile()).cluster)
    local relative = ("../"):rep(20) .. good.ca_file:sub(2)
    process.write(path, ("CENTRAL_CLIENT_ID=x\nCENTRAL_CLIENT_SECRET=y\nCENTRAL_GREENLAKE_URL=%s\nCENTRAL_CA_FILE=%s\n")
      :format(good.base_url, relative))
    home:run("login --no-check --yes --from-file " .. path)
    local kept = dofile(home:profile())
    assert.equal(good.base_url, kept.greenlake_url)
    assert.matches("^/.*" .. relative:gsub("%p", "%%%0"), kept.ca_file)
    process.write(path, '{"a": {"client_id": "x"}, "b": {"client_id": "y"}}')
    assert.matches("the file has several clients", (select(2, home:run("login --from-file " .. path))))
    process.write(path, "nothing of that kind")
    assert.matches("the file has no client_id; write JSON like {.*, or lines like CENTRAL_CLIENT_ID=ID",
      (select(2, home:run("login --from-file " .. path))))
    process.write(path, '{"client_id": "x",\n "client_secret": "hush" "hush"}')
    local _, said = home:run("login --from-file " .. path)
    assert.matches("^central%-auth: " .. path .. ": line 2: not valid JSON; write JSON like", said)
    assert.is_nil(said:find("hush", 1, true))
    assert.matches("^central%-auth: standard input: line 1: not valid JSON",
      (select(2, home:run("login --from-file -", nil, "[1"))))
    process.write(path, '\xEF\xBB\xBF{"client_id": "bom", "client_secret": "y"}')
    home:run("login --no-check --yes --from-file " .. path)
    assert.equal("bom", dofile(home:profile()).client_id)
  end)

  it("asks the server that pycentral's file for On-Prem names, and no other", function()
    local format = '{"new_central": {"base_url": "%s", "client_id": "%s", "client_secret": "%s", '
      .. '"token_endpoint": "%s"}}'
    local path = process.write(home.folder .. "/handed",
      format:format(good.base_url, good.client_id, good.client_secret, good.token_url), "600")
    local before = good:requests().token
    home.environment.CENTRAL_TOKEN_URL = nil
    local _, said, status = home:run("login --ca-file " .. good.ca_file .. " --from-file " .. path)
    assert.equal(0, status, said)
    assert.is_nil(said:find("ignored", 1, true))
    assert.equal(before + 1, good:requests().token)
    local kept = dofile(home:profile())
    assert.equal(good.token_url, kept.token_url)
    assert.equal(good.base_url, kept.base_url)
    process.write(path, format:format("https://central.example", "x", "y", "http://central.example/as/token"))
    _, said, status = home:run("login --yes --from-file " .. path)
    assert.equal(1, status)
    assert.matches("token_url %(from .*handed%): use https://", said)
  end)

  it("names what it does not take of a file, and asks no server that may be the wrong one", function()
    local path = process.write(home.folder .. "/handed", '{"account": "a", "zero": null, "scope": ["b"], '
      .. '"new_central": {"client_id": "x", "client_secret": "hush", "timeout": "5", "empty": "", '
      .. '"docs_url": "https://docs.example"}}', "600")
    home.environment.CENTRAL_TOKEN_URL = nil
    local _, said, status = home:run("login --no-check --from-file " .. path)
    assert.equal(0, status, said)
    assert.matches('^' .. path .. ': ignored: "account", "docs_url", "timeout"\n', said)
    process.write(path, "client_id=x\nclient_secret=hush\nscope=s\n"
      .. "CENTRAL_TOKEN_ENPOINT=https://central.example/as/token\n")
    _, said, status = home:run("login --yes --from-file " .. path)
    assert.equal(1, status)
    assert.matches('handed: "token_enpoint" is ignored, but may be the token endpoint; set %-%-token%-url',
      said)
    process.write(path, '{"client_id": "x", "client_secret": "hush", "token_url": ["https://central.example"]}')
    _, said = home:run("login --yes --from-file " .. path)
    assert.matches('"token_url" is ignored, but may be the token endpoint', said)
    assert.is_nil(said:find("hush", 1, true))
  end)

  it("says what is missing where nobody can be asked", function()
    local _, said, status = home:run "login"
    assert.equal(1, status)
    assert.matches("no client id: .*; set it with %-%-client%-id", said)
  end)

  it("leaves whole files when many log in at once #slow", function()
    local lines = {}
    for i = 1, 12 do
      lines[i] = home:words(("login -q --no-check -p p%d </dev/null &"):format(i % 6), {
        CENTRAL_CLIENT_ID = "client", CENTRAL_CLIENT_SECRET = ("x"):rep(1000 * i),
      })
    end
    process.run(table.concat(lines, "\n") .. "\nwait")
    for i = 0, 5 do
      local found = dofile(home:profile("p" .. i))
      assert.equal("client", found.client_id)
      assert.equal(0, #found.client_secret % 1000)
    end
    assert.equal("6\n", (process.run(("ls -A %s/config/central-auth | wc -l"):format(home.folder))))
  end)

  it("asks a person, and does not show the secret", function()
    local shown, status = home:play("login -p lab", {
      { "Client id: ", good.client_id .. "\r" },
      { "Client secret (not shown): ", good.client_secret .. "\r" },
      { "   7  EU-1         de1.api.central.arubanetworks.com", "" },
      { "Cluster, by number or name; empty for none (then no calls of Central's API): ", "eu-11\r" },
      { '"eu-11" is not in the list; did you mean "EU-1"?', "" },
      { "Cluster, by number", "17\r" }, { '"17" is not in the list', "" },
      { "Cluster, by number", "7\r" },
      { "Next: central-auth token --profile lab", "" }, -- nothing answers for EU-1 here
    }, { https_proxy = "http://127.0.0.1:1" })
    assert.equal(0, status, shown)
    assert.matches("An API call failed: .-127.0.0.1.-\r\nIf the cluster is wrong, run central%-auth login "
      .. "%-%-cluster NAME %-%-profile lab%.", shown)
    assert.is_nil(shown:find(good.client_secret, 1, true))
    assert.equal(good.client_secret, dofile(home:profile "lab").client_secret)
    assert.equal("EU-1", dofile(home:profile "lab").cluster)
    shown, status = home:play("login -p lab", {
      { ("Client id [%s]: "):format(good.client_id), "another\r" }, { "(not shown): ", "whatever\r" },
      { "Replace it? [y/N]: ", "\r" },
    })
    assert.equal(1, status, shown)
    assert.equal(good.client_id, dofile(home:profile "lab").client_id)
  end)

  it("asks a person again after a wrong secret, three times in all", function()
    local line = "login -q --client-id " .. good.client_id
    local typed, refused = "Client secret (not shown): ", "the server answered invalid_client"
    local shown, status = home:play(line, {
      { typed, "not the secret\r" }, { "API): ", "\r" }, { refused, "" }, { typed, good.client_secret .. "\r" },
    })
    assert.equal(0, status, shown)
    assert.is_nil(shown:find("Nothing was written", 1, true))
    assert.equal(good.client_secret, dofile(home:profile()).client_secret)
    os.remove(home:profile())
    local before = good:requests().token
    shown, status = home:play(line, { { typed, "one\r" }, { "API): ", "\r" }, { refused, "" }, { typed, "two\r" },
      { refused, "" }, { typed, "three\r" }, { refused, "" }, { "Nothing was written.", "" } })
    assert.equal(1, status, shown)
    assert.equal(before + 3, good:requests().token)
    assert.is_nil(io.open(home:profile()))
    shown, status = home:play(line, { { typed, "one\r" }, { "API): ", "\r" }, { refused, "" }, { typed, "\4" } })
    assert.equal(1, status, shown)
    assert.matches("no client secret: the input ended", shown)
  end)

  it("takes a cluster by name or label, or none, and asks only where none is set", function()
    local secret = process.write(home.folder .. "/secret", "y", 600)
    local line = "login --no-check --yes --client-id x --client-secret-file " .. secret
    for answer, cluster in pairs { ["us-west-4"] = "us-west-4", de2 = "de2", ["16"] = "Internal" } do
      os.remove(home:profile())
      assert.equal(0, select(2, home:play(line, { { "API): ", answer .. "\r" },
        { "Next: central-auth api /network-monitoring/v1/aps\r", "" } })))
      assert.equal(cluster, dofile(home:profile()).cluster)
    end
    assert.is_nil(home:play(line, {}):find("Cluster,", 1, true)) -- the profile has one
    os.remove(home:profile())
    local shown, status = home:play(line, { { "API): ", "\r" }, { "Next: central-auth token\r", "" } })
    assert.equal(0, status, shown)
    assert.is_nil(dofile(home:profile()).cluster)
    for _, more in ipairs { { CENTRAL_CLUSTER = "UK" }, { CENTRAL_BASE_URL = "https://central.example" } } do
      assert.is_nil(home:play(line, {}, more):find("Cluster,", 1, true))
    end
    os.remove(home:profile())
    assert.is_nil(home:play(line .. " --cluster UK", {}):find("Cluster,", 1, true))
  end)

  it("makes an API call, and names the next command, which works", function()
    local credentials = { CENTRAL_CLIENT_ID = good.client_id, CENTRAL_CLIENT_SECRET = good.client_secret,
      CENTRAL_BASE_URL = good.base_url }
    for _, row in ipairs { { "", "", "" }, { "", " -p lab", " --profile lab" }, { "site", "", "" },
      { "off", "", " --profile default" } } do
      local variable, given, option = table.unpack(row)
      home.environment.CENTRAL_PROFILE = variable
      local before = good:requests().api
      local _, said, status = home:run("login" .. given, credentials)
      assert.equal(0, status, said)
      assert.equal(before + 1, good:requests().api)
      assert.matches("\nAn API call succeeded.\nThe profile [^\n]*\nNext: central%-auth [^\n]*\n$", said)
      local line = said:match "Next: central%-auth ([^\n]*)\n$"
      assert.equal("api /network-monitoring/v1/aps" .. option, line)
      home.environment.CENTRAL_TOKEN_URL, home.environment.CENTRAL_CA_FILE = nil, nil
      local output, errors, ended = home:run(line)
      assert.equal("0 ", ended .. " " .. errors)
      assert.matches('"count":12,', output)
      home.environment.CENTRAL_TOKEN_URL, home.environment.CENTRAL_CA_FILE = good.token_url, good.ca_file
    end
  end)

  it("saves credentials also where the API call fails, with the reason and what works", function()
    good:fail { status = 403, times = 1, of = "api" }
    local _, said, status = home:run("login", { CENTRAL_CLIENT_ID = good.client_id,
      CENTRAL_CLIENT_SECRET = good.client_secret, CENTRAL_BASE_URL = good.base_url })
    assert.equal(0, status, said)
    assert.matches("\nAn API call failed: [^\n]*403[^\n]*\nIf the cluster is wrong, run central%-auth login"
      .. " %-%-cluster NAME%.\n", said)
    assert.matches("\nNext: central%-auth token\n$", said)
    assert.equal(0, select(3, home:run "token"))
    assert.equal(good.base_url, dofile(home:profile()).base_url)
    good:fail { status = 403, times = 1, of = "api" }
    _, said = home:run("login -p lab", { CENTRAL_CLIENT_ID = good.client_id,
      CENTRAL_CLIENT_SECRET = good.client_secret, CENTRAL_BASE_URL = good.base_url })
    assert.matches("run central%-auth login %-%-cluster NAME %-%-profile lab%.\n", said)
  end)

  it("hears Ctrl-C at each question, and the end of input", function()
    for _, key in ipairs { "\3", "\4" } do
      local shown, status = home:play("login", { { "Client id: ", key } })
      assert.equal(key == "\3" and 130 or 1, status, shown)
      assert.is_nil(io.open(home:profile()))
    end
  end)

  it("leaves the terminal as it was when a signal ends it at the secret", function()
    for name, number in pairs { TERM = 15, HUP = 1, QUIT = 3, USR1 = 10, USR2 = 12, ALRM = 14 } do
      local hidden = "until stty -a <&3 | grep -q -e '-echo '; do sleep 0.01; done"
      local inner = ("exec 3<&0; (%s; kill -%s $$) & exec %s"):format(hidden, name, home:words "login --client-id x")
      local shown = command.play("sh -c " .. process.quote(("ulimit -c 0; sh -c %s; echo ended by $?;"
        .. " stty -a | grep -o '.echo '; echo over"):format(process.quote(inner))), {
        { "(not shown): ", "" }, { "over", "" },
      })
      assert.matches("ended by " .. 128 + number .. "%s+ echo %s*over", shown, name)
    end
  end)

  it("leaves the terminal as it was when it is interrupted or stopped at the secret", function()
    local inner = "trap : INT; " .. home:words "login --client-id x" .. "; stty -a | grep -o '.echo '; echo over"
    local shown = command.play("sh -c " .. process.quote(inner), { { "(not shown): ", "\3" }, { "over", "" } })
    assert.matches(" echo %s*over", shown)
    assert.is_nil(shown:find("-echo ", 1, true))
    inner = "set -m; " .. home:words "login --no-check --client-id x"
      .. "; stty -a | grep -o '.echo '; echo back; fg >/dev/null; cat " .. home:profile()
    shown = command.play("bash -c " .. process.quote(inner), {
      { "(not shown): ", "\26" }, { "back", "" }, { "(not shown): ", "typed after a stop\r" },
      { "Cluster", "\r" },
      { "typed after a stop", "" },
    })
    assert.matches(" echo %s*back", shown)
  end)
end)

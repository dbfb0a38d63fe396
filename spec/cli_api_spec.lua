-- central-auth api: an API call as a script and a person see it, in processes of their own against the sandbox.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"

describe("central-auth api", function()
  local APS, SITES, ECHO = "/network-monitoring/v1/aps", "/network-config/v1/sites", "/sandbox/v1/echo"
  local GRANTED = '{"access_token":"a-token","token_type":"Bearer","expires_in":3600}'
  local server, home

  setup(function() server = sandbox.start() end)
  teardown(function() server:close() end)
  before_each(function() home = command.home(server, { CENTRAL_BASE_URL = server.base_url }) end)
  after_each(function()
    server:recover()
    home:remove()
  end)

  -- Runs it where it succeeds; returns standard output.
  local function prints(line, input)
    local output, errors, status = home:run("api " .. line, nil, input)
    assert.equal("0 ", status .. " " .. errors)
    return output
  end

  -- Runs it where it fails; returns standard error and standard output.
  local function fails(line, more)
    local output, errors, status = home:run("api " .. line, more)
    assert.equal(1, status)
    assert.matches("^central%-auth: ", errors)
    return errors, output
  end

  -- What the API got: method, type and body.
  local function sent(line, input)
    local echo = cjson.decode(prints(ECHO .. " " .. line, input))
    return { echo.method, echo.content_type, echo.body }
  end

  -- Runs it at a server that gives a token and then these replies.
  local function at(replies, line)
    table.insert(replies, 1, rude.reply(200, nil, GRANTED))
    local other <close> = rude.start { replies = replies }
    return home:run("api " .. line, { CENTRAL_TOKEN_URL = other.url, CENTRAL_CACHE = "off",
      CENTRAL_BASE_URL = other.url:match "^http://[^/]+" })
  end

  it("prints the answer as JSON, whole numbers without a point", function()
    local output = prints(APS .. " --query limit=2")
    assert.matches('^{"count":2,"items":%[{"deviceName":"lobby%-01",', output)
    assert.equal(12, cjson.decode(output).total)
  end)

  it("prints no byte that is no character, which a terminal might obey", function()
    local output, errors, status = at({ rude.reply(200, nil, '["a\x9B31mb"]') }, "/x --pages")
    assert.equal("0 ", status .. " " .. errors)
    assert.equal('"a\u{FFFD}31mb"\n', output)
  end)

  it("encodes the query, and repeats what is given again", function()
    local query = cjson.decode(prints(ECHO .. " --query 'filter=a eq 1&2' --query x=1 --query x=2 --query x=3")).query
    assert.truthy(query:find("filter=a%20eq%201%262", 1, true), query)
    assert.truthy(query:find("x=1&x=2&x=3", 1, true), query)
  end)

  describe("with pages", function()
    it("follows them by cursor and by offset, and prints an item in each line", function()
      for path, count in pairs { [APS] = 12, [SITES] = 25 } do
        local output = prints(path .. " --pages --query limit=5")
        local lines = select(2, output:gsub("[^\n]+\n", function(line)
          assert.is_nil(cjson.decode(line).total)
        end))
        assert.equal(count, lines)
      end
      assert.equal(25, select(2, prints(SITES .. " --pages --items items"):gsub("\n", "")))
      assert.equal("", prints(SITES .. " --pages --query offset=25"))
    end)

    it("prints items with their names in order, digits as they came", function()
      local output = at({ rude.reply(200, nil, '{"b":[{ "z":12345678901234567890, "a":[1.50, {}] }, "\\/"]}') },
        "/x --pages")
      assert.equal('{"a":[1.50,{}],"z":12345678901234567890}\n"/"\n', output)
    end)

    it("has printed the items before the page that fails", function()
      local output, errors, status = at({ rude.reply(200, nil, '{"items":[1,2],"next":"b"}'),
        rude.reply(404, nil, '{"message":"gone"}') }, "/x --pages")
      assert.equal("1\n2\n", output)
      assert.matches("page 2 %(next=b%) of /x: .*404.*gone", errors)
      assert.equal(1, status)
      assert.matches("page 1 of " .. ECHO .. ": it has no list of items", (fails(ECHO .. " --pages")))
      assert.matches('no list "aps"', (fails(APS .. " --pages --items aps")))
    end)

    it("prints each page when it comes", function()
      local other <close> = rude.start { data = { granted = GRANTED }, handler = function(conn, request)
        if request.path == "/x?next=b" then
          conn:read_request() -- until the client hangs up
        end
        local body = request.path == "/x" and '{"items":[1,2],"next":"b"}' or conn.data.granted
        conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" .. body)
      end }
      local base = other.url:match "^http://[^/]+"
      local log = process.write(home.folder .. "/log", "")
      local child <close> = process.start { log = log, command = { "sh", "-c",
        "exec " .. home:words("api /x --pages", { CENTRAL_TOKEN_URL = other.url, CENTRAL_CACHE = "off",
          CENTRAL_BASE_URL = base }) } }
      process.wait_until(function() return child:output() == "1\n2\n" end, 5, "the first page")
      assert.is_true(child:alive())
    end)
  end)

  describe("with fields", function()
    it("sends a JSON object by POST: texts, and values with types", function()
      assert.same({ "POST", "application/json", '{"a":"1","b":"x=y","c":""}' }, sent "-f a=1 -f b=x=y -f c=")
      assert.same('{"a":1,"b":true,"c":null,"d":-1.50e3,"e":"007","f":"+49","g":12345678901234567890,"h":"1e","i":""}',
        sent("-F a=1 -F b=true -F c=null -F d=-1.50e3 -F e=007 -F f=+49 -F g=12345678901234567890 -F h=1e -F i=")[3])
      assert.same({ "PATCH", "application/json", '{"q":"\\"\\\\ é"}' }, sent "-X PATCH --raw-field 'q=\"\\ é'")
      assert.same({ "PUT", "application/merge-patch+json", '{"a":false}' },
        sent "--method PUT --field a=false -H 'content-type: application/merge-patch+json'")
    end)

    it("sends objects and lists in it", function()
      assert.equal('{"a":{"b":{"c":"1","d":2}},"l":["x","y",3],"o":{"l":[null]}}',
        sent("-f 'a[b][c]=1' -F 'a[b][d]=2' -f 'l[]=x' -f 'l[]=y' -F 'l[]=3' -F 'o[l][]=null'")[3])
    end)

    it("reads the value of a field from a file, or from standard input", function()
      local path = process.write(home.folder .. "/text", "two\nlines\n")
      assert.equal('{"a":"two\\nlines\\n","b":"@x"}', sent("-f b=@x -F a=@" .. path)[3])
      assert.equal('{"a":"true"}', sent("-F a=@-", "true")[3])
      assert.matches("No such file", (fails(ECHO .. " -F a=@/no/such/file")))
      assert.matches("not UTF%-8 text", (fails(ECHO .. " -f a=$(printf '\\377')")))
    end)

    it("refuses those that have no meaning", function()
      for line, said in pairs {
        ["-f name"] = "%-%-raw%-field: not like KEY=VALUE: name", ["-F =1"] = "%-%-field: not like KEY=VALUE: =1",
        ["-f 'a[=1'"] = "must be like key, key%[name%] or key%[%]: a%[", ["-f '[a]=1'"] = "must be like",
        ["-f 'a[b]c=1'"] = "must be like", ["-f 'a[][b]=1'"] = "must be like",
        ["-f a=1 -F a=2"] = "the field a is set twice", ["-f a=1 -f 'a[]=2'"] = "is a value and a list or an object",
        ["-f 'a[b]=1' -f 'a[]=2'"] = "the field a%[%] is", ["-f 'a[]=1' -f a=2"] = "the field a is set twice",
        ["-f a=1 --input -"] = "%-%-input conflicts", ["-f a=1 -X GET"] = "GET sends no body",
      } do
        local output, errors, status = home:run(("api %s %s"):format(ECHO, line))
        assert.equal("2 ", status .. " " .. output)
        assert.matches(said, errors)
      end
    end)
  end)

  it("sends a file or standard input as it is", function()
    local path = process.write(home.folder .. "/body", '{ "a" :1}')
    assert.same({ "POST", "application/json", '{ "a" :1}' }, sent("--input " .. path))
    assert.same({ "PUT", "text/plain", "x\n" }, sent("--input - -X PUT -H 'Content-Type: text/plain'", "x\n"))
    assert.matches("No such file", (fails(ECHO .. " --input /no/such/file")))
    assert.matches("Is a directory", (fails(ECHO .. " --input /")))
    assert.equal("DELETE", sent("-X DELETE")[1])
    assert.equal("POST", sent("-X POST")[1])
  end)

  it("sends header fields, and repeats no secret of them", function()
    local other <close> = rude.start { granted = GRANTED, handler = function(conn, request)
      local body = request.path == "/as/token.oauth2" and conn.data.granted
        or ('{"a":"%s","b":"%s"}'):format(request.headers["x-a"], request.headers.accept)
      conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" .. body)
    end, data = { granted = GRANTED } }
    local output, errors, status = home:run("api /x -H 'X-A:  one two ' -H X-A:three -H 'accept: text/*'", {
      CENTRAL_TOKEN_URL = other.url, CENTRAL_CACHE = "off", CENTRAL_BASE_URL = other.url:match "^http://[^/]+" })
    assert.equal("0 ", status .. " " .. errors)
    assert.equal('{"a":"one two, three","b":"text/*"}\n', output)
    output, errors, status = home:run(("api %s -H 'Authorization s3cret'"):format(ECHO))
    assert.equal("2 ", status .. " " .. output)
    assert.matches("%-%-header: not like NAME:VALUE\n", errors)
    assert.is_nil(errors:find("s3cret", 1, true))
    for field, said in pairs {
      ["Authorization: Bearer s3cret"] = "Authorization is set by central%-auth",
      ["X(A): s3cret"] = '"X%(A%)" is not the name', ["Content-Type: s3cret"] = "there is no body",
    } do
      output, errors, status = home:run(("api %s -H '%s'"):format(ECHO, field))
      assert.equal("2 ", status .. " " .. output)
      assert.matches("%-%-header: .*" .. said, errors)
      assert.is_nil(errors:find("s3cret", 1, true))
    end
  end)

  it("checks header fields before it reads the body", function()
    local _, errors, status = home:run("api /x --input /no/such/file -H 'Host: x'")
    assert.equal(2, status)
    assert.matches("%-%-header: Host is set by central%-auth", errors)
  end)

  it("prints status and header fields before the body, and no token", function()
    local output = prints(APS .. " -i --query limit=1")
    local head, body = output:match "^(.-)\n\n(.*)$"
    assert.matches("^HTTP/1.1 200\n", head)
    assert.matches("\ncontent%-type: application/json\n", head)
    assert.equal(12, cjson.decode(body).total)
    assert.is_nil(output:find((home:run("token"):gsub("\n", "")), 1, true))
    assert.matches("^HTTP/1.1 200\n[^{]*\n\n$", prints(ECHO .. " -X HEAD --include"))
    local _, failed = fails "/no/such/thing -i"
    assert.matches("^HTTP/1.1 404\n.*\n\n{", failed)
  end)

  it("prints a body as it is with --raw, also one that is not the JSON that it should be", function()
    for _, body in ipairs { '{"b":1, "a":2}', "{", "line\n", "\0\xFF" } do
      local output, errors, status = at({ rude.reply(200, nil, body) }, "/x --raw")
      assert.equal("0 ", status .. " " .. errors)
      assert.equal(body, output)
    end
    local output, errors, status = at({ rude.reply(400, { ["Content-Type"] = "text/html" }, "<p>no") }, "/x --raw")
    assert.equal("<p>no", output)
    assert.matches("HTTP status 400", errors)
    assert.equal(1, status)
  end)

  it("makes as many attempts as --tries says, each as long as --try-timeout says", function()
    server:fail { status = 503, times = 2, of = "api" }
    local before = server:requests().api
    assert.matches("503", (fails(APS .. " --tries 1")))
    prints(APS .. " --tries 2 --try-timeout 20")
    assert.equal(3, server:requests().api - before)
    assert.matches("try_timeout: .*call's timeout, 2, expected", (fails(APS .. " --timeout 2 --try-timeout 3")))
    local _, errors, status = home:run("api " .. APS .. " --tries 0")
    assert.equal(2, status)
    assert.matches("%-%-tries: not a whole number above 0, like 60: 0", errors)
  end)

  it("fails with the server's words on standard error, and its body where it is JSON", function()
    local errors, output = fails "/no/such/thing"
    assert.matches("404.*There is no such resource", errors)
    assert.equal("HPE_GL_ERROR_NOT_FOUND", cjson.decode(output).errorCode)
    local status
    for body, kind in pairs { ["<p>no"] = "text/html", ["{"] = "application/json" } do
      output, errors, status = at({ rude.reply(400, { ["Content-Type"] = kind }, body) }, "/x")
      assert.equal("1 ", status .. " " .. output)
      assert.matches("HTTP status 400", errors)
    end
    assert.matches("base_url", (fails(APS, { CENTRAL_BASE_URL = false })))
    server:fail { status = 500, times = math.huge, of = "api" }
    assert.matches("500", (fails(APS .. " --timeout 800ms")))
    fails "https://example.net/"
  end)

  it("calls GreenLake, for which no base_url is needed", function()
    local greenlake = { CENTRAL_BASE_URL = false, CENTRAL_GREENLAKE_URL = server.base_url }
    local output, errors, status = home:run("api /workspaces/v1/msp-tenants --app greenlake --pages --query limit=2",
      greenlake)
    assert.equal("0 ", status .. " " .. errors)
    assert.equal(7, select(2, output:gsub("\n", "")))
    assert.equal(2, select(3, home:run "api /x --app aruba"))
  end)

  it("calls for a tenant, by its id or its name", function()
    local before = server:requests().token
    prints(APS)
    local greenlake = { CENTRAL_GREENLAKE_URL = server.base_url }
    for _, tenant in ipairs { "tenant-02", ("%032x"):format(2 * 7919) } do
      local output, errors, status = home:run(("api %s --tenant %s"):format(APS, tenant), greenlake)
      assert.equal("0 ", status .. " " .. errors)
      assert.equal(12, cjson.decode(output).total)
    end
    assert.equal(2, server:requests().token - before) -- the MSP's, and one for both calls
    assert.matches('none of 7 tenants has the name tenant%-2; did you mean "tenant%-02"',
      (fails(APS .. " --tenant tenant-2", greenlake)))
  end)

  it("says which options do not go together", function()
    for line, said in pairs {
      ["'" .. SITES .. "?offset=5' --pages"] = "by %-%-query", [APS .. " --items items"] = "needs %-%-pages",
      [APS .. " --pages -i"] = "%-%-pages is for GET", [APS .. " --pages --raw"] = "conflicts with",
      [ECHO .. " --pages -f a=1"] = "%-%-pages is for GET", ["sites"] = "PATH must begin with /",
      [APS .. " --no-such"] = "unknown option", [APS .. " -X FETCH"] = "must be one of",
      [APS .. " --query a"] = "not like NAME=VALUE: a", [APS .. " --timeout never"] = "%-%-timeout",
      [APS .. " --tenant ''"] = "%-%-tenant: the value is empty", [""] = "missing argument 'path'",
    } do
      local output, errors, status = home:run("api " .. line)
      assert.equal("2 ", status .. " " .. output)
      assert.matches(said, errors)
    end
  end)

  it("takes another token after a 401", function()
    home:run "token"
    server:revoke()
    prints(APS)
  end)

  it("ends on Ctrl-C while the API is silent #slow", function()
    local shown, status = home:play(("api '%s?wait=20'"):format(ECHO), { { "⠙", "\3" } })
    assert.equal(130, status, shown)
  end)

  it("ends on Ctrl-C between pages, too", function()
    local shown, status = home:play(("api '%s?wait=20' --pages"):format(ECHO), { { "⠙", "\3" } })
    assert.equal(130, status, shown)
  end)
end)

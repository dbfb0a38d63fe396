-- Numbers on the wire under a locale whose decimal point is a comma, at whatever moment it is set. The locale is made
-- for these specs, and set in separate processes.
local child = require "spec.support.child"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local PREPARE = [[
local auth, cjson, client
local work = {}

function work.comma() assert(os.setlocale "de_DE.UTF-8") assert(tostring(0.5) == "0,5") end
function work.point() assert(os.setlocale "C") end
function work.load() auth, cjson = require "central.auth", require "cjson" end
function work.others() cjson.new() end -- another user of lua-cjson, which then takes the locale of this moment

function work.use()
  if not client then
    client = assert(auth.new { client_id = "x", client_secret = "a-long-enough-secret", token_url = os.getenv "SERVER",
      base_url = os.getenv("SERVER"):match "^http://[^/]+", cache = false })
  end
  assert(client:renew())
  local life = client:status().lifetime
  assert(life == 3599.5, life)
  local reply = assert(client:post("/x", { query = { x = 1.5, y = 0.1, z = 1e300 }, json = { x = { 8.5, 47.25 } },
    headers = { ["X-Half"] = 0.5 } }))
  assert(reply.json.half == 0.5 and reply.json.large == -1.5e300)
  assert(reply.rate_limit.reset == 17.25, reply.rate_limit.reset)
  for item in client:pages "/pages" do
    assert(item == 1)
  end
  assert(require("central.auth.config.resolve").resolve({ client_id = "x", client_secret = "y" }).timeout == 20.25)
  local ok, message = client:post("/x", { json = { 1 / 3 } })
  assert(not ok and message:find("0.33333333333333331 has more digits", 1, true), message)
end
]]

describe("a locale with a decimal comma", function()
  local folder

  setup(function()
    folder = process.scratch()
    local said, status = process.run("localedef -i de_DE -f UTF-8 " .. process.quote(folder .. "/de_DE.UTF-8"))
    assert(status == 0, said)
  end)

  teardown(function() process.remove(folder) end)

  for _, order in ipairs {
    "comma load use", "load comma use", "load use comma use point use", "load comma others point others comma use",
    "load comma others point use comma use",
  } do
    it(("changes no number on the wire: %s"):format(order), function()
      local server <close> = rude.start { handler = function(conn, request)
        local body, more = '{"access_token":"t","token_type":"Bearer","expires_in":3599.5}', ""
        if request.path:find("^/x") then
          body, more = '{"half":0.5,"large":-1.5e300}', "RateLimit-Reset: 17.25\r\n"
        elseif request.path == "/pages" then
          body = '{"items":[1],"next":2.5}'
        elseif request.path:find("^/pages") then
          body = '{"items":[1],"next":null}'
        end
        conn:write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n", more, "\r\n", body)
      end }
      local calls = ("for name in (%q):gmatch '%%a+' do work[name]() end print 'done'"):format(order)
      assert.equal("done\n", (child.run(PREPARE .. calls, {
        LOCPATH = folder, SERVER = server.url, CENTRAL_TIMEOUT = "20.25", HOME = folder,
      })))
      local posts, pages = 0, 0
      for _, request in ipairs(server:requests()) do
        if request.path:find("^/x") then
          posts = posts + 1
          assert.equal("/x?x=1.5&y=0.1&z=1e%2B300", request.path)
          assert.equal('{"x":[8.5,47.25]}', request.body)
          assert.equal("0.5", request.headers["x-half"])
        elseif request.path:find("^/pages%?") then
          pages = pages + 1
          assert.equal("/pages?next=2.5", request.path)
        end
      end
      local uses = select(2, order:gsub("use", ""))
      assert.same({ uses, uses }, { posts, pages })
    end)
  end

  it("ends no number behind the comma after it", function()
    assert.equal("2 5 7199\n", (child.run([[
      local json = require "central.auth.json"
      assert(json.decode "[1,5]"[2] == 5)
      assert(os.setlocale "de_DE.UTF-8")
      local list = json.decode "[1,5]"
      local reply = json.decode '{"expires_in":7199,"access_token":"t"}'
      print(("%d %d %d"):format(#list, list[2], reply and reply.expires_in or 0))
    ]], { LOCPATH = folder, HOME = folder })))
  end)

  it("sends no number wrong where the point has several bytes", function()
    local said, status = process.run("localedef -i ps_AF -f UTF-8 " .. process.quote(folder .. "/ps_AF.UTF-8"))
    assert(status == 0, said)
    local output = child.run([[
      local json_body = require "central.auth.api.json_body"
      assert(os.setlocale "ps_AF.UTF-8")
      assert(#tostring(0.5) == 4)
      print(json_body.encode { 8, 1e300, "8.5" })
      print(json_body.encode { x = { 8.5 } })
    ]], { LOCPATH = folder, HOME = folder })
    assert.equal('[8,1e+300,"8.5"]\nnil\t8.5 has a fraction, which lua-cjson can\'t write with a decimal point of '
      .. "several bytes; pass the number as a string, or the JSON text in body\n", output)
  end)

  it("changes no number in a profile that is written", function()
    process.run("mkdir " .. folder .. "/central-auth")
    local path = process.write(folder .. "/central-auth/lab.lua", "return { timeout = 7.5 }", "600")
    local said = child.run([[
      assert(os.setlocale "de_DE.UTF-8")
      local source = { values = { connect_timeout = 0.25 }, from = "a spec" }
      print(require("central.auth.config.profile_store").put("lab", source, "a spec"))
    ]], { LOCPATH = folder, XDG_CONFIG_HOME = folder })
    assert.equal(path .. "\n", said)
    assert.same({ timeout = 7.5, connect_timeout = 0.25 }, dofile(path))
  end)

  it("changes nothing in a sandbox", function()
    assert.equal("done\n", (child.run([[
      local auth, sandbox = require "central.auth", require "central.auth.sandbox"
      local server <close> = sandbox.start { lifetime = 90.5 }
      for _, locale in ipairs { "de_DE.UTF-8", "C" } do
        assert(os.setlocale(locale))
        server:lifetime(120.5)
        local client <close> = assert(auth.new(server:options()))
        assert(client:renew())
        assert(client:status().lifetime == 120.5)
      end
      print "done"
    ]], { LOCPATH = folder, PATH = os.getenv "PATH", HOME = folder, TMPDIR = folder })))
  end)
end)

-- The examples for programs whose Lua is not 5.4, each run by that program as Debian has it: HAProxy and nginx with the
-- token that the example for systemd keeps in a file, Neovim with the command.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local ROOT = process.run("pwd"):gsub("\n", "")
local EXAMPLES = ROOT .. "/lua/examples/"
local HOST = "us1.api.central.arubanetworks.com"
local APS = "/network-monitoring/v1/aps"

describe("the examples for other programs #hosts", function()
  local folder, server, home

  before_each(function()
    server = sandbox.start()
    home = command.home(server, { CENTRAL_BASE_URL = server.base_url })
    folder = home.folder
  end)
  after_each(function()
    home:remove()
    server:close()
  end)

  local function plain(text)
    return (text:gsub("%p", "%%%0"))
  end

  -- An example with its places filled in, each of which must be there: pairs of what it says and what it means here.
  local function filled_in(name, places)
    local text = process.read(EXAMPLES .. name)
    for _, place in ipairs(places) do
      local count
      text, count = text:gsub(plain(place[1]), (place[2]:gsub("%%", "%%%%")))
      assert.is_true(count > 0, place[1])
    end
    return process.write(("%s/%s"):format(folder, name:match "[^/]+$"), text)
  end

  describe("that read a file", function()
    local unit, port, running

    before_each(function()
      port = process.free_port()
      unit = filled_in("systemd/central-token.service", {
        { "/usr/bin/central-auth", ("/usr/bin/lua5.4 %s/lua/central-auth"):format(ROOT) },
        { "/etc/central", folder }, { "your-client-id", server.client_id },
      })
      process.run(("mkdir -m 700 %s/central-token"):format(folder))
      process.write(folder .. "/secret", server.client_secret, "600")
    end)
    after_each(function()
      if running then
        running:stop()
        running = nil
      end
    end)

    -- Runs the service once, as systemd would, after the command `before` in its environment.
    local function refresh(before)
      local text = process.read(unit):gsub("%%t", folder)
      local variables = { CENTRAL_CLIENT_ID = false, CENTRAL_CLIENT_SECRET = false, CREDENTIALS_DIRECTORY = folder }
      for name, value in text:gmatch "\nEnvironment=([%w_]+)=([^\n]*)" do
        variables[name] = value:gsub("%%d/" .. text:match "\nLoadCredential=(%w+):", folder .. "/secret")
      end
      local words = text:match "\nExecStart=/usr/bin/lua5.4 %S+/lua/central%-auth ([^\n]*)"
      if before then
        home:run(before, variables)
      end
      assert.same({ "", "", 0 }, { home:run(words, variables) })
    end

    local function status()
      return (process.run(("curl -s -o /dev/null -w '%%{http_code}' http://127.0.0.1:%d%s"):format(port, APS)))
    end

    -- From no file at all to the first token, and from a revoked one to the next.
    local function lives_through_tokens(start)
      running = start()
      running:wait_for_port(port, 30)
      assert.equal("503", status())
      refresh()
      process.wait_until(function() return status() == "200" end, 30, "the first token")
      server:revoke()
      assert.equal("401", status())
      refresh "renew"
      process.wait_until(function() return status() == "200" end, 30, "the new token")
      os.remove(folder .. "/central-token/header") -- what it has read stays
      assert.equal("200", status())
    end

    it("are filled by a unit that systemd takes, which makes one token request", function()
      local timer = filled_in("systemd/central-token.timer", {})
      assert.same({ "", 0 }, { process.run(("systemd-analyze --man=no verify %s %s"):format(unit, timer)) })
      refresh()
      refresh()
      assert.equal(1, server:requests().token)
      assert.matches("^Bearer %S+\n$", process.read(folder .. "/central-token/header"))
    end)

    it("let HAProxy call the API, with each new token #slow #job_haproxy", function()
      local script = EXAMPLES .. "haproxy.lua"
      local file = filled_in("haproxy.cfg", {
        { "/etc/haproxy/central.lua", script }, { "/run", folder }, { "127.0.0.1:8080", "127.0.0.1:" .. port },
        { HOST .. ":443", server.base_url:match "//(.*)" }, { HOST, "localhost" },
        { "/etc/ssl/certs/ca-certificates.crt", server.ca_file },
      })
      assert.same({ "", 0 }, { process.run(("haproxy -c -q -f %s"):format(file)) })
      lives_through_tokens(function()
        return process.start { command = { "haproxy", "-db", "-f", file }, log = folder .. "/log" }
      end)
    end)

    it("let nginx call the API, with each new token #slow #job_nginx", function()
      local site = filled_in("nginx.conf", {
        { "/run", folder }, { "127.0.0.1:8080", "127.0.0.1:" .. port },
        { "https://" .. HOST, (server.base_url:gsub("127.0.0.1", "localhost")) },
        { "/etc/ssl/certs/ca-certificates.crt", server.ca_file },
      })
      local file = process.write(folder .. "/main.conf", ([[
        load_module /usr/lib/nginx/modules/ndk_http_module.so;
        load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
        daemon off; pid @/pid; error_log stderr; %s
        events { }
        http {
          access_log off;
          client_body_temp_path @/body; proxy_temp_path @/p; fastcgi_temp_path @/f; uwsgi_temp_path @/u;
          scgi_temp_path @/s;
          include %s;
        }]]):gsub("@", folder):format(process.run "id -u" == "0\n" and "user root;" or "", site))
      lives_through_tokens(function()
        return process.start { command = { "nginx", "-p", folder, "-c", file }, log = folder .. "/log" }
      end)
    end)
  end)

  describe("for Neovim", function()
    -- Runs this Lua text in it once the example is loaded; what it writes by `say`.
    local function neovim(text)
      local said = process.write(folder .. "/said", "")
      local script = process.write(folder .. "/script.lua", ([[
        local file = io.open(%q, "w")
        function say(...) file:write(table.concat({ ... }, "\t"), "\n") end
        local ok, why = pcall(function()
          local central = dofile(%q)
          %s
        end)
        if not ok then say("failed", why) end
        file:close()
        vim.cmd "qall!"]]):format(said, EXAMPLES .. "neovim.lua", text))
      process.run(("mkdir -p %s/bin"):format(folder))
      process.write(folder .. "/bin/central-auth", ("#!/bin/sh\nexec lua5.4 %s/lua/central-auth \"$@\"\n"):format(ROOT),
        "755")
      local environment = { PATH = folder .. "/bin:" .. home.environment.PATH, XDG_STATE_HOME = folder }
      for name, value in pairs(home.environment) do
        environment[name] = environment[name] or value
      end
      local line = "env -i %stimeout 60 nvim --headless -u NONE -i NONE -S %s </dev/null"
      local output, status = process.run(line:format(process.assignments(environment), script))
      assert.equal(0, status, output)
      return process.read(said), output
    end

    it("opens a buffer with the items that an API lists, and leaves the editor free meanwhile", function()
      local said = neovim([[
        vim.cmd "Central ]] .. APS .. [["
        say(vim.api.nvim_buf_line_count(0), vim.bo.filetype)
        vim.wait(30000, function() return vim.bo.filetype == "json" end, 10)
        for _, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, true)) do
          say(vim.fn.json_decode(line).serialNumber)
        end]])
      local before, list = said:match "^(.-)\n(.*)$"
      assert.equal("1\t", before)
      assert.equal(12, select(2, list:gsub("CN%d+\n", "")), said)
    end)

    it("shows what went wrong, and opens nothing", function()
      local said = neovim [[
        vim.notify = function(text, level) say(level == vim.log.levels.ERROR and "error", text) shown = true end
        vim.cmd "Central /no/such/thing"
        vim.wait(30000, function() return shown end, 10)
        say(vim.api.nvim_buf_line_count(0), vim.fn.winnr "$")]]
      assert.matches("^error\tcentral%-auth: .*/no/such/thing.*404.*\n1\t1\n$", said)
    end)

    it("returns a header for other plugins, or says why there is none", function()
      local header = "Bearer " .. home:run "token"
      assert.equal(header, (neovim "say(central.header())"))
      home.environment.CENTRAL_CLIENT_SECRET = "certainly-not-the-secret"
      assert.matches("^failed\tcentral%-auth: .*invalid_client.*\n$", (neovim "say(central.header())"))
    end)
  end)
end)

-- The module at a prompt: what it says of itself, and the manual's transcript, played on a terminal.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local command = require "spec.support.command"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

describe("auth.help", function()
  it("needs no sources but the one by which `require` begins", function()
    local folder = process.scratch()
    process.run(("mkdir -p %s/central && cp lua/central/auth.lua %s/central/"):format(folder, folder))
    local output, status = process.run(("LUA_PATH='%s/?.lua' lua5.4 -l auth=central.auth -e '%s'"):format(folder,
      [[io.write(auth.help(), "\n", auth.help "token", "\n", select(2, pcall(auth.help, "tokn")))]]))
    process.remove(folder)
    assert.equal(0, status, output)
    assert.truthy(output:find(auth.help(), 1, true), output)
    assert.truthy(output:find(auth.help "token", 1, true), output)
    assert.matches('unknown topic "tokn"; did you mean "token"%?', output)
  end)

  it("has every function, with what it takes and returns", function()
    local overview = auth.help()
    for name, value in pairs(auth) do
      if type(value) == "function" then
        assert.truthy(overview:find("\n  auth." .. name .. "(", 1, true), name)
        local text = auth.help(name)
        assert.matches("^auth%." .. name .. "%(.-%)\n\n%u.*%.", text)
        assert.equal(text, auth.help("auth." .. name .. "()"))
      end
    end
    assert.matches("auth.token%(%[options%]%)", auth.help "token")
    assert.matches("%.min_valid +number +seconds", auth.help "token")
    assert.matches("On failure: nil, message, code, detail", auth.help "token")
  end)

  it("has functions of tables, and those that are short for another", function()
    for name in pairs(require("central.auth.api.api_clients").methods) do
      assert.truthy(auth.help("credentials"):find("\n  auth.credentials." .. name .. "(", 1, true)
        or auth.help("credentials"):find("^  auth.credentials." .. name .. "%("), name)
      assert.matches("^auth%.credentials%." .. name .. "%(", auth.help("credentials." .. name))
    end
    assert.matches("^auth%.get%(target, %[options%]%)\n\nGET, otherwise like auth.request.\n", auth.help "get")
    assert.matches("%.json +any", auth.help "post")
  end)

  it("has every option and every error code", function()
    for _, name in ipairs(options.names()) do
      assert.truthy(auth.help("options"):find("\n  " .. name .. " ", 1, true), name)
      assert.matches("^option " .. name, auth.help(name))
    end
    for _, code in ipairs(errors.codes) do
      assert.truthy(auth.help("errors"):find("\n  " .. code .. " ", 1, true), code)
      assert.matches("\nerror code " .. code .. ": ", "\n" .. auth.help(code))
    end
  end)

  it("has every variable of the environment, those of options among them", function()
    for _, name in ipairs(options.names()) do
      local variable = "CENTRAL_" .. name:upper()
      if options.get(name).arguments_only then
        assert.is_false(pcall(auth.help, variable))
      else
        assert.truthy(auth.help(name):find(auth.help(variable), 1, true), variable)
      end
    end
    for _, row in ipairs(require "central.auth.config.environment") do
      assert.truthy(auth.help("environment"):find("\n  " .. row[1] .. "\n", 1, true), row[1])
      for name in row[1]:gmatch "[%w_]+" do
        assert.truthy(auth.help(name):find(row[2], 1, true), name)
      end
    end
  end)

  it("has the methods of objects, and functions of other modules, by any of their names", function()
    for _, name in ipairs { "pending:done", "server:fail", "sandbox.start", "loops.cqueues" } do
      assert.equal(name .. "(", auth.help(name):match "^[^(]+%(")
      assert.equal(auth.help(name), auth.help(name:match "[%w_]+$"))
      assert.truthy(auth.help(name:match "^%w+"):find("  " .. name .. "(", 1, true), name)
    end
    assert.equal(auth.help "get", auth.help "client:get()")
    assert.matches("\n    %.rate_limit +", auth.help "get") -- of what it returns
  end)

  it("names what was meant, and raises where the caller is", function()
    for mistyped, meant in pairs { CENTRAL_PROFIL = "CENTRAL_PROFILE", https_proxi = "https_proxy",
      time_out = "timeout", rate_limitd = "rate_limited", credential = "credentials" } do
      local _, message = pcall(auth.help, mistyped)
      assert.truthy(message:find(('did you mean "%s"?'):format(meant), 1, true), message)
    end
    assert.matches("auth.help%(%) lists all topics$", select(2, pcall(auth.help, "something else")))
    local ok, message = pcall(auth.help, "tokn")
    assert.is_false(ok)
    assert.matches('help_spec.lua:%d+: help: unknown topic "tokn"; did you mean "token"%?', message)
    assert.is_false(pcall(auth.help, auth))
  end)
end)

describe("the module", function()
  it("names the function that was meant, and is nil where none was", function()
    local ok, message = pcall(function() return auth.tokn end)
    assert.is_false(ok)
    assert.matches("help_spec.lua:%d+: there is no auth.tokn; did you mean auth.token%?", message)
    assert.is_nil(auth.something_else)
    assert.is_nil(auth.key)
    assert.is_nil(auth[1])
    assert.is_nil(auth._private)
    assert.matches("^central.auth %d", auth._VERSION)
  end)

  it("says what it is and how it stands", function()
    local server <close> = sandbox.start()
    assert(auth.configure(server:options()))
    assert.matches("^central.auth [%d.]+: no token yet; auth.token%(%) gets one$", tostring(auth))
    assert(auth.token())
    assert.matches("a fresh token, valid for 1 h 59 min$", tostring(auth))
    assert(auth.configure { access_token = "e30.eyJleHAiOjV9.c2ln", profile = false }) -- its exp is 5
    assert.is_nil(auth.token())
    assert.matches("the token has expired; auth.token%(%) gets another$", tostring(auth))
    auth.close()
    assert.matches("closed; make another client", tostring(auth))
    assert.is_nil(tostring(auth):find("table: ", 1, true))
  end)
end)

describe("the manual's transcript", function()
  local transcript = process.read("lua/README.md"):match "\n```\n(%$ lua5.4 %-l auth=central.auth\n.-)\n```"

  -- What is shown may hold … for what differs each time.
  local function pattern_of(text)
    return (text:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".-"))
  end

  it("is what a person sees", function()
    local server <close> = sandbox.start()
    local home <close> = command.home(server)
    local steps, wanted, first = {}, {}, true
    for line in (transcript .. "\n"):gmatch "([^\n]*)\n" do
      local typed = line:match "^> (.*)$"
      if typed then
        steps[#steps + 1] = { first and "> " or "\n> ", typed .. "\r" }
        first = false
      end
      line = line:gsub("^(clock_skew +)%S+", "%1…") -- its Date is of the second before, or of the same
      wanted[#wanted + 1] = not line:find "^%$" and pattern_of(line) or nil
    end
    steps[#steps + 1] = { "\n> ", "\4" }
    local environment = { TERM = "dumb" }
    for name, value in pairs(home.environment) do
      environment[name] = value
    end
    local line = ("env -i %s lua5.4 -l auth=central.auth"):format(process.assignments(environment))
    local shown = command.play(line, steps)
    shown = shown:gsub("\r", ""):gsub("\27%[[%d;?]*%a", "")
    for _, pattern in ipairs(wanted) do
      assert.matches("\n" .. pattern .. "\n", "\n" .. shown)
    end
    assert.matches(table.concat(wanted, "\n"), shown)
  end)
end)

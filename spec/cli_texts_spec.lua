-- What the command says of itself: help, manual page, completions and manual come from one source and agree.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"
local program = require "central.auth.cli.texts"

local section = process.read("lua/README.md"):match "\n## The command\n(.-)\n## "

describe("the words of central-auth", function()
  local home, page

  setup(function()
    home = command.home()
    local path = process.write(home.folder .. "/central-auth.1", require("central.auth.cli.man").page())
    page = process.run("MANWIDTH=100 LC_ALL=C.UTF-8 man -l " .. path)
  end)
  teardown(function() home:remove() end)

  local function check_options(description, help, place, row)
    for _, option in ipairs(description.options or {}) do
      local long = option[2] or option[1]
      assert.truthy(help:find(long, 1, true), long)
      assert.truthy(place:find(long, 1, true), long)
      assert.truthy(row:find(long, 1, true), long)
    end
    for _, text in ipairs { description.summary, description.description } do
      assert.matches("^%u.*[.]$", text)
    end
  end

  for _, command_name in ipairs(program.command_names) do
    local name = command_name:gsub("%-", "%%-") -- in patterns
    local description = program.command(command_name)

    it(command_name .. " has help, a place in the manual page and in the manual, its options in each", function()
      local help, errors, status = home:run(command_name .. " --help")
      assert.equal("0 ", status .. " " .. errors)
      for _, rows in ipairs { program.statuses, description.statuses or {} } do
        for _, row in ipairs(rows) do
          assert.matches("\nExit status:\n.* " .. row[1] .. " ", help)
        end
      end
      local row = section:match("\n| `central%-auth " .. name .. "[^`]*` |[^\n]+")
      local place = page:match("\n   central%-auth " .. name .. "[ \n].-\n   central%-auth ") or page:match(
        "\n   central%-auth " .. name .. "[ \n].-\nEXIT STATUS")
      assert.truthy(row, "no row in the manual")
      assert.truthy(place, "not in the manual page")
      check_options(description, help, place, row)
      for _, inner in ipairs(description.commands or {}) do
        help = home:run(("%s %s --help"):format(command_name, inner.name))
        place = page:match(("\n   central%%-auth %s %s .-\n   central%%-auth "):format(name, inner.name))
        row = section:match(("\n| `central%%-auth %s %s[^`]*` |[^\n]+"):format(name, inner.name))
        check_options(inner, help, place, row)
      end
      assert.truthy(home:run("--help"):find(description.summary:sub(1, 30), 1, true))
    end)
  end

  it("tell all exit statuses, in the manual page and in the manual", function()
    local seen = {}
    local function check(rows)
      for _, row in ipairs(rows or {}) do
        seen[row[1]] = true
      end
    end
    check(program.statuses)
    for _, description in program.commands() do
      check(description.statuses)
    end
    for status in pairs(seen) do
      assert.matches("\n +" .. status .. " ", page)
      assert.truthy(section:find(("`%d`"):format(status), 1, true), status)
    end
  end)

  it("make a manual page that man and mandoc find no fault with", function()
    local path = home.folder .. "/central-auth.1"
    local warnings = "LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z %s 2>&1 >/dev/null"
    assert.equal("", (process.run(warnings:format(path))))
    local faults = process.run("mandoc -T lint -W warning " .. path)
    assert.equal("", (faults:gsub("[^\n]*missing date[^\n]*\n", "")))
    for _, heading in ipairs { "NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES",
      "EXAMPLES" } do
      assert.truthy(page:find("\n" .. heading .. "\n", 1, true), heading)
    end
    assert.equal(0, select(2, process.run(("cmp %s %s/central-auth.1"):format(path, os.getenv "BUILD"))))
  end)

  it("are ASCII where the locale has no more", function()
    assert.is_nil(require("central.auth.cli.man").page():find "[^\n -~]")
    for _, line in ipairs { "--help", "token --help", "login --help", "exec --help", "token", "doctor --offline" } do
      local output, errors = home:run(line, { LC_ALL = "C" })
      assert.is_nil((output .. errors):find "[^\n -~]", line)
    end
    assert.matches("CENTRAL_CLIENT_ID=ID", (home:run "login --help"))
    local long = "api " .. ("x"):rep(300)
    assert.matches("x…\n$", (select(2, home:run(long))))
    assert.matches("x%.%.%.\n$", (select(2, home:run(long, { LC_ALL = "C" }))))
  end)

  it("show that invalidate takes no token, but the - that has one read", function()
    assert.matches("^Usage: central%-auth invalidate %[%-h%] %[%-%]\n", (home:run "invalidate --help"))
    assert.matches("\n   central%-auth invalidate %[%-%]\n", page)
    assert.matches("{%-}", (home:run "invalidate --help"))
    local _, said, status = home:run "invalidate a-token"
    assert.equal(2, status)
    assert.is_nil(said:find("a-token", 1, true))
  end)

  it("complete in bash, zsh and fish", function()
    local function complete(shell, words, code)
      local script = home.folder .. "/completion"
      process.write(script, (home:run("completion " .. shell)))
      return (process.run(("%s -c %s"):format(shell, process.quote(code:format(script, words)))))
    end
    local bash = "source %s; COMP_WORDS=(central-auth %s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1));"
      .. " $(complete -p central-auth | grep -o -- '-F [^ ]*' | cut -c4-) central-auth; echo ${COMPREPLY[@]}"
    assert.equal("token\n", complete("bash", "tok", bash))
    assert.matches("%-%-lifetime", (complete("bash", "sandbox --li", bash)))
    assert.equal("-\n", complete("bash", "invalidate ''", bash))
    assert.equal("zsh\n", complete("bash", "completion z", bash))
    assert.equal("greenlake\n", complete("bash", "api --app gr", bash))
    assert.equal("doctor\n", complete("bash", "help doc", bash))
    assert.equal("EU-1 EU-Central2 EU-Central3\n", complete("bash", "login --cluster EU", bash))
    assert.equal("DELETE\n", complete("bash", "api -X D", bash))
    assert.matches("\n%-\n", "\n" .. complete("fish", "", "source %s; complete -C 'central-auth invalidate '"))
    assert.matches("^US%-East1%s", (complete("fish", "", "source %s; complete -C 'central-auth login --cluster US-E'")))
    assert.matches('invalidate%).-": :%(%-%)"', (home:run "completion zsh"))
    assert.matches("{%-p,%-%-profile}\"%[Use this profile%]: :%(%$%(ls ", (home:run "completion zsh"))
    assert.matches('exec%).-"%*::: :_normal"', (home:run "completion zsh"))
    assert.matches('"%-%-cluster%[[^%]]*%]: :%(US%-1 US%-2 .* Internal%)"', (home:run "completion zsh"))
    process.run(("mkdir -p %s/p/central-auth; cd %s/p/central-auth; touch emea.lua '$(true).lua' x.txt; touch"
      .. " lab.2.lua"):format(home.folder, home.folder))
    local profiles = ("export XDG_CONFIG_HOME=%s/p; "):format(home.folder)
    assert.equal("emea lab.2\n", complete("bash", "token --profile ''", profiles .. bash))
    assert.equal("emea\tUse this profile\nlab.2\tUse this profile\n",
      complete("fish", "", profiles .. "source %s; complete -C 'central-auth token -p '"))
    assert.matches("lua5%.4", (complete("bash", "exec lua5", bash)))
    assert.matches("lua5%.4", (complete("bash", "sandbox -- lua5", bash)))
    assert.equal("\n", complete("bash", "exec ls lua5", bash))
    assert.matches("lua5%.4", (complete("fish", "", "source %s; complete -C 'central-auth exec lua5'")))
    assert.matches("lua5%.4", (complete("fish", "", "source %s; complete -C 'central-auth sandbox -- lua5'")))
    assert.matches("status", (complete("fish", "", "source %s; complete -C 'central-auth stat'")))
    assert.matches("doctor", (complete("fish", "", "source %s; complete -C 'central-auth help doc'")))
    assert.matches("%-%-offline", (complete("fish", "", "source %s; complete -C 'central-auth doctor --off'")))
    process.write(home.folder .. "/_central-auth", (home:run "completion zsh"))
    assert.equal("_central-auth\n", (process.run(("zsh -fc %s"):format(process.quote(
      ("fpath=(%s $fpath); autoload -U compinit; compinit -u -D; echo $_comps[central-auth]; autoload +X _central-auth"
        .. " && functions _central-auth >/dev/null"):format(home.folder))))))
  end)

  it("take a subcommand that has subcommands", function()
    package.loaded["central.auth.cli.commands.zoo"] = {
      summary = "Keep animals.", description = "Keeps animals.",
      commands = { {
        name = "feed", summary = "Feed one.", description = "Feeds one.", options = { { "--hay", help = "With hay." } },
        arguments = { { name = "animal", help = "Which." } },
      } },
    }
    table.insert(program.command_names, "zoo")
    local options = require("central.auth.cli.parser").parse { "zoo", "feed", "--hay", "okapi" }
    local text = require("central.auth.cli.man").page()
    table.remove(program.command_names)
    package.loaded["central.auth.cli.commands.zoo"] = nil
    assert.same({ "zoo", "feed", "okapi", true }, { options.command, options.action, options.animal, options.hay })
    assert.truthy(text:find("zoo feed", 1, true))
  end)

  it("have no secrets in arguments: no option takes one", function()
    local function check(description)
      for _, option in ipairs(description.options or {}) do
        local name = option[2] or option[1]
        assert.is_false(option.value ~= nil and option.value ~= "FILE" and name:find "secret" ~= nil, name)
        assert.is_nil(option.value and name:find "^%-%-token$")
      end
      for _, inner in ipairs(description.commands or {}) do
        check(inner)
      end
    end
    for _, description in program.commands() do
      check(description)
    end
  end)
end)

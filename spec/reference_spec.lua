-- What the sources say of themselves: complete for everything people call, the same in annotations, manual and code,
-- and a reference made of it whose links lead somewhere.
-- SPDX-License-Identifier: MIT

local annotations = dofile ".ci/reference/annotations.lua"
local errors = require "central.auth.errors"
local options = require "central.auth.config.options"
local process = require "spec.support.process"

local manual = process.read "lua/README.md"

-- A table of the manual, by what its mark says.
local function table_of(name)
  return manual:match("<!%-%- table: " .. name .. " %-%->(.-)<!%-%- end %-%->")
end

local function lines(command)
  return process.run(command):gmatch "[^\n]+"
end

local function items_of(module)
  return select(2, annotations.of_lua(process.read("lua/" .. module:gsub("%.", "/") .. ".lua")))
end

-- The one item of this name.
local function class(module, name)
  for _, item in ipairs(items_of(module)) do
    if item.name == name then
      return item
    end
  end
end

local function names(values)
  local list = {}
  for _, value in ipairs(values) do
    list[#list + 1] = value.name
  end
  table.sort(list)
  return list
end

describe("annotations", function()
  it("are there for every function that people call, with a text; where they are they have all parameters", function()
    local count = 0
    for path in lines "find lua/central -name '*.lua'" do
      local text, told = process.read(path), {}
      local people_call = annotations.public[path:match "lua/(.*)%.lua":gsub("/", ".")]
      for _, item in ipairs(select(2, annotations.of_lua(text))) do
        if item.kind == "function" and item.name then
          local where = path .. ": " .. item.name
          assert.is_true(#item.text > 0 or not people_call, where)
          for i, argument in ipairs(item.arguments or {}) do
            assert.is_true(argument:find "^_" ~= nil or argument == "..." or item.params[i] ~= nil
              and item.params[i].name == argument, where)
          end
          told[item.name], count = true, count + 1
        end
      end
      for name in text:gmatch "\nfunction [%w_]+[.:](%l[%w_]*)" do
        assert.is_true(told[name] or not people_call, path .. ": " .. name)
      end
    end
    assert.is_true(count > 100, count)
  end)

  it("tell every field by a type", function()
    for path in lines "find lua/central -name '*.lua'" do
      for _, item in ipairs(items_of((path:gsub("^lua/", ""):gsub("%.lua$", "")))) do
        for _, value in ipairs(item.fields) do
          assert.is_true(value.name ~= nil and value.type ~= nil, path)
        end
      end
    end
  end)

  it("of the module are those of what it has", function()
    local told = {}
    for _, item in ipairs(items_of "central.auth.functions") do
      told[item.name] = item.kind == "function" and "function" or item.kind == "value" and "table" or nil
    end
    local found = {}
    for name, value in pairs(require "central.auth") do
      found[name] = not name:find "^_" and type(value) or nil
    end
    assert.same(found, told)
  end)

  it("name every option with its variable, and so does the manual", function()
    local fields = class("central.auth.config.types", "central.auth.Options").fields
    assert.same(options.names(), names(fields))
    for _, field in ipairs(fields) do
      local variable = "CENTRAL_" .. field.name:upper()
      local expected = not options.get(field.name).arguments_only
      assert.equal(expected, field.text:find("^" .. variable .. "%f[^%w_]") ~= nil, field.name)
      assert.equal(expected, manual:find("`" .. variable .. "`", 1, true) ~= nil, field.name)
    end
  end)

  it("name every error code", function()
    local codes = table.move(errors.codes, 1, #errors.codes, 1, {})
    table.sort(codes)
    assert.same(codes, names(class("central.auth.errors", "central.auth.Code").fields))
  end)

  it("name every event and every field of a failure's detail, and so does the manual", function()
    local events, fields = {}, {}
    for name in table_of("names event EventName"):gmatch "\n| `([%w_]+)` |" do
      events[#events + 1] = { name = name }
    end
    for name in table_of("fields field Detail"):gmatch "\n| `([%w_]+)` |" do
      fields[#fields + 1] = { name = name }
    end
    assert.same(names(events), names(class("central.auth.config.types", "central.auth.EventName").fields))
    assert.same(names(fields), names(class("central.auth.errors", "central.auth.Detail").fields))
    for name in process.run("grep -rhoE 'note\\(.*[{]' lua/central"):gmatch '"([%w_]+)"' do
      local told = false
      for _, event in ipairs(events) do
        told = told or event.name == name
      end
      assert.is_true(told, name)
    end
  end)

  it("name what a status has, and so does the manual", function()
    for _, field in ipairs(class("central.auth.token.status", "central.auth.Status").fields) do
      assert.truthy(table_of("fields field Status"):find("\n| `" .. field.name .. "` |", 1, true), field.name)
    end
  end)
end)

describe("methods and fields", function()
  local sorted_names = require("central.auth.util").sorted_names

  -- A module, compiled from its text: what is precompiled has no names of variables.
  local function from_text(name)
    return assert(loadfile("lua/" .. name:gsub("%.", "/") .. ".lua"))(name)
  end

  -- The value of a local variable that a function uses.
  local function upvalue(used_by, name)
    for at = 1, math.huge do
      local found, value = debug.getupvalue(used_by, at)
      if found == name then
        return value
      end
      assert(found, name)
    end
  end

  local function section(title)
    return manual:match("\n## " .. title .. "\n(.-)\n## ")
  end

  local function words(text, pattern)
    local found = {}
    for word in text:gmatch(pattern) do
      found[word] = true
    end
    return sorted_names(found)
  end

  local function methods(module, owner)
    local list = {}
    for _, item in ipairs(items_of(module)) do
      list[#list + 1] = item.kind == "function" and item.owner == owner and item or nil
    end
    return list
  end

  local pending, sandbox = from_text "central.auth.token.pending", from_text "central.auth.sandbox"
  local calls, credentials = from_text "central.auth.api.methods", from_text "central.auth.api.api_clients"
  local client, loops = from_text "central.auth.client", require "central.auth.loops"
  local more = from_text "central.auth.client.methods"

  it("of objects are the same in code, annotations and manual", function()
    for _, object in ipairs {
      { upvalue(pending.new, "metatable").__index, "central.auth.token.pending", "central.auth.Pending",
        words(section "Event loops", "`pending:(%l+)%(") },
      { loops, "central.auth.loops", "loops",
        words(section "Event loops", "`loops%.(%l+)%(") },
      { upvalue(sandbox.start, "metatable").__index, "central.auth.sandbox", "central.auth.sandbox.Server",
        words(section "The sandbox", "`server:([%l_]+)[({ ]") },
      { credentials.methods, "central.auth.api.api_clients", "central.auth.Credentials",
        words(section "Personal API clients", "`auth%.credentials%.(%l+)%(") },
    } do
      local code, module, owner, told = table.unpack(object)
      assert.same(sorted_names(code), names(methods(module, owner)), owner)
      assert.same(sorted_names(code), told, owner)
    end
  end)

  it("of a client are those of the module that act on one", function()
    local code = { credentials = true }
    local look_up = upvalue(client.new, "metatable").__index
    for _, of in ipairs { upvalue(look_up, "Client"), upvalue(more.look_up, "Client"),
      upvalue(calls.look_up, "Methods") } do
      for name in pairs(of) do
        code[name] = not name:find "^_" or nil -- those are for api/methods
      end
    end
    local told = methods("central.auth.client", "central.auth.Client")
    for _, module in ipairs { methods("central.auth.client.methods", "central.auth.Client"),
      methods("central.auth.api.methods", "central.auth.Client"),
      class("central.auth.api.methods", "central.auth.Client").fields } do
      table.move(module, 1, #module, #told + 1, told)
    end
    assert.same(sorted_names(code), names(told))
    for name in pairs(require "central.auth") do
      code[name] = not (name == "new" or name == "configure" or name == "help") or nil
    end
    assert.same(sorted_names(code), names(told))
  end)

  it("of tables of options are the same in code, annotations and manual", function()
    local api_call, pages = require "central.auth.api.call", from_text "central.auth.api.pages"
    for _, one in ipairs {
      { api_call.options, "central.auth.api.call", "central.auth.RequestOptions", "API calls" },
      { upvalue(pages.check, "OPTIONS"), "central.auth.api.pages", "central.auth.PagesOptions", "API calls" },
      { upvalue(from_text("central.auth.token.tenant").check, "TYPES"), "central.auth.token.tenant",
        "central.auth.TenantOptions", "Tenants" },
    } do
      local code, module, name, title = table.unpack(one)
      assert.same(sorted_names(code), names(class(module, name).fields), name)
      for option in pairs(code) do
        assert.truthy(section(title):find("`" .. option .. "[` ]"), option)
      end
    end
    for option in pairs(upvalue(credentials.methods.create, "CREATE")) do
      assert.truthy(section "Personal API clients":find("`" .. option .. "`", 1, true), option)
    end
    local told = table_of "fields option sandbox.Options"
    assert.same(names(class("central.auth.sandbox", "central.auth.sandbox.Options").fields),
      words(told, "\n| `([%l_]+)` |"))
  end)

  it("of what is returned are all in the manual", function()
    for place, title in pairs {
      ["central.auth.api.response central.auth.Reply"] = "API calls",
      ["central.auth.api.response central.auth.RateLimit"] = "API calls",
      ["central.auth.api.tenants central.auth.Tenant"] = "Tenants",
      ["central.auth.api.api_clients central.auth.PersonalClient"] = "Personal API clients",
      ["central.auth.sandbox central.auth.sandbox.Server"] = "The sandbox",
    } do
      for _, field in ipairs(class(place:match "(%S+) (%S+)").fields) do
        assert.truthy(section(title):find("[`.]" .. field.name .. "`"), field.name)
      end
    end
  end)
end)

describe("variables of the environment", function()
  local told = {}
  for _, row in ipairs(require "central.auth.config.environment") do
    for name in row[1]:gmatch "[%w_]+" do
      told[name] = true
    end
  end

  local function read_by_code(found)
    for quoted in lines [[{ grep -rl getenv lua/central | xargs sed 's/value = "[A-Z]*"//'
      grep -rhE 'getenv|_(proxy|PROXY)"' csrc; } | grep -oE '"[A-Z]+(_[A-Z]+)*"|"[a-z]+_proxy"']] do
      local name = quoted:sub(2, -2)
      found[name] = not options.get(name:gsub("^CENTRAL_", ""):lower()) or nil
    end
  end

  -- What a request over TLS makes libcurl, and OpenSSL below it, look at.
  local function read_by_libcurl(found)
    local folder = process.scratch()
    process.run(([[env LD_PRELOAD=%s/spec_getenv.so GETENV_LOG=%s/log lua5.4 -e '
      require("central.auth").new { client_id = "x", client_secret = "y", cache = false, timeout = 1,
        token_url = "https://127.0.0.2:1" }:token()']])
      :format(os.getenv "BUILD", folder))
    for name, library in process.read(folder .. "/log"):gmatch "(%S+) (%S+) %S+\n" do
      found[name] = library:find "libcurl" ~= nil or found[name] or told[name]
    end
    process.remove(folder)
  end

  it("are told of, all that are read and no others #hosts", function()
    local found = { CENTRAL_TOKEN = true }
    read_by_code(found)
    read_by_libcurl(found)
    assert.same(told, found)
  end)

  it("are told of by the manual and by the manual page in the same words", function()
    local rows = {}
    local section = manual:match "\n## Environment\n(.-)\n## ":gsub("`", "")
    for names_of, text in section:gmatch "\n| ([^|\n]*) | ([^|\n]*) |" do
      rows[#rows + 1] = not names_of:find "^[-v]" and { names_of, text } or nil
    end
    assert.same(require "central.auth.config.environment", rows)
    assert.same(rows, { table.unpack(require("central.auth.cli.texts").environment, 2) })
  end)
end)

describe("the reference", function()
  it("has a page for every module and header, and no link that leads nowhere", function()
    local folder = process.scratch()
    local output, status = process.run("make reference BUILD=" .. folder)
    assert.equal(0, status, output)
    assert.is_nil(output:find "not found", output)
    local headers = process.read(folder .. "/reference/index.html"):match "<h2>Headers</h2>(.-)</ul>"
    assert.equal((process.run "cd csrc && ls */*.h | grep -v lauth.h | LC_ALL=C sort | sed 's,.*/,,'"):gsub("\n", " "),
      headers:gsub("<[^>]*>", ""):gsub("%s+", " "):gsub("^ ", ""))
    local modules = process.read(folder .. "/reference/index.html"):match "<h2>Modules</h2>(.-)</ul>"
    assert.same({ "central.auth.functions", "central.auth.client" },
      { modules:match ">(central[%w_.]*)<.->(central[%w_.]*)<" })
    local pages = 0
    for path in lines(("find %s/reference -name '*.html'"):format(folder)) do
      pages = pages + 1
      local text, base = process.read(path), path:match "^(.*/)"
      for target, place in text:gmatch 'href="([^"#:]*)#?([^":]*)"' do -- no other site's
        local linked = target == "" and text or process.read(base .. target)
        if place ~= "" then
          assert.truthy(linked:find(('name = "%s"'):format(place), 1, true)
            or linked:find(('name="%s"'):format(place), 1, true), path .. " -> " .. target .. "#" .. place)
        end
      end
      assert.is_nil(text:find("@{", 1, true), path)
      assert.is_nil(text:find("???", 1, true), path) -- LDoc's word for what it could not find
      assert.is_nil(text:find("www.lua.org", 1, true), path) -- names of ours that Lua has, too
    end
    for path in lines "find lua/central csrc -name '*.lua' -o -name '*.h'" do
      if not (path:find "config/validate" or path:find "lauth.h" or path:find "central/auth.lua") then
        local name = path:find "%.h$" and path:match "[^/]+$" or path:match "^lua/(.*)%.lua$":gsub("/", ".")
        assert.equal("1\n", (process.run(("find %s/reference -name '%s.html' | wc -l"):format(folder, name))), name)
      end
    end
    assert.is_true(pages > 40, pages)
    process.remove(folder)
  end)
end)

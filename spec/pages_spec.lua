-- Paging: over replies from a list, and over the network against the sandbox.
local auth = require "central.auth"
local cjson = require "cjson"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"

local BASE = "https://us1.api.central.arubanetworks.com"

-- A client whose API answers with the JSON that `page(query, n)` returns.
local function client(page)
  local s
  s = scripted.new(function(n)
    if n == 1 then
      return scripted.token("t1", 80000)
    end
    local body, status = page(s.next_query(), n - 1)
    return scripted.api(status or 200, body)
  end, { base_url = BASE })
  s.next_query = function() return s.last_request.url:match "%?(.*)$" or "" end
  return s
end

local function collect(s, ...)
  local items = {}
  for item in s.client:pages(...) do
    items[#items + 1] = item
  end
  return items
end

local function fails(s, ...)
  local arguments = table.pack(...)
  local ok, failure = pcall(function() return collect(s, table.unpack(arguments, 1, arguments.n)) end)
  assert.is_false(ok)
  return failure
end

describe("pages", function()
  it("follow a cursor until it is null", function()
    local s = client(function(query, n)
      assert.equal(({ "limit=2", "limit=2&next=b%2Fc", "limit=2&next=7" })[n], query)
      return ({ '{"items":[1,2],"next":"b/c","total":5}', '{"items":[3,4],"next":7,"total":5}',
        '{"items":[5],"next":null,"total":5}' })[n]
    end)
    assert.same({ 1, 2, 3, 4, 5 }, collect(s, "/x", { query = { limit = 2 } }))
  end)

  it("follow a cursor that is missing or empty at the end", function()
    for _, last in ipairs { '{"items":[2]}', '{"items":[2],"next":""}', '{"items":[],"next":"c","total":1}' } do
      local s = client(function(_, n) return n == 1 and '{"items":[1],"next":"b"}' or last end)
      assert.equal(1, collect(s, "/x")[1])
      assert.equal(3, s.requests)
    end
  end)

  it("count offsets until the total", function()
    local s = client(function(query, n)
      assert.equal(({ "offset=0", "offset=2", "offset=4" })[n], query)
      return ({ '{"items":[1,2],"total":5,"offset":0,"count":2}', '{"items":[3,4],"total":5,"offset":2,"count":2}',
        '{"items":[5],"total":5,"offset":4,"count":1}' })[n]
    end)
    assert.same({ 1, 2, 3, 4, 5 }, collect(s, "/x", { query = { offset = 0 } }))
  end)

  it("count offsets without a total, until an empty page", function()
    local s = client(function(query)
      local offset = tonumber(query:match "offset=(%d+)") or 0
      return offset < 4 and ('{"items":[%d,%d],"offset":"%d"}'):format(offset, offset + 1, offset)
        or '{"items":[],"offset":4}'
    end)
    assert.same({ 0, 1, 2, 3 }, collect(s, "/x"))
  end)

  it("echo cursors digit for digit", function()
    local s = client(function(query, n)
      assert.equal(n == 1 and "" or "next=900719925474099", query)
      return n == 1 and '{"items":[1],"next":900719925474099}' or '{"items":null,"next":null}'
    end)
    assert.same({ 1 }, collect(s, "/x"))
  end)

  it("begin where they are told", function()
    local s = client(function(query) return query == "offset=4" and '{"items":[5],"total":5}' or "{" end)
    assert.same({ 5 }, collect(s, "/x", { query = { offset = 4 } }))
  end)

  it("find the list by whatever name", function()
    for body, options in pairs {
      ['{"sites":[1],"note":"x"}'] = {}, ["[1]"] = {}, ['{"items":[1],"b":[2]}'] = {},
      ['{"a":[1],"b":[2]}'] = { items = "a" },
    } do
      assert.same({ 1 }, collect(client(function() return body end), "/x", options))
    end
    assert.same({}, collect(client(function() return '{"items":[],"total":0}' end), "/x"))
    assert.same({}, collect(client(function() return "[]" end), "/x"))
  end)

  it("come whole where that is asked for, with their reply", function()
    local s = client(function(_, n) return n == 1 and '{"items":[1,2],"next":"b"}' or '{"items":[3],"next":null}' end)
    local sizes = {}
    for items, reply in s.client:pages("/x", { by = "page" }) do
      sizes[#sizes + 1] = #items
      assert.equal(200, reply.status)
    end
    assert.same({ 2, 1 }, sizes)
  end)

  it("may be left early, and hold null and false", function()
    local s = client(function() return '{"items":[false,null,1],"next":"b"}' end)
    local next_item = s.client:pages "/x"
    assert.is_false(next_item())
    assert.equal(cjson.null, next_item())
    assert.equal(2, s.requests)
  end)

  it("end when the collection shrinks meanwhile", function()
    local s = client(function(_, n) return n == 1 and '{"items":[1,2],"total":9}' or '{"items":[],"total":2}' end)
    assert.same({ 1, 2 }, collect(s, "/x"))
  end)
end)

describe("a failure of pages", function()
  it("is raised at the loop, with page, cause and code", function()
    local s = client(function(_, n)
      if n < 3 then
        return ('{"items":[%d],"next":"c%d"}'):format(n, n)
      end
      return '{"message":"no such page"}', 400
    end)
    local failure = fails(s, "/x")
    assert.equal("page 3 (next=c2) of /x: GET /x: HTTP status 400; the server says: no such page", tostring(failure))
    assert.equal("api", failure.code)
    assert.equal(400, failure.detail.status)
  end)

  it("tells a circle, whatever its length, before long", function()
    for length = 1, 40 do
      local s = client(function(_, n) return ('{"items":[1],"next":"c%d"}'):format(n % length) end)
      local failure = fails(s, "/x")
      assert.equal("reply", failure.code)
      assert.truthy(tostring(failure):find("leads around in a circle", 1, true))
      assert.is_true(s.requests < 4 * length + 5, s.requests)
    end
  end)

  it("tells pages without end", function()
    local s = client(function(_, n) return ('{"items":[1],"next":"c%d"}'):format(n) end)
    assert.truthy(tostring(fails(s, "/x", { max_pages = 5 })):find("more pages than max_pages, 5", 1, true))
    assert.equal(6, s.requests)
    s = client(function(_, n) return ('{"items":[],"next":"c%d"}'):format(n) end)
    assert.truthy(tostring(fails(s, "/x")):find("in a row without an item", 1, true))
  end)

  it("tells a page that has no list, or several", function()
    for body, options in pairs {
      ['{"a":1}'] = {}, ['{"a":[1],"b":[1]}'] = {}, ["7"] = {}, ["null"] = {}, ['{"items":7,"a":1}'] = {},
      ['{"a":[]}'] = { items = "b" },
    } do
      local failure = fails(client(function() return body end), "/x", options)
      assert.equal("reply", failure.code)
      assert.truthy(tostring(failure):find("page 1 of /x: it has no list", 1, true), tostring(failure))
    end
  end)

  it("tells a cursor that is none", function()
    local failure = fails(client(function() return '{"items":[1],"next":{"a":1}}' end), "/x")
    assert.truthy(tostring(failure):find("neither text nor a number", 1, true), tostring(failure))
  end)

  it("raises mistakes at once, where they are made", function()
    local s = client(function() return "[]" end)
    for part, call in pairs {
      ['"item" or "page" expected'] = function() s.client:pages("/x", { by = "site" }) end,
      ['unknown option "raw"'] = function() s.client:pages("/x", { raw = true }) end,
      ["unknown option"] = function() s.client:pages("/x", { page = 1 }) end,
      ["max_pages: a whole number, 1 or more, expected, got 1.5"] = function()
        s.client:pages("/x", { max_pages = 1.5 })
      end,
      ["got -nan"] = function() s.client:pages("/x", { max_pages = 0 / 0 }) end,
      ["got inf"] = function() s.client:pages("/x", { max_pages = math.huge }) end,
      ["got 0"] = function() s.client:pages("/x", { max_pages = 0 }) end,
      ["a path or a URL"] = function() s.client:pages() end,
      ["give next and offset"] = function() s.client:pages "/x?limit=2&offset=2" end,
      ["with a colon"] = function() s.client.pages "/x" end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(message:find(part, 1, true), message)
    end
    assert.truthy(tostring(fails(s, "/a/../b")):find("a segment ..", 1, true))
  end)

  it("is raised by the default client, too, where that can't be set up", function()
    local ok, failure = pcall(auth.pages, "/x")
    assert.is_false(ok)
    assert.equal("config", failure.code)
  end)
end)

describe("many pages", function()
  it("take no more memory than few", function()
    local body = cjson.encode { items = { "a", "b", "c" }, next = "@" }
    local s = client(function(_, n)
      return (body:gsub("@", n < 10000 and "c" .. n or ""))
    end)
    local count, early = 0, nil
    for _ in s.client:pages "/x" do
      count = count + 1
      if count == 300 then
        collectgarbage()
        collectgarbage()
        early = collectgarbage "count"
      end
    end
    collectgarbage()
    collectgarbage()
    assert.equal(30000, count)
    -- 256 KiB: a reference kept of each page would take more than twice as much.
    assert.is_true(collectgarbage "count" < early + 256, collectgarbage "count" - early)
  end)

  it("come over the network, in coroutines beside each other", function()
    local server <close> = sandbox.start()
    local options = server:options()
    options.wait = loops.cqueues
    local c <close> = assert(auth.new(options))
    local loop, sites, aps = cqueues.new(), 0, 0
    loop:wrap(function()
      for _ in c:pages("/network-config/v1/sites", { query = { limit = 1, offset = 0 } }) do
        sites = sites + 1
      end
    end)
    loop:wrap(function()
      for _ in c:pages("/network-monitoring/v1/aps", { query = { limit = 1 } }) do
        aps = aps + 1
      end
    end)
    assert(loop:loop())
    assert.same({ 25, 12 }, { sites, aps })
    assert.equal(1, server:requests().token)
    assert.equal(37, server:requests().api)
  end)
end)

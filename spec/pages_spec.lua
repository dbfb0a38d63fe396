-- Paging: over replies from a list, over the network against the sandbox, and at servers that do it otherwise, or say
-- one thing and do another, over plain HTTP on the loopback address. Each item comes once, or there is a failure.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cjson = require "cjson"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local rude = require "spec.support.rude"
local sandbox = require "central.auth.sandbox"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

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

  it("come from GreenLake where the option app says so", function()
    local s = client(function(_, n) return n == 1 and '{"items":[1],"next":"b"}' or '{"items":[2]}' end)
    assert.same({ 1, 2 }, collect(s, "/devices/v1/devices", { app = "greenlake" }))
    assert.equal("https://global.api.greenlake.hpe.com/devices/v1/devices?next=b", s.last_request.url)
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
      assert.truthy(tostring(failure):find("pages form a loop", 1, true))
      assert.is_true(s.requests < 4 * length + 5, s.requests)
    end
  end)

  it("tells pages without end", function()
    local s = client(function(_, n) return ('{"items":[1],"next":"c%d"}'):format(n) end)
    assert.truthy(tostring(fails(s, "/x", { max_pages = 5 })):find("more pages than max_pages, 5", 1, true))
    assert.equal(6, s.requests)
    s = client(function(_, n) return ('{"items":[],"next":"c%d"}'):format(n) end)
    assert.truthy(tostring(fails(s, "/x")):find("pages in a row have no items", 1, true))
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
    assert.truthy(tostring(failure):find("must be text or a number", 1, true), tostring(failure))
  end)

  it("raises mistakes at once, where they are made", function()
    local s = client(function() return "[]" end)
    for part, call in pairs {
      ['"item" or "page" expected'] = function() s.client:pages("/x", { by = "site" }) end,
      ['"central" or "greenlake" expected, got "glp"'] = function() s.client:pages("/x", { app = "glp" }) end,
      ['unknown option "raw"'] = function() s.client:pages("/x", { raw = true }) end,
      ["unknown option"] = function() s.client:pages("/x", { page = 1 }) end,
      ["max_pages: a whole number of 1 or more expected, got 1.5"] = function()
        s.client:pages("/x", { max_pages = 1.5 })
      end,
      ["got -nan"] = function() s.client:pages("/x", { max_pages = 0 / 0 }) end,
      ["got inf"] = function() s.client:pages("/x", { max_pages = math.huge }) end,
      ["got 0"] = function() s.client:pages("/x", { max_pages = 0 }) end,
      ["a path or a URL"] = function() s.client:pages() end,
      ["set next and offset"] = function() s.client:pages "/x?limit=2&offset=2" end,
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
    local c <close> = assert(auth.new(with(server:options(), { wait = loops.cqueues })))
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

describe("pages of a server of its own kind:", function()
  -- A server that answers a path and its query with the body that `data` has for it; "*" is for all others. HERE stands
  -- for the server.
  local function serve(data)
    return rude.start { data = data, handler = function(conn, request)
      local body = conn.data[request.path] or conn.data["*"]
      if request.path == "/as/token.oauth2" then
        body = '{"access_token":"t","token_type":"Bearer","expires_in":3600}'
      end
      conn:write(("HTTP/1.1 %d Done\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"):format(
        body and 200 or 404))
      local text = (body or '{"message":"no such page"}'):gsub("HERE", "http://" .. request.headers.host)
      conn:write(text)
    end }
  end

  -- The items that come, the failure if any, and the number of API calls.
  local function walk(data, path, options)
    local server <close> = serve(data)
    local c <close> = assert(auth.new { client_id = "x", client_secret = "a-long-enough-secret", cache = false,
      token_url = server.url, base_url = server.url:match "^http://[^/]+" })
    local items = {}
    local ok, failure = pcall(function()
      for item in c:pages(path or "/x", options) do
        items[#items + 1] = item
      end
    end)
    return items, not ok and tostring(failure) or nil, #server:requests() - 1
  end

  local function gives(expected, data, path, options)
    local items, failure = walk(data, path, options)
    assert.is_nil(failure)
    assert.same(expected, items)
  end

  -- Fails with such words, and has given no item twice before.
  local function fails_with(words, data, path, options)
    local items, failure, calls = walk(data, path, options)
    assert.truthy(failure, "no failure")
    assert.truthy(failure:find(words, 1, true), failure)
    local seen = {}
    for _, item in ipairs(items) do
      local key = type(item) == "table" and item.id or item
      assert.is_nil(seen[key])
      seen[key] = true
    end
    assert.is_true(calls < 6, calls)
  end

  local LIMIT = { query = { limit = 2 } }

  describe("an empty page before the total", function()
    it("is a failure", function()
      fails_with("page 2 (offset=2) of /x: it is the last page, but only 2 of 5 items", {
        ["/x"] = '{"items":[1,2],"total":5}', ["/x?offset=2"] = '{"items":[],"total":5}',
      })
      fails_with("page 1 of /x: it is the last page, but only 0 of 5 items", { ["/x"] = '{"items":[],"total":5}' })
      fails_with("page 2 (next=b) of /x: it is the last page, but only 1 of 3 items", {
        ["/x"] = '{"items":[1],"next":"b","total":3}', ["/x?next=b"] = '{"items":[],"next":null,"total":3}',
      })
      fails_with("page 1 of /x: it is the last page, but only 1 of 3",
        { ["/x"] = '{"items":[1],"next":null,"total":3}' })
    end)

    it("is none where the total has come down to it, or has grown", function()
      gives({ 1, 2 }, { ["/x"] = '{"items":[1,2],"total":3}', ["/x?offset=2"] = '{"items":[],"total":2}' })
      gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next":"b","total":2}', ["/x?next=b"] = '{"items":[2],"total":3}' })
      gives({ 5 }, { ["/x?next=c"] = '{"items":[5],"next":null,"total":9}' }, "/x", { query = { next = "c" } })
    end)
  end)

  describe("a server that ignores offset", function()
    it("is a failure, before an item comes twice", function()
      for _, body in ipairs {
        '{"items":[1,2],"total":8}', '{"items":[{"id":1,"a":[{"b":2}]},{"id":2}],"total":8}',
        '{"items":[{"id":1},{"id":2}],"offset":0}', '{"items":[1,2],"offset":"0"}',
      } do
        fails_with("page 2 (offset=2) of /x: it starts with an item of the previous page", { ["*"] = body })
      end
      fails_with("it starts with an item", { ["*"] = "[1,2]" }, "/x", LIMIT)
      fails_with("it starts with an item", { ["*"] = "[1,2,3]" }, "/x", { query = { limit = 2, offset = 0 } })
      fails_with("it starts with an item", { ["*"] = '{"items":[1,2],"next":null,"total":4,"offset":0}' })
      fails_with("page 1 (offset=4) of /x: the endpoint reports another offset, 0", {
        ["*"] = '{"items":[1,2],"total":8,"offset":0}',
      }, "/x", { query = { offset = 4 } })
    end)

    it("is none where equal items are no objects", function()
      gives({ 0, 0, 0, 1 }, { ["/x"] = '{"items":[0,0],"total":4}', ["/x?offset=2"] = '{"items":[0,1],"total":4}' })
    end)

    it("has given all where it is one list that is not cut by the limit", function()
      gives({ 1, 2, 3 }, { ["*"] = "[1,2,3]" }, "/x", LIMIT)
      gives({ 1 }, { ["*"] = "[1]" }, "/x", LIMIT)
    end)
  end)

  describe("an offset that is counted otherwise", function()
    it("is that of pages at GreenLake's tenants", function()
      local path = "/workspaces/v1/msp-tenants"
      local tenants = {
        [path .. "?limit=2"] = '{"items":[1,2],"offset":0,"total":5}',
        [path .. "?limit=2&offset=1"] = '{"items":[3,4],"offset":1,"total":5}',
        [path .. "?limit=2&offset=2"] = '{"items":[5],"offset":2,"total":5}',
      }
      gives({ 1, 2, 3, 4, 5 }, tenants, path, LIMIT)
      gives({ 3, 4, 5 }, tenants, path, { query = { limit = 2, offset = 1 } })
      gives({ 3, 4 }, { [path .. "?offset=1"] = '{"items":[3],"total":4}',
        [path .. "?offset=2"] = '{"items":[4],"total":4}',
        [path .. "?offset=3"] = '{"items":[],"total":4}' }, path, { query = { offset = 1 } })
    end)

    it("is a failure elsewhere", function()
      fails_with("only 3 of 5 items", {
        ["/x"] = '{"items":[1,2],"total":5}', ["/x?offset=2"] = '{"items":[5],"total":5}',
        ["/x?offset=3"] = '{"items":[],"total":5}',
      })
      fails_with("it starts with an item of the previous page", { -- from one
        ["/x"] = '{"items":[{"id":1},{"id":2}],"total":5}', ["/x?offset=2"] = '{"items":[{"id":2},{"id":3}],"total":5}',
      })
      fails_with("6 items were received, but the collection has 5", {
        ["/x"] = '{"items":[1,2,3],"total":5}', ["/x?offset=3"] = '{"items":[4,5,6],"total":5}',
      })
    end)

    it("goes on from what the first page says", function()
      gives({ 1, 2, 3 },
        { ["/x"] = '{"items":[1,2],"total":3,"offset":1}', ["/x?offset=3"] = '{"items":[3],"total":3}' })
    end)
  end)

  describe("a cursor", function()
    it("may be a URL, whole or in part", function()
      for _, cursor in ipairs { "HERE/y?page=2&a=b", "/y?page=2&a=b" } do
        gives({ 1, 2 }, { ["/x?limit=2"] = '{"items":[1],"next":"' .. cursor .. '"}',
          ["/y?page=2&a=b"] = '{"items":[2]}' }, "/x", LIMIT)
      end
      gives({ 1, 2 }, { ["/x?a=b"] = '{"items":[1],"next":"?page=2"}', ["/x?page=2"] = '{"items":[2]}' }, "/x?a=b")
      gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next":"/y"}', ["/x?next=%2Fy"] = '{"items":[2]}' })
      fails_with("the token is not sent to evil.example", { ["/x"] = '{"items":[1],"next":"https://evil.example/x"}' })
      fails_with("pages form a loop", { ["*"] = '{"items":[1],"next":"/x?page=2"}' })
    end)

    it("may be called nextPageToken", function()
      gives({ 1, 2 }, { ["/x?limit=2"] = '{"items":[1],"nextPageToken":"b"}',
        ["/x?limit=2&pageToken=b"] = '{"items":[2],"nextPageToken":""}' }, "/x", LIMIT)
      fails_with("pages form a loop", { ["*"] = '{"items":[1],"nextPageToken":"b"}' })
      fails_with("set next and offset in the option query", {}, "/x?pageToken=b")
    end)

    it("that the server ignores is a failure before an item comes twice", function()
      fails_with("page 2 (next=b) of /x: the cursor is repeated", { ["*"] = '{"items":[1],"next":"b"}' })
    end)

    it("keeps digits that Lua's numbers have no room for", function()
      gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next":9007199254740993,"a":{"next":1}}',
        ["/x?next=9007199254740993"] = '{"items":[2]}' })
      gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next": 123456789012345678901234567890}',
        ["/x?next=123456789012345678901234567890"] = '{"items":[2]}' })
      fails_with("the cursor next has more digits than", {
        ["/x"] = '{"items":[1],"next":9007199254740993,"a":{"next":9007199254740992}}',
      })
    end)

    it("of a kind that is not known is a failure", function()
      for field, shown in pairs {
        ['"next_cursor":"b"'] = "next_cursor", ['"links":{"next":"/x?page=2"}'] = "links.next",
        ['"hasMore":true'] = "hasMore",
        ['"@odata.nextLink":"b"'] = "@odata.nextLink", ['"meta":{"hasMore":true}'] = "meta.hasMore",
      } do
        local words = ("page 1 of /x: its field %s announces more pages"):format(shown)
        fails_with(words, { ["*"] = '{"items":[1],' .. field .. "}" })
      end
      gives({ 1 }, { ["*"] = '{"items":[1],"next_cursor":null,"links":{"next":null},"hasMore":false}' })
      fails_with("it starts with an item", { ["*"] = '{"items":[1],"hasMore":true,"totalCount":3}' })
    end)
  end)

  describe("a list without words of paging", function()
    it("is read on by offset and limit", function()
      gives({ 1, 2, 3, 4 }, { ["/x?limit=2&offset=0"] = "[1,2]", ["/x?limit=2&offset=2"] = "[3,4]",
        ["/x?limit=2&offset=4"] = "[]" }, "/x", { query = { limit = 2, offset = 0 } })
      local pages = { ["/x?limit=2"] = "[1,2]", ["/x?limit=2&offset=2"] = "[3]", ["/x?limit=2&offset=3"] = "[]" }
      gives({ 1, 2, 3 }, pages, "/x", LIMIT)
      gives({ 1, 2, 3 }, pages, "/x?limit=2")
      gives({ 1, 2 }, { ["/x"] = "[1,2]" })
    end)
  end)

  describe("a page without a list", function()
    it("has no item", function()
      gives({}, { ["/x"] = '{"total":0}' })
      gives({}, { ["/x"] = '{"total":0}' }, "/x", { items = "aps" })
      gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next":"2"}', ["/x?next=2"] = '{"next":"3"}',
        ["/x?next=3"] = '{"items":[2],"next":null}' })
      gives({ 1 }, { ["/x"] = '{"items":[1],"next":"2"}', ["/x?next=2"] = '{"next":null,"count":0}' })
      fails_with("only 0 of 5 items", { ["/x"] = '{"total":5}' })
      fails_with("it has no list", { ["/x"] = '{"total":5,"aps":{"a":1}}' })
    end)
  end)
end)

-- Paging at servers that do it otherwise, or say one thing and do another; over plain HTTP on the loopback address.
-- Each item comes once, or there is a failure.
local auth = require "central.auth"
local rude = require "spec.support.rude"

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
  local client <close> = assert(auth.new { client_id = "x", client_secret = "a-long-enough-secret", cache = false,
    token_url = server.url, base_url = server.url:match "^http://[^/]+" })
  local items = {}
  local ok, failure = pcall(function()
    for item in client:pages(path or "/x", options) do
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
local function fails(words, data, path, options)
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
    fails("page 2 (offset=2) of /x: it is the last page, and only 2 of 5 items", {
      ["/x"] = '{"items":[1,2],"total":5}', ["/x?offset=2"] = '{"items":[],"total":5}',
    })
    fails("page 1 of /x: it is the last page, and only 0 of 5 items", { ["/x"] = '{"items":[],"total":5}' })
    fails("page 2 (next=b) of /x: it is the last page, and only 1 of 3 items", {
      ["/x"] = '{"items":[1],"next":"b","total":3}', ["/x?next=b"] = '{"items":[],"next":null,"total":3}',
    })
    fails("page 1 of /x: it is the last page, and only 1 of 3", { ["/x"] = '{"items":[1],"next":null,"total":3}' })
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
      fails("page 2 (offset=2) of /x: it starts with an item of the page before", { ["*"] = body })
    end
    fails("it starts with an item", { ["*"] = "[1,2]" }, "/x", LIMIT)
    fails("it starts with an item", { ["*"] = "[1,2,3]" }, "/x", { query = { limit = 2, offset = 0 } })
    fails("it starts with an item", { ["*"] = '{"items":[1,2],"next":null,"total":4,"offset":0}' })
    fails("page 1 (offset=4) of /x: the endpoint says that its offset is 0", {
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
    fails("only 3 of 5 items", {
      ["/x"] = '{"items":[1,2],"total":5}', ["/x?offset=2"] = '{"items":[5],"total":5}',
      ["/x?offset=3"] = '{"items":[],"total":5}',
    })
    fails("it starts with an item of the page before", { -- from one
      ["/x"] = '{"items":[{"id":1},{"id":2}],"total":5}', ["/x?offset=2"] = '{"items":[{"id":2},{"id":3}],"total":5}',
    })
    fails("6 items were received, and there are 5", {
      ["/x"] = '{"items":[1,2,3],"total":5}', ["/x?offset=3"] = '{"items":[4,5,6],"total":5}',
    })
  end)

  it("goes on from what the first page says", function()
    gives({ 1, 2, 3 }, { ["/x"] = '{"items":[1,2],"total":3,"offset":1}', ["/x?offset=3"] = '{"items":[3],"total":3}' })
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
    fails("the token is not sent to evil.example", { ["/x"] = '{"items":[1],"next":"https://evil.example/x"}' })
    fails("leads around in a circle", { ["*"] = '{"items":[1],"next":"/x?page=2"}' })
  end)

  it("may be called nextPageToken", function()
    gives({ 1, 2 }, { ["/x?limit=2"] = '{"items":[1],"nextPageToken":"b"}',
      ["/x?limit=2&pageToken=b"] = '{"items":[2],"nextPageToken":""}' }, "/x", LIMIT)
    fails("leads around in a circle", { ["*"] = '{"items":[1],"nextPageToken":"b"}' })
    fails("give next and offset in the option query", {}, "/x?pageToken=b")
  end)

  it("that the server ignores is a failure before an item comes twice", function()
    fails("page 2 (next=b) of /x: its cursor is a repeated one", { ["*"] = '{"items":[1],"next":"b"}' })
  end)

  it("keeps digits that Lua's numbers have no room for", function()
    gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next":9007199254740993,"a":{"next":1}}',
      ["/x?next=9007199254740993"] = '{"items":[2]}' })
    gives({ 1, 2 }, { ["/x"] = '{"items":[1],"next": 123456789012345678901234567890}',
      ["/x?next=123456789012345678901234567890"] = '{"items":[2]}' })
    fails("the cursor next is a number of more digits than", {
      ["/x"] = '{"items":[1],"next":9007199254740993,"a":{"next":9007199254740992}}',
    })
  end)

  it("of a kind that is not known is a failure", function()
    for field, shown in pairs {
      ['"next_cursor":"b"'] = "next_cursor", ['"links":{"next":"/x?page=2"}'] = "links.next",
      ['"hasMore":true'] = "hasMore",
      ['"@odata.nextLink":"b"'] = "@odata.nextLink", ['"meta":{"hasMore":true}'] = "meta.hasMore",
    } do
      local words = ("page 1 of /x: its field %s says that there are more pages"):format(shown)
      fails(words, { ["*"] = '{"items":[1],' .. field .. "}" })
    end
    gives({ 1 }, { ["*"] = '{"items":[1],"next_cursor":null,"links":{"next":null},"hasMore":false}' })
    fails("it starts with an item", { ["*"] = '{"items":[1],"hasMore":true,"totalCount":3}' })
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
    fails("only 0 of 5 items", { ["/x"] = '{"total":5}' })
    fails("it has no list", { ["/x"] = '{"total":5,"aps":{"a":1}}' })
  end)
end)

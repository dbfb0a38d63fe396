local child = require "spec.support.child"
local targets = require "central.auth.api.target"

local BASE = "https://us1.api.central.arubanetworks.com"

local function refused(part, target, base, hosts)
  local found, problem = targets.resolve(target, base or BASE, hosts)
  assert.is_nil(found)
  assert.truthy(problem:find(part, 1, true), problem)
end

describe("a target of an API call", function()
  it("is a path below the base", function()
    assert.equal(BASE .. "/monitoring/v1/aps?limit=5", targets.resolve("/monitoring/v1/aps?limit=5", BASE))
    assert.equal("https://gw.example/prefix/x", targets.resolve("/x", "https://gw.example/prefix"))
  end)

  it("is a URL of the base's host, in any spelling of it", function()
    local target = "HTTPS://US1.api.central.arubanetworks.com:443/x?a=b"
    assert.equal(target, targets.resolve(target, BASE))
    assert.equal("https://[::1]:8443/x", targets.resolve("https://[::1]:8443/x", "https://[::1]:8443"))
    assert.equal("https://[::1]:08443/x", targets.resolve("https://[::1]:08443/x", "https://[::1]:8443"))
    assert.equal("http://127.0.0.1:80/x", targets.resolve("http://127.0.0.1:80/x", "http://127.0.0.1"))
  end)

  it("is a URL of a host that is named", function()
    local hosts = { "api.example.com", "other.example:8443" }
    assert.equal("https://api.example.com/x", targets.resolve("https://api.example.com/x", BASE, hosts))
    assert.equal("https://other.example:8443/x", targets.resolve("https://other.example:8443/x", BASE, hosts))
    refused("is not sent to", "https://other.example/x", BASE, hosts)
    refused("is not sent to", "http://api.example.com/x", BASE, hosts)
    assert.equal("https://my_host:/x", targets.resolve("https://my_host:/x", BASE, { "my_host" }))
    refused("is not sent to", "https://api.example.com.evil.example/x", BASE, hosts)
  end)

  it("is on no other host, however it is written", function()
    for _, target in ipairs {
      "https://evil.example/x", "http://us1.api.central.arubanetworks.com/x",
      "https://us1.api.central.arubanetworks.com:8443/", "https://us1.api.central.arubanetworks.com.evil.example/",
      "https://evil.example/?us1.api.central.arubanetworks.com",
    } do
      refused("is not sent to", target)
    end
    for _, target in ipairs {
      "https://us1.api.central.arubanetworks.com@evil.example/", "https://a:b@us1.api.central.arubanetworks.com/",
      "ftp//x", "devices", "?x", "https:/x", "https://", "//evil.example/x", "javascript:x",
    } do
      assert.is_nil((targets.resolve(target, BASE)), target)
    end
  end)

  it("says what is wrong with a URL's host", function()
    refused("has a zone", "https://[fe80::1%25eth0]/x")
    refused("the port must be", "https://h:0/x")
    refused("begins with /, or a URL", "devices")
  end)

  it("has no control character, no space, nothing that must be encoded", function()
    refused("byte 3 is a control character", "/a\rb")
    refused("byte 3 is a control character", "/a\nb")
    refused("byte 3 is a control character", "/a\0b")
    refused("must be percent-encoded", "/a b")
    refused("must be percent-encoded", "/caf\xC3\xA9")
    refused("must be percent-encoded", "/a\\b")
    refused("must be percent-encoded", "/a%2")
    refused("must be percent-encoded", "/a%zz")
    refused("a fragment", "/a#b")
    refused("%00 at byte 3", "/a%00b")
  end)

  it("does not climb", function()
    for _, target in ipairs { "/a/../b", "/..", "/a/%2e%2E/b", "/a%2f..%2Fb", "/a%5c..", "/%2e./x" } do
      refused("a segment ..", target)
    end
    assert.truthy(targets.resolve("/a/..b/c...d/x?y=../z", BASE))
  end)

  it("needs a base where it is a path", function()
    local found, problem = targets.resolve("/x", nil)
    assert.is_nil(found)
    assert.equal('a path needs a cluster: set CENTRAL_CLUSTER, like US-1 ("central-auth clusters" lists them), or'
      .. " base_url", problem)
  end)

  it("says so, and names the variable that is misspelt", function()
    local said = child.run('print(select(2, require("central.auth.api.target").resolve("/x")))',
      { CENTRAL_CLUSTR = "EU-1" })
    assert.equal('a path needs a cluster: set CENTRAL_CLUSTER, like US-1 ("central-auth clusters" lists them), or'
      .. " base_url\nCENTRAL_CLUSTR is not a variable of central-auth, and is ignored; did you mean CENTRAL_CLUSTER?\n",
      said)
  end)
end)

describe("a query", function()
  it("is encoded, in the order of its names, with lists that repeat them", function()
    assert.equal("a=1&b=x%20y%26z&b=%C3%A9&c=true&d=0.5&e=2000", targets.query {
      c = true, b = { "x y&z", "é" }, a = 1, d = 0.5, e = 2000.0,
    })
    assert.equal("", targets.query {})
    assert.equal("", targets.query { none = {} })
    assert.equal("a=1700000000123456&b=9007199254740992&c=0.1&d=1e%2B300", targets.query {
      a = 1700000000123456, b = 2.0 ^ 53, c = 0.1, d = 1e300,
    })
  end)

  it("says which value is of no use", function()
    for _, value in ipairs {
      { a = {} }, 0 / 0, math.huge, print, { 1, {} }, { nil, 2 }, { 1, nil, 3 }, coroutine.create(print),
    } do
      local found, problem = targets.query { bad = value }
      assert.is_nil(found)
      assert.truthy(problem:find("bad: a string, a number, a boolean or a list", 1, true), problem)
    end
    assert.truthy(select(2, targets.query { "x" }):find("name: string expected, got number", 1, true))
  end)

  it("goes behind what is there", function()
    assert.equal("/x?a=1", targets.extend("/x", "a=1"))
    assert.equal("/x?b=2&a=1", targets.extend("/x?b=2", "a=1"))
    assert.equal("/x?a=1", targets.extend("/x?", "a=1"))
    assert.equal("/x", targets.extend("/x", ""))
  end)
end)

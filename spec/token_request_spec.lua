-- What the token endpoint is sent, as the server sees it: the fields of each grant and what authenticates the client.
-- SPDX-License-Identifier: MIT

local neighbour = require "spec.support.neighbour"
local process = require "spec.support.process"
local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

local EXCHANGE = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=t1"
  .. "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
local ASSERTION = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
  .. "&client_assertion=x.y.z"

describe("a token request #valgrind", function()
  local server, client

  before_each(function() server = neighbour.server(2, 3600) end)
  after_each(function()
    client:close()
    server:close()
  end)

  local function start(options)
    client = neighbour.new(server, nil, with({ client_id = "id", client_secret = "hush" }, options))
  end

  -- What the last request said.
  local function sent()
    local requests = server:requests()
    local last = requests[#requests]
    assert.equal("POST", last.method)
    assert.equal("application/x-www-form-urlencoded", last.headers["content-type"])
    return last.body, last.headers.authorization
  end

  -- The same of a client with these options that asks for a token.
  local function asked(options)
    start(options)
    assert(client:token())
    return sent()
  end

  it("has id and secret in the body by default", function()
    local body, authorization = asked()
    assert.equal("grant_type=client_credentials&client_id=id&client_secret=hush", body)
    assert.is_nil(authorization)
  end)

  it("encodes odd characters", function()
    assert.equal("grant_type=client_credentials&client_id=a+b%26c&client_secret=1%2B1%3D2+%25%C3%BC",
      (asked { client_id = "a b&c", client_secret = "1+1=2 %ü" }))
  end)

  for style, expected in pairs { basic = "aWQ6aCt1cw==", basic_raw = "aWQ6aCB1cw==" } do -- id:h+us, id:h us
    it("has them in the header with the style " .. style, function()
      local body, authorization = asked { auth_style = style, client_secret = "h us" }
      assert.equal("grant_type=client_credentials", body)
      assert.equal("Basic " .. expected, authorization)
    end)
  end

  it("repeats fields that are lists and sorts further ones", function()
    assert.equal("grant_type=client_credentials&scope=read+write&audience=a&resource=r1&resource=r2&b=2&b=3&z=1"
      .. "&client_id=id&client_secret=hush", (asked { scope = "read write", audience = "a", resource = { "r1", "r2" },
      params = { z = "1", b = { "2", "3" } } }))
  end)

  it("has an assertion in place of a secret (RFC 7523, 2.2)", function()
    local body, authorization = asked { client_secret = scripted.NONE, client_assertion = "x.y.z",
      auth_style = "basic" }
    assert.equal("grant_type=client_credentials&client_id=id&" .. ASSERTION, body)
    assert.is_nil(authorization)
  end)

  it("has the id alone where a certificate authenticates (RFC 8705, 2)", function()
    local folder = process.scratch()
    local leaf = require("spec.support.ca").new({ folder = folder }):issue { name = "client" }
    local body, authorization = asked { client_secret = scripted.NONE, cert_file = leaf.cert_file,
      key_file = leaf.key_file }
    process.remove(folder)
    assert.equal("grant_type=client_credentials&client_id=id", body)
    assert.is_nil(authorization)
  end)

  it("exchanges a subject token without the client's name (RFC 8693, 2.1)", function()
    start()
    assert(assert(client:tenant("abc", { token_url = server.url, audience = "a" })):token())
    local body, authorization = sent()
    assert.equal(EXCHANGE .. "&audience=a", body)
    assert.is_nil(authorization)
  end)

  it("exchanges it with the client's name where the server wants that", function()
    start()
    assert(assert(client:tenant("abc", { token_url = server.url, authenticate = true })):token())
    local body, authorization = sent()
    assert.equal(EXCHANGE .. "&client_id=id&client_secret=hush", body)
    assert.is_nil(authorization)
  end)

  it("exchanges it with the client's name in the header", function()
    start { client_secret = "h us", auth_style = "basic" }
    assert(assert(client:tenant("abc", { token_url = server.url, authenticate = true })):token())
    local body, authorization = sent()
    assert.equal(EXCHANGE, body)
    assert.equal("Basic aWQ6aCt1cw==", authorization)
  end)

  it("revokes a token (RFC 7009, 2.1)", function()
    start { revocation_url = server.url, scope = "x" }
    assert(client:token())
    assert(client:close { revoke = true })
    local body, authorization = sent()
    assert.equal("token=t1&token_type_hint=access_token&client_id=id&client_secret=hush", body)
    assert.is_nil(authorization)
  end)

  it("revokes a token with an assertion, or with the secret in the header", function()
    start { revocation_url = server.url, client_secret = scripted.NONE, client_assertion = "x.y.z" }
    assert(client:token())
    assert(client:close { revoke = true })
    assert.equal("token=t1&token_type_hint=access_token&client_id=id&" .. ASSERTION, (sent()))
    start { revocation_url = server.url, client_secret = "h us", auth_style = "basic" }
    assert(client:token())
    assert(client:close { revoke = true })
    local body, authorization = sent()
    assert.equal("token=t2&token_type_hint=access_token", body)
    assert.equal("Basic aWQ6aCt1cw==", authorization)
  end)
end)
